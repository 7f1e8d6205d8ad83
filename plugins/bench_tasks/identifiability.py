"""The latents of the same images under two checkpoints."""

from __future__ import annotations

from typing import Any, ClassVar

from bench import BatchContext, BenchError, Card, Sampler, Task, Tensor, param
from bench.plugins.registry import registry
from bench_tasks.flow import encoded


class Identifiability(Task):
    """The latents of images by the probability flow under two checkpoints (Song et al. 2021, appendix D.5):
    the flow is decided by the data, so that two good models of the same data agree on them.

    ``latents`` and ``other_latents`` are ``x(T) / prior_std`` as images, the same coordinates for both. The
    calls of both networks are counted.
    """

    name = "identifiability"
    outputs = ("latents", "other_latents")
    metrics = ("latent_correlation", "latent_difference")
    takes_data = True
    follows_flow = True
    sde_defaults: ClassVar[dict[str, Any]] = {"eps": 1e-5}

    other: str = param(default="gaussian-cifar10", help="the checkpoint that is set beside the run's own")

    @property
    def card(self) -> Card:
        """The other checkpoint's card."""
        found: Card = registry().get("checkpoints", self.other).thing
        return found

    def check(self, card: Card, sampler: Sampler) -> None:
        if self.other == card.name:
            raise BenchError(f"{card.name} would be set beside itself: give another -P task.other")
        self.card.check()
        if self.card.shape != card.shape:
            sizes = ["x".join(map(str, shape)) for shape in (self.card.shape, card.shape)]
            raise BenchError(f"task.other: {self.other} takes {sizes[0]} images, {card.name} {sizes[1]}")

    def provenance(self, card: Card) -> dict[str, Any]:
        del card
        return {self.other: self.card.deciding()}

    def warm(self, work: BatchContext) -> None:
        super().warm(work)
        super().warm(work.under(self.other))

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        other = work.under(self.other)
        z, z_other = (as_images(encoded(w.states(), w), w) for w in (work, other))
        work.prediction.count(other.prediction.calls)
        return {"latents": z, "other_latents": z_other}


def as_images(z: Tensor, work: BatchContext) -> Tensor:
    """Latents (B, ...) turned into the coordinates of images, their scale kept."""
    import torch

    low, high = work.sampler.sde.data_range
    return (work.model.images(z) - work.model.images(torch.zeros_like(z))) * (high - low)
