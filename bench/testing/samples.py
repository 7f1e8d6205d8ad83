"""Samples whose order in quality is known, for each kind of output that metrics take."""

from __future__ import annotations

import numpy as np
import torch

from bench.checkpoints.exact import exact_data
from bench.closed_form.mixture import MixtureModel, on_range
from bench.errors import BenchError
from bench.metrics.role import Metric
from bench.testing.context import CheckContext
from bench.testing.probe import GAUSSIAN, MIXTURE

COMPLETIONS = 4
"""Completions of each image."""
COMPANIONS = 2
"""Outputs of companion runs that are made: the truth, and one near it."""
KNOWN = (
    "images",
    "labels",
    "original",
    "known",
    "axes",
    "latents",
    "other_latents",
    "bits_per_dim",
    "round_trip",
)
"""Names of task outputs that are made here."""

Batch = tuple[torch.Tensor, ...]


class Samples:
    """Outputs of tasks as metrics take them, worse and worse by an amount.

    ``images`` are draws of the Gaussian fitted to CIFAR-10, with white noise of the amount added; with
    ``labels`` they are draws of the mixture's components, and a share of labels, the amount, is moved on by
    one; with ``original`` they are completions of it, whose left half is known. ``latents`` are normal, of
    deviation 1 plus the amount, and ``other_latents`` differ from them by it; a number per image grows by it.

    Args:
        metric: The metric.
        context: Where the exact checkpoints come from.

    Raises:
        BenchError: The metric takes an output that is not known here.
    """

    def __init__(self, metric: Metric, context: CheckContext) -> None:
        unknown = [name for name in metric.inputs if name not in KNOWN]
        if unknown:
            known = ", ".join(KNOWN)
            raise BenchError(
                f"{metric.name} takes a task's {unknown[0]}: bench check knows the truth of {known}"
            )
        self.inputs = metric.inputs
        self.companions = COMPANIONS if metric.has_companions() else 0
        name = MIXTURE if "labels" in metric.inputs else GAUSSIAN
        sde = context.sde("ve")
        data, color = exact_data(context.card(name))
        self.data = on_range(data, sde.data_range, color)
        self.model = MixtureModel(self.data, "cpu", torch.float32, color=color, range_=sde.data_range)

    def draw(self, count: int, amount: float = 0.0) -> Batch:
        """The inputs of ``count`` samples, in the metric's order, and then those of companion runs."""
        generator = torch.Generator().manual_seed(41)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator)

        shape = tuple(self.model.shape)
        component = torch.arange(count) % len(self.data.weight)
        mean, deviation = self.data.mean[component.numpy()], np.sqrt(self.data.variance[component.numpy()])
        z = normal(count, *shape)
        true = self.model.images(torch.from_numpy(mean).float() + torch.from_numpy(deviation).float() * z)
        moved = torch.rand(count, generator=generator) < amount
        original = true[torch.arange(count) // COMPLETIONS * COMPLETIONS]
        mask = torch.zeros(shape, dtype=torch.bool)
        mask[..., : shape[-1] // 2] = True
        images = true
        if "original" in self.inputs:
            images = torch.where(mask, original, true)
        latents = normal(count, *shape)
        outputs = {
            "images": images if "labels" in self.inputs else images + amount * normal(*images.shape),
            "labels": (component + moved.long()) % len(self.data.weight),
            "original": original,
            "known": mask.expand(count, *shape).contiguous(),
            "axes": torch.eye(shape[0]).expand(count, -1, -1).contiguous(),
            "latents": latents * (1 if "other_latents" in self.inputs else 1 + amount),
            "other_latents": latents + (0.1 + amount) * normal(count, *shape),
            "bits_per_dim": 3 + amount + 0.1 * normal(count).abs(),
            "round_trip": 0.01 + amount + 0.001 * normal(count).abs(),
        }
        near = true + 1e-5 * normal(*true.shape)
        return (*(outputs[name] for name in self.inputs), *(true, near)[: self.companions])
