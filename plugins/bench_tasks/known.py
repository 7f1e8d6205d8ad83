"""What is known of an image, and the condition that puts it in: for inpainting and colorization."""

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

    ``axes`` A (C, C) is orthogonal and decouples the color channels; ``mask`` (C, H, W), of ones and zeros,
    says which of the decoupled channels are known at which pixel.
    """

    axes: Tensor
    mask: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """P of images (B, C, H, W)."""
        return rotate_channels(self.axes.T, self.mask * rotate_channels(self.axes, images))


def rotate_channels(axes: Tensor, images: Tensor) -> Tensor:
    """``axes @`` the color channels of images (B, C, H, W)."""
    from torch import einsum

    return einsum("dc,bchw->bdhw", axes, images)


class Replace(Condition):
    """After a move that leads to a noise level, replaces the known part by a draw of the forward marginal,

        x' = x + P (alpha y + sigma z - x),

    with the known data y and white noise z (Song et al. 2021, appendix I.2). At clean data it is y itself.

    An approximation: the known part at a level is drawn anew at each move, independently of the unknown part,
    so that the two fit each other only as far as later moves bring them together.

    Args:
        model: The run's checkpoint.
        original: The images of which a part is known, (B, C, H, W) on [0, 1].
        part: The projector P.
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
        """``axes`` (C, C) and ``mask`` (C, H, W) of the `KnownPart` of images of a shape (C, H, W)."""

    @abstractmethod
    def draw_known(self, known: Tensor, mask: Tensor) -> Tensor:
        """The known part (B, C, H, W) as the preview shows it; mask (C, H, W)."""

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        from torch import from_numpy

        original = batch.images
        assert original is not None
        axes, mask = (
            from_numpy(a).to(original.device, original.dtype) for a in self.part(tuple(original.shape[1:]))
        )
        part = KnownPart(axes, mask)
        x = batch.sample(Replace(batch.model, original, part))
        rows = functools.partial(_rows, count=batch.size)
        return {
            "images": batch.model.images(x),
            "original": original,
            "known": rows(mask.bool()),
            "axes": rows(axes),
        }

    def preview(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        """A row for each image: the original, what is known of it, its completions."""
        from torch import cat

        rows = max(64 // self.completions, 1)
        completions, originals = (
            outputs[name][: rows * self.completions].unflatten(0, (-1, self.completions))
            for name in ("images", "original")
        )
        original, mask = originals[:, 0], outputs["known"][0].to(originals.dtype)
        masked = self.draw_known(KnownPart(outputs["axes"][0], mask)(original), mask)
        first = [one.unsqueeze(1) for one in (original, masked)]
        return cat([*first, completions], dim=1).flatten(0, 1), 2 + self.completions


def _rows(one: Tensor, count: int) -> Tensor:
    """The same tensor for each of ``count`` samples."""
    return one.expand(count, *one.shape).contiguous()
