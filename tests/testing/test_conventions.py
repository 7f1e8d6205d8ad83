"""Other conventions than a card's: each differs in what its name says, and a network can be loaded by it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench import network
from bench.checkpoints.memory import MemoryCheckpoint
from bench.testing.conventions import SCALES, pairs, single_changes
from tests.support.plugins import installed


class Same(nn.Module):
    """Returns the state."""

    def forward(self, x: Tensor, _label: Tensor) -> Tensor:
        return x


def card(**convention: Any) -> MemoryCheckpoint:
    return network(Same(), shape=(2,), **({"predicts": "v", "labels": "t"} | convention))


def test_single_changes_change_one_entry() -> None:
    own = card(parameters={"label": {"factor": 2.0}})
    changes = dict(single_changes(own, installed()))
    assert changes["labels 999t"].labels == "999t"
    assert changes["labels 999t"].predicts == "v"
    assert changes["labels 999t"].parameters == {}  # the factor is that of the other label
    assert changes["predicts noise"].parameters == {"label": {"factor": 2.0}}
    assert changes["sde subvp"].sde == "subvp"
    assert changes["data_range [0, 1]"].data_range == (0, 1)
    assert changes[f"labels index (scales = {SCALES})"].scales == SCALES
    assert changes["label t with reverse = true"].parameters["label"] == {"factor": 2.0, "reverse": True}
    assert changes["label t with factor = 2000.0"].parameters["label"] == {"factor": 2000.0}
    assert all(changed.contradiction() == "" and changed != own for changed in changes.values())
    assert not {"labels t", "predicts v", "predicts edm", "labels edm", "sde vp"} & set(changes)


def test_pairs_change_labels_and_parametrisation_together() -> None:
    changes = dict(pairs(card(), installed()))
    labels, parametrisations = (installed().names(kind) for kind in ("labels", "parametrisations"))
    # all but edm combine, edm goes with edm alone, and the card's own pair is left out
    assert len(changes) == (len(labels) - 1) * (len(parametrisations) - 1)
    assert changes["predicts edm with labels edm"].sde is None
    assert all(changed.contradiction() == "" for changed in changes.values())


def test_a_denoiser_of_every_sde_is_tried_on_vp() -> None:
    changed = dict(pairs(card(predicts="edm", labels="edm"), installed()))["predicts noise with labels 999t"]
    assert changed.sde == "vp"
    assert isinstance(changed, MemoryCheckpoint)  # and still has its network
    x = torch.ones(1, 2)
    assert torch.equal(changed.copy_of_network()(x, torch.ones(1)), x)
