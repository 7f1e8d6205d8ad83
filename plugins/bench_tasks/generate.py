"""Samples from noise."""

from __future__ import annotations

from bench import BatchContext, Card, Sampler, Task, Tensor
from bench.checkpoints.exact import exact_fd_dct


class Generate(Task):
    """Images from the prior by the sampler: what a generative model is for."""

    name = "generate"

    def exact(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """The moments of a sampler's own images are known on the Gaussian checkpoint."""
        found = exact_fd_dct(card, sampler) if card.format == "gaussian" else None
        return {} if found is None else {"fd_dct": found}

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return {"images": work.model.images(work.sample())}
