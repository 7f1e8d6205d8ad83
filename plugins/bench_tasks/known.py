"""What is known of an image, and the condition that puts it in: for inpainting and colourisation."""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Mapping

from bench import (
    Array,
    BatchContext,
    BenchError,
    Card,
    Condition,
    Model,
    Noise,
    NoiseLevel,
    Sampler,
    Task,
    Tensor,
    param,
)


@dataclasses.dataclass(frozen=True)
class KnownPart:
    """The part ``P x = A^T (mask * A x)`` of images that is known; P is an orthogonal projector.

    ``axes`` A (C, C) is orthogonal and decouples the colour channels; ``mask`` (C, H, W), of ones and zeros,
    says which of the decoupled ones are known where.
    """

    axes: Tensor
    mask: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """P of images (B, C, H, W)."""
        return turned(self.axes.T, self.mask * turned(self.axes, images))


def turned(axes: Tensor, images: Tensor) -> Tensor:
    """``axes @`` the colour channels of images (B, C, H, W)."""
    from torch import einsum

    return einsum("dc,bchw->bdhw", axes, images)


class Replace(Condition):
    """After a move that led to a level, its known part is replaced by a draw of the forward marginal,

        x' = x + P (alpha y + sigma z - x),

    y being the known data and z white noise (Song et al. 2021, appendix I.2). At clean data y itself.

    An approximation: what is known at a level is drawn anew at each move, whatever the unknown part is, so
    that the two fit each other only as far as the later moves bring it about.
    """

    def __init__(self, model: Model, original: Tensor, part: KnownPart) -> None:
        self.model, self.part = model, part
        self.y = model.states(original)
        # states are affine in images: the projector is applied through the linear parts of both maps
        self.black = model.states(original.new_zeros(original[:1].shape))
        self.image_of_zero = model.images(self.y.new_zeros(self.y[:1].shape))

    def project(self, x: Tensor, level: NoiseLevel, noise: Noise) -> Tensor:
        missing = noise(x).mul_(level.sigma).add_(self.y, alpha=level.alpha).sub_(x)
        known = self.part(self.model.images(missing) - self.image_of_zero)
        return x + (self.model.states(known) - self.black)


class Completion(Task):
    """Images of which a part is known, several completions of each, by replacement (`Replace`)."""

    outputs = ("images", "original", "known", "axes")
    takes_data = True

    completions: int = param(default=4, help="completions of each image", low=2)

    @property
    def per_image(self) -> int:
        return self.completions

    def metrics_on(self, card: Card) -> tuple[str, ...]:
        return ("conditional_fd" if card.format == "gaussian" else card.metric, "known_error")

    def check(self, card: Card, sampler: Sampler) -> None:
        if sampler.solver is not None:
            raise BenchError(
                f"{self.name} puts in what is known after every step of a predictor or a corrector: "
                f"leave out --solver {sampler.solver.name}"
            )
        self.part(card.shape)

    @abstractmethod
    def part(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """``axes`` and ``mask`` of the `KnownPart` of images of a shape (C, H, W)."""

    @abstractmethod
    def drawn(self, known: Tensor, mask: Tensor) -> Tensor:
        """The known part (B, C, H, W) as a person is to see it."""

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        from torch import from_numpy

        original = work.images
        assert original is not None
        axes, mask = (
            from_numpy(a).to(original.device, original.dtype) for a in self.part(tuple(original.shape[1:]))
        )
        part = KnownPart(axes, mask)
        x = work.sample(Replace(work.model, original, part))
        rows = functools.partial(_rows, count=work.size)
        return {
            "images": work.model.images(x),
            "original": original,
            "known": rows(mask.bool()),
            "axes": rows(axes),
        }

    def preview(self, left: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        """A row for each image: the original, what is known of it, its completions."""
        from torch import cat

        rows = max(64 // self.completions, 1)
        completions, originals = (
            left[name][: rows * self.completions].unflatten(0, (-1, self.completions))
            for name in ("images", "original")
        )
        original, mask = originals[:, 0], left["known"][0].to(originals.dtype)
        masked = self.drawn(KnownPart(left["axes"][0], mask)(original), mask)
        first = [one.unsqueeze(1) for one in (original, masked)]
        return cat([*first, completions], dim=1).flatten(0, 1), 2 + self.completions


def _rows(one: Tensor, count: int) -> Tensor:
    """The same for each of ``count`` samples."""
    return one.expand(count, *one.shape).contiguous()
