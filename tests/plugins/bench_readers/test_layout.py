"""Published tensors into views."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench import BenchError
from bench_readers.layout import Merged, load, load_list, named, tensors


def test_a_merged_view_takes_the_published_shape() -> None:
    ours = torch.zeros(2, 3, 4)
    view = Merged(ours)
    assert view.shape == (6, 4)
    published = torch.arange(24.0).reshape(6, 4)
    load([("x", view)], {"x": published})
    assert torch.equal(ours, published.reshape(2, 3, 4))


def test_layers_are_named_by_their_parameters() -> None:
    layer = nn.Linear(2, 3)
    assert {name: tuple(view.shape) for name, view in named("a.b", layer)} == {
        "a.b.weight": (3, 2),
        "a.b.bias": (3,),
    }


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({}, "it lacks 'x'"),
        ({"x": torch.zeros(2), "y": torch.zeros(1), "z": torch.zeros(1)}, "it has 'y' and 1 more"),
        ({"x": torch.zeros(3)}, r"tensor 'x' has shape \(3,\), not \(2,\)"),
        ({"x": torch.zeros(2, dtype=torch.int64)}, "is of type torch.int64, not float"),
        ({"x": torch.tensor([0.0, float("nan")])}, "not finite"),
    ],
)
def test_any_other_tensor_is_refused(published: dict[str, Tensor], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        load([("x", torch.zeros(2))], published)


def test_known_names_may_be_there() -> None:
    ours = torch.zeros(2)
    load([("x", ours)], {"x": torch.ones(2), "step": torch.zeros(1)}, known=["step"])
    assert torch.equal(ours, torch.ones(2))


def test_a_list_is_loaded_in_order() -> None:
    first, second = torch.zeros(2), torch.zeros(2)
    load_list([("a", first), ("b", second)], [torch.ones(2), torch.full((2,), 2.0)])
    assert torch.equal(second, torch.full((2,), 2.0))
    with pytest.raises(BenchError, match="its list has 1 tensors, its network 2"):
        load_list([("a", first), ("b", second)], [torch.ones(2)])


def test_only_bare_state_dicts_are_tensors() -> None:
    state = {"x": torch.zeros(1)}
    assert tensors(state) is state
    for other in ({"x": 3}, {3: torch.zeros(1)}, [torch.zeros(1)]):
        with pytest.raises(BenchError, match="not a bare state dict"):
            tensors(other)
