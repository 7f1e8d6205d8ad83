"""Draws of an exact checkpoint's own distribution, as a source of images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bench.checkpoints.cards import Card
from bench.checkpoints.exact import exact_data
from bench.closed_form.mixture import MixtureModel
from bench.data.images import Images
from bench.diffusion.noise import noise_stream
from bench.events import Emit

if TYPE_CHECKING:
    from torch import Tensor

COUNT = 10_000
BLOCK = 500
"""Draws by one random stream, so that batches of any size hold the same draws."""


class ExactDraws(Images):
    """Independent draws of an exact checkpoint's distribution on the unit range, the same ones each time.

    They are independent of the draws that a run on the checkpoint takes as its data.

    Args:
        card: An exact checkpoint.
        batch: Items per batch.
        count: Number of draws.
    """

    kind = "checkpoint"

    def __init__(self, card: Card, batch: int, count: int = COUNT) -> None:
        import torch

        self._card = card
        super().__init__(card.name, count, tuple(card.shape), f"torch {torch.__version__}", batch)

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        data, color = exact_data(self._card)
        model = MixtureModel(data, "cpu", torch.float32, color=color, range_=(0.0, 1.0))
        waiting = torch.empty(0, *self.shape)
        for start in range(0, self.n, BLOCK):
            noise = noise_stream(0, start // BLOCK, "reference", "cpu")
            draws = model.images(model.draw(min(BLOCK, self.n - start), noise))
            waiting = torch.cat([waiting, draws])
            whole = len(waiting) - len(waiting) % self.batch
            yield from waiting[:whole].split(self.batch) if whole else ()
            waiting = waiting[whole:]
        if len(waiting):
            yield waiting

    def compute_hash(self, emit: Emit) -> str:
        whole = hashlib.sha256()
        for batch in self:
            whole.update(np.ascontiguousarray(batch.numpy()).data)
        return whole.hexdigest()
