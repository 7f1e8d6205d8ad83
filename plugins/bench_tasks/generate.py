"""Samples from noise."""

from __future__ import annotations

import re

from bench import BatchContext, Card, Sampler, Task, Tensor, exact_fd_dct, limit_fd_dct


class Generate(Task):
    """Images that the sampler makes of prior noise: what a generative model is for."""

    name = "generate"

    def exact(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """``fd_dct`` on the Gaussian checkpoint, where the moments of a sampler's images are known."""
        distance = exact_fd_dct(card, sampler) if card.format == "gaussian" else None
        return {} if distance is None else {_fd_dct(card): distance}

    def limit(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """``fd_dct`` of the probability flow on the Gaussian checkpoint."""
        distance = limit_fd_dct(card, sampler) if card.format == "gaussian" else None
        return {} if distance is None else {_fd_dct(card): distance}

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        return {"images": batch.model.images(batch.sample())}


def _fd_dct(card: Card) -> str:
    """The label of ``fd_dct`` against the checkpoint itself; of CIFAR-10's shape that is the default."""
    if tuple(card.shape) == (3, 32, 32):
        return "fd_dct"
    return "fd_dct-" + re.sub(r"[^A-Za-z0-9.]+", "_", card.name).strip("_")
