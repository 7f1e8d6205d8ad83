"""What both adapters share: settings as text, a library's errors in one line, seeded generators."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import BenchError
from bench_adapters.common import depends_on_seed, import_library, options, read_settings, refusals, seeded


def scheduler(x: Any, count: int = 2, share: float = 0.5, loud: bool = False, kind: str = "a") -> None:
    """A library's function; ``x`` has no default."""


def test_options_leave_out_what_the_adapter_sets() -> None:
    assert options(scheduler, ("x", "kind")) == {"count": 2, "share": 0.5, "loud": False}


def test_settings_have_the_types_of_their_defaults() -> None:
    text = "count=3, share=1,loud=True,kind=b"
    values = {"count": 3, "share": 1, "loud": True, "kind": "b"}
    assert read_settings(text, scheduler, ("x",), "owner") == values
    assert read_settings("", scheduler, ("x",), "owner") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count", "owner: config takes key=value,key=value, not 'count'"),
        ("x=1", "owner: x can't be set: the SDE and the network decide it"),
        ("counts=1", "owner has no setting 'counts' (did you mean 'count'"),
        ("count=many", "owner: count must have the type of its default, 2, not 'many'"),
        ("count=true", "owner: count must have the type of its default, 2, not 'true'"),
        ("loud=1", "owner: loud must have the type of its default, False, not '1'"),
    ],
)
def test_a_wrong_setting_is_one_line(text: str, message: str) -> None:
    with pytest.raises(BenchError) as error:
        read_settings(text, scheduler, ("x",), "owner")
    assert str(error.value).startswith(message)


def test_what_a_library_raises_is_one_line() -> None:
    with (
        pytest.raises(BenchError, match=r"^owner: the library stops with ValueError: two lines$"),
        refusals("owner"),
    ):
        raise ValueError("two\nlines")


def test_errors_of_a_callback_and_of_bench_pass() -> None:
    def network() -> None:
        raise ArithmeticError("not finite")

    with pytest.raises(ArithmeticError, match=r"^not finite$"), refusals("owner") as callback:
        callback(network)()
    with pytest.raises(BenchError, match=r"^mine$"), refusals("owner"):
        raise BenchError("mine")


def test_an_extra_that_is_missing_names_the_remedy() -> None:
    with pytest.raises(BenchError, match=r"it is not installed: in a clone .* pip install -e '\.\[extra\]'$"):
        import_library("no_such_library.part", "extra")


def test_seeded_generators_are_restored() -> None:
    x = torch.zeros(2)
    before = torch.random.get_rng_state()
    with seeded(3, x) as generator:
        first = (torch.randn(2), torch.randn(2, generator=generator))
    with seeded(3, x) as generator:
        assert torch.equal(first[0], torch.randn(2))
        assert torch.equal(first[1], torch.randn(2, generator=generator))
    assert torch.equal(before, torch.random.get_rng_state())


def test_dependence_on_the_seed_is_found_by_trial() -> None:
    assert depends_on_seed(lambda seed: torch.tensor([seed]))
    assert not depends_on_seed(lambda _: torch.tensor([1]))
