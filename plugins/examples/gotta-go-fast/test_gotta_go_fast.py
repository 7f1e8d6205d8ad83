from bench import assert_conforms
from gotta_go_fast import GottaGoFast


def test_it_does_what_its_role_promises() -> None:
    assert_conforms(GottaGoFast)
