"""Samples from noise."""

from __future__ import annotations

from bench import Task, Tensor, Work


class Generate(Task):
    """Images from the prior by the sampler: what a generative model is for."""

    name = "generate"
    unconditional = True

    def run(self, work: Work) -> dict[str, Tensor]:
        return {"images": work.model.images(work.sample())}
