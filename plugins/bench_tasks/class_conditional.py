"""Samples of a class, by the gradient of a classifier that knows noise (Song et al. 2021, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bench import BatchContext, BenchError, Card, Condition, Model, NoiseLevel, Sampler, Task, Tensor, param
from bench.closed_form.mixture import on_range
from bench.closed_form.moments import frechet, gaussian_moments
from bench_tasks.class_metrics import MIXTURE


class ClassConditional(Task):
    """Images of a class y: every score is ``grad ln p_t(x) + scale grad ln p_t(y | x)`` (eq. 14).

    At scale 1 that is the score of the class, as far as score and classifier are right; above it, of
    ``p_t(x) p_t(y | x)^scale``, which is surer of the class and less varied; at 0 the classifier is not
    asked, and the images are those of ``generate``. On a mixture a class is a component, and its gradient
    exact. Each call of the network goes with one of the classifier, forth and back, which NFE does not count
    and the time in the network does not hold.
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
        del sampler
        count = classes(card)
        if self.label != "all" and self.label >= count:
            raise BenchError(
                f"{card.name} has no class {self.label}: {self.name}.label must be 0 to {count - 1}, or all"
            )

    def metrics_on(self, card: Card) -> tuple[str, ...]:
        """On the exact checkpoint by its components, else by an independent classifier."""
        if card.exact:
            return ("component_share", "fd_component") if card.name == MIXTURE else ()
        return ("class_share", "fd_class")

    def exact(self, card: Card, sampler: Sampler) -> dict[str, float]:
        """At scale 1 a mixture's guided score is that of one Gaussian, whose recursion is known.

        Not where a corrector's step hangs on norms over a batch of several classes.
        """
        from bench.checkpoints.exact import mixture

        coupled = sampler.corrector is not None and sampler.corrector.couples_batch
        if card.name != MIXTURE or self.scale != 1 or (coupled and self.label == "all"):
            return {}
        if sampler.label_scales is not None:  # score and gradient are of two levels then
            return {}
        data, colour = mixture(card)
        low, high = sampler.sde.data_range
        moved = on_range(data, (low, high), colour)
        total, chosen = 0.0, range(classes(card)) if self.label == "all" else [self.label]
        for k in chosen:
            found = gaussian_moments(sampler, moved.mean[k], moved.variance[k])
            if found is None:
                return {}
            total += frechet(*found, moved.mean[k], moved.variance[k]) / (high - low) ** 2
        return {"fd_component": total / len(chosen)}

    def provenance(self, card: Card) -> dict[str, str]:
        """The hash of the classifier's weights; its card has it, and it is checked when they are loaded."""
        import tomllib

        from bench.checkpoints.load import classifier_path

        if card.exact:
            return {}
        (file,) = tomllib.loads(classifier_path(card).read_text())["files"]
        return {str(card.classifier): str(file["sha256"])}

    def warm(self, work: BatchContext) -> None:
        super().warm(work)
        if self.scale > 0:
            sde = work.sampler.sde
            Guided(work.model, self.labels(work), self.scale).guide(work.prior(), sde.at(sde.end))

    def labels(self, work: BatchContext) -> Tensor:
        """The class of each sample of a batch, (size,)."""
        import torch

        numbers = torch.arange(work.first, work.first + work.size, device=work.device)
        return numbers % work.model.classes if self.label == "all" else torch.full_like(numbers, self.label)

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        labels = self.labels(work)
        condition = Guided(work.model, labels, self.scale) if self.scale > 0 else None
        return {"images": work.model.images(work.sample(condition)), "labels": labels}

    def preview(self, left: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        """A row for each class, of eight images at most; of one class a square."""
        import torch

        images, labels = left["images"], left["labels"]
        rows = [images[labels == k][:8] for k in labels.unique()]
        if len(rows) == 1:
            return images[:64], 8
        columns = min(map(len, rows))
        return torch.cat([row[:columns] for row in rows]), columns


class Guided(Condition):
    """``scale grad_x ln p_t(y | x)`` is added to the score; labels y (B,)."""

    def __init__(self, model: Model, labels: Tensor, scale: float) -> None:
        self.model, self.labels, self.scale = model, labels, scale

    def guide(self, x: Tensor, level: NoiseLevel) -> Tensor:
        return self.model.class_gradient(x, level, self.labels).mul_(self.scale)


def classes(card: Card) -> int:
    """How many classes a checkpoint's classifier tells apart; `BenchError` where it has none."""
    from bench.checkpoints.exact import mixture
    from bench.checkpoints.load import classifier_path
    from bench.checkpoints.networks.classifier import load_noisy_classifier

    if card.format == "mixture":
        return len(mixture(card)[0].weight)
    if card.classifier is not None:
        return int(load_noisy_classifier(card=classifier_path(card)).config["classes"])
    raise BenchError(
        f"checkpoint {card.name} has no classifier to guide it to a class: take {MIXTURE}, or one whose card "
        "names a classifier (cifar10-tiny)"
    )
