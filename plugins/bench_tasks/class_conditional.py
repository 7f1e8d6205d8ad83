"""Samples of a class, by the gradient of a classifier that knows noise (Song et al. 2021, section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from bench import (
    BatchContext,
    BenchError,
    Card,
    Condition,
    Model,
    NoiseLevel,
    Sampler,
    Task,
    Tensor,
    class_count,
    classifier_sha256,
    exact_fd_dct,
    limit_fd_dct,
    param,
)
from bench_tasks.class_metrics import MIXTURE


class ClassConditional(Task):
    """Images of a class y: every score is ``grad ln p_t(x) + scale grad ln p_t(y | x)`` (eq. 14).

    At scale 1 that is the score of the class, as far as score and classifier are right. Above 1 it is the
    score of ``p_t(x) p_t(y | x)^scale``, whose samples are surer of the class and less varied. At 0 the
    classifier is not evaluated, and the images are those of ``generate``. On a mixture a class is a
    component, and its gradient is exact.

    Each network call goes with one forward and backward pass of the classifier, which neither NFE nor the
    time in the network includes.
    """

    name = "class_conditional"
    outputs = ("images", "labels")

    scale: float = param(default=1.0, help="factor of the classifier's gradient", low=0)
    label: int | Literal["all"] = param(
        default="all",
        help="a class's index (of CIFAR-10 0 is airplane, then automobile, bird, cat, deer, dog, frog, "
        "horse, ship, truck); all: sample number i is of class i mod their number",
        low=0,
    )

    def check(self, card: Card, sampler: Sampler) -> None:
        if self.scale > 0 and sampler.sde.ends_in_noise:
            raise BenchError(
                f"{self.name} guides the score, which has no limit at the end of {sampler.sde.name}, where "
                "alpha = 0: take an SDE that ends above alpha = 0, such as vp"
            )
        count = class_count(card)
        if not count:
            raise BenchError(
                f"checkpoint {card.name} has no classifier to guide it to a class: take {MIXTURE}, or one "
                "whose card names a classifier (cifar10-tiny)"
            )
        if self.label != "all" and self.label >= count:
            raise BenchError(
                f"{card.name} has no class {self.label}: {self.name}.label must be 0 to {count - 1}, or all"
            )

    def metrics_on(self, card: Card) -> tuple[str, ...]:
        """Metrics by the exact checkpoint's components, otherwise by an independent classifier."""
        if card.exact:
            return ("component_share", "fd_component") if card.name == MIXTURE else ()
        return ("class_share", "fd_class")

    def exact(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """``fd_component`` at scale 1, where a mixture's guided score is that of one Gaussian.

        Unknown where a corrector's step depends on norms over a batch of several classes, and where score and
        gradient are of two noise levels.
        """
        return self._distance(card, sampler, exact_fd_dct)

    def limit(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """``fd_component`` of the probability flow at scale 1."""
        return self._distance(card, sampler, limit_fd_dct)

    def _distance(
        self, card: Card, sampler: Sampler, distance_of: Callable[[Card, Sampler, int], float | None]
    ) -> dict[str, float]:
        coupled = sampler.corrector is not None and sampler.corrector.couples_batch
        if card.name != MIXTURE or self.scale != 1 or (coupled and self.label == "all"):
            return {}
        if sampler.label_scales is not None:
            return {}
        total, chosen = 0.0, range(class_count(card)) if self.label == "all" else [self.label]
        for k in chosen:
            distance = distance_of(card, sampler, k)
            if distance is None:
                return {}
            total += distance
        return {"fd_component": total / len(chosen)}

    def provenance(self, card: Card) -> dict[str, str]:
        """The hash of the classifier's weights as its card states it; loading checks it."""
        return {} if card.classifier is None else {card.classifier: classifier_sha256(card)}

    def warm(self, batch: BatchContext) -> None:
        super().warm(batch)
        if self.scale > 0:
            sde = batch.sampler.sde
            Guided(batch.model, self.labels(batch), self.scale).guide(batch.prior(), sde.at(sde.end))

    def labels(self, batch: BatchContext) -> Tensor:
        """The class of each sample of a batch, (size,) integers."""
        import torch

        numbers = torch.arange(batch.first, batch.first + batch.size, device=batch.device)
        return numbers % batch.model.classes if self.label == "all" else torch.full_like(numbers, self.label)

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        labels = self.labels(batch)
        condition = Guided(batch.model, labels, self.scale) if self.scale > 0 else None
        return {"images": batch.model.images(batch.sample(condition)), "labels": labels}

    def preview(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        """A row of at most eight images for each class; of a single class a square."""
        import torch

        images, labels = outputs["images"], outputs["labels"]
        rows = [images[labels == k][:8] for k in labels.unique()]
        if len(rows) == 1:
            return images[:64], 8
        columns = min(map(len, rows))
        return torch.cat([row[:columns] for row in rows]), columns


class Guided(Condition):
    """Adds ``scale grad_x ln p_t(y | x)`` to the score; labels y (B,) integers."""

    def __init__(self, model: Model, labels: Tensor, scale: float) -> None:
        self.model, self.labels, self.scale = model, labels, scale

    def of_rows(self, rows: Tensor) -> Guided:
        return Guided(self.model, self.labels[rows], self.scale)

    def guide(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.model.class_gradient(x, level, self.labels).mul_(self.scale)
