from bench import assert_conforms
from paradigms import ParaDiGMS


def test_it_does_what_its_role_promises() -> None:
    assert_conforms(ParaDiGMS)
