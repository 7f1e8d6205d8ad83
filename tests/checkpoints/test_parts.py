"""A network that runs out of memory is called in parts; the sampler's loop and the answers stay the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bench
from bench import Model
from bench.checkpoints import load
from bench.checkpoints.parts import InParts
from bench.diffusion.counting import count_evaluations, counted_evaluations
from tests.support.runs import records_in


class Narrow(nn.Module):
    """Has memory for ``most`` states; its answer depends on state, label and class."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []

    def forward(self, x: Tensor, labels: Tensor, *arguments: Tensor) -> Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        answer = x * labels.view(-1, *[1] * (x.dim() - 1))
        return answer + sum(argument.view(-1, 1) for argument in arguments)


@pytest.mark.parametrize(
    ("most", "sizes", "part"),
    [(9, [9], None), (5, [9, 5, 4], 5), (2, [9, 5, 3, 2, 2, 2, 2, 1], 2)],
)
@pytest.mark.parametrize("rows", [1, 9])
def test_the_answers_of_parts_are_those_of_the_whole(
    most: int, sizes: list[int], part: int | None, rows: int
) -> None:
    x, labels, classes = torch.randn(9, 2), torch.randn(rows), torch.arange(9.0)
    whole = Narrow(9)(x, labels, classes)
    narrow = Narrow(most)
    network = InParts(narrow)
    with counted_evaluations() as evaluations:
        count_evaluations(9)
        assert torch.equal(network(x, labels, classes), whole)
    assert narrow.sizes == sizes
    assert evaluations.count == 9  # a retry is no evaluation
    assert evaluations.part == part
    narrow.sizes.clear()
    network(x, labels, classes)
    assert max(narrow.sizes) <= most  # what fits is known


def test_a_state_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        InParts(Narrow(0))(torch.randn(4, 2), torch.ones(1))


def test_a_run_in_parts_says_so_beside_its_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = Narrow(3)
    original = load.load_model

    def narrow_model(*arguments: object, **options: object) -> Model:
        model = original(*arguments, **options)  # type: ignore[arg-type]
        model._network = InParts(model._network)  # type: ignore[attr-defined]
        return model

    monkeypatch.setattr("bench.engine.session.load_model", narrow_model)
    card = bench.network(network, sde="vp", predicts="noise", labels="999t", shape=(2,))
    bench.run(
        model=card, predictor="ddim", grid="logsnr", steps=2, samples=8, batch_size=8, device="cpu",
        metric="none", profile="none", repeats=1,
    )  # fmt: skip
    (record,) = records_in()
    assert record.status == "finished", record.reason
    assert [batch.part for batch in record.batches] == [2]
    assert record.cost is not None
    assert record.cost.nfe == 2
