"""The latents of the same images under two checkpoints."""

from __future__ import annotations

from typing import ClassVar

from bench import BatchContext, BenchError, Card, Sampler, Task, Tensor, param
from bench_tasks.flow import encode


class Identifiability(Task):
    """The latents of images by the probability flow under two checkpoints (Song et al. 2021, appendix D.5).
    The data decide the flow, so that two good models of the same data agree on the latents.

    ``latents`` and ``other_latents`` are ``x(T) / prior_std`` as images, in the same coordinates for both.
    NFE counts the calls of both networks.
    """

    name = "identifiability"
    outputs = ("latents", "other_latents")
    metrics = ("latent_correlation", "latent_difference")
    takes_data = True
    follows_flow = True
    default_solver = "rk45"
    sde_defaults: ClassVar[dict[str, float]] = {"eps": 1e-5}

    other: str = param(default="gaussian-cifar10", help="the checkpoint to compare the run's own with")

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return (self.other,)

    def check(self, card: Card, sampler: Sampler) -> None:
        if self.other == card.name:
            raise BenchError(f"{card.name} would be compared with itself: give another -P task.other")

    def warm(self, batch: BatchContext) -> None:
        super().warm(batch)
        super().warm(batch.under(self.other))

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        other = batch.under(self.other)
        z, z_other = (as_images(encode(b.states(), b), b) for b in (batch, other))
        return {"latents": z, "other_latents": z_other}


def as_images(z: Tensor, batch: BatchContext) -> Tensor:
    """Latents (B, ...) turned into the coordinates of images, with their scale kept."""
    import torch

    low, high = batch.sampler.sde.data_range
    return (batch.model.images(z) - batch.model.images(torch.zeros_like(z))) * (high - low)
