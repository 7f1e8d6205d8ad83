"""From a network's output to a score: the label of a noise level, and the meaning of the output."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bench.checkpoints.cards import Card
from bench.checkpoints.networks.classifier import NoisyClassifier
from bench.checkpoints.networks.layers import memory_format
from bench.checkpoints.resolve import is_native
from bench.diffusion.counting import count_evaluations
from bench.diffusion.grid import time_grid
from bench.diffusion.levels import NoiseLevel
from bench.diffusion.model import Denoiser
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.types import Array


class Convention:
    """The label and the sigma of a level, on the SDE that a network was trained on.

    * ``999t``: 999 t; ``sigma``: sigma(t). Sigma is the marginal's.
    * ``time_index``, of a network of N scales: the position of t among them, t (N - 1), on every grid, as
      score_sde_pytorch asks: on the uniform grid of N steps 0.999 (i + 1) at scale i where sampling ends at
      t = 0.001.
    * ``index``: on the uniform grid of n >= N scales, scale i has the label i N / n (of twice as many i / 2,
      Song et al. 2021, Table 1). Anywhere else there is no published label: see `published`.
    * ``index_down``: the same counted from the largest noise; off the grid the nearest scale.

    Sigma of a discrete network is the chain's own of n scales on the uniform grid of n >= N, and anywhere
    else the trained one at the position of t, rounded down (``index_down``: of the nearest scale).
    """

    def __init__(self, card: Card, sde: SDE) -> None:
        self.card = card
        self.sde = sde
        self._chains: dict[int, tuple[Array, Array]] = {}
        self._answers: dict[NoiseLevel, tuple[float, float]] = {}

    def published(self, level: NoiseLevel) -> bool:
        """Whether the level has a label by `at`; otherwise the network is called by `nearest`."""
        return self.card.labels != "index" or self._on_grid(level)

    def _on_grid(self, level: NoiseLevel) -> bool:
        """Whether it is a level of a uniform grid with at least the trained number of scales."""
        assert self.card.scales is not None
        return level.index is not None and level.count is not None and level.count >= self.card.scales

    def at(self, level: NoiseLevel) -> tuple[float, float]:
        """(label, sigma) of a `published` level; computed once."""
        if level not in self._answers:
            self._answers[level] = self._at(level)
        return self._answers[level]

    def _at(self, level: NoiseLevel) -> tuple[float, float]:
        if self.card.labels == "999t":
            return 999 * level.t, level.sigma
        if self.card.labels == "sigma":
            return level.sigma, level.sigma
        scales = self.card.scales
        assert scales is not None
        down = self.card.labels == "index_down"
        position = min(max(self.sde.position(level.t, scales), 0.0), scales - 1.0)
        if self._on_grid(level):
            assert level.index is not None
            assert level.count is not None
            index = level.count - 1 - level.index if down else level.index
            label = position if self.card.labels == "time_index" else index * scales / level.count
            return self._label(label), float(self.chain(level.count)[1][level.index])
        if down:
            nearest = round(scales - 1 - position)
            return self._label(nearest), float(self.chain(scales)[1][scales - 1 - nearest])
        return self._label(position), float(self.chain(scales)[1][int(position)])

    def _label(self, position: float) -> float:
        """The label of a position among the scales; `index` counts other than 1000 scales in thousandths.

        These are the rescaled steps of Nichol & Dhariwal (2021).
        """
        if self.card.labels != "index" or self.card.scales is None:
            return position
        return position * 1000 / self.card.scales

    def level_of(self, label: float) -> NoiseLevel:
        """The noise level that a label of a discrete network stands for: the inverse of `nearest`.

        Between two scales ln alpha is linear in the label (on a chain of alpha = 1, ln sigma); beyond the
        scales it is the nearest one.
        """
        scales = self.card.scales
        assert scales is not None
        alpha, sigma = self.chain(scales)
        index = np.arange(scales)
        if self.card.labels == "index_down":
            position = scales - 1 - label
        else:
            position = label * scales / 1000 if self.card.labels == "index" else label
        if alpha[-1] == 1.0:
            return NoiseLevel(0.0, 1.0, math.exp(np.interp(position, index, np.log(sigma))))
        log_alpha = float(np.interp(position, index, np.log(alpha)))
        return NoiseLevel(0.0, math.exp(log_alpha), math.sqrt(-math.expm1(2 * log_alpha)))

    def answer(self, level: NoiseLevel) -> tuple[NoiseLevel, float]:
        """What a perfectly trained discrete network answers at a `published` level.

        It returns ``sigma score`` at the level of its label, which the convention's own sigma divides:
        ``score(x, t) = (sigma(label) / sigma(t)) score_label(x)``.

        Returns:
            The level of the label, and the factor of the score at that level.
        """
        label, sigma = self.at(level)
        label_level = self.level_of(label)
        return label_level, label_level.sigma / sigma

    def chain(self, count: int) -> tuple[Array, Array]:
        """Alpha and sigma of every scale of the discrete chain of ``count`` scales; shapes (count,)."""
        if count not in self._chains:
            a, g = self.sde.chain(time_grid(self.sde, count), count)
            variance, sigmas = 0.0, []
            for a_i, g_i in zip(a.tolist(), g.tolist(), strict=True):
                variance = a_i**2 * variance + g_i**2
                sigmas.append(math.sqrt(variance))
            self._chains[count] = np.cumprod(a, dtype=np.float64), np.array(sigmas, dtype=np.float64)
        return self._chains[count]

    def nearest(self, ratio: float) -> tuple[float, float, float]:
        """(label, alpha, sigma) where this SDE has ``sigma / alpha = ratio``, or its end next to that.

        A discrete network is called between its scales: ln alpha (of VE ln sigma) is interpolated linearly
        from scale to scale.
        """
        if self.card.discrete:
            scales = self.card.scales
            assert scales is not None
            alpha, sigma = self.chain(scales)
            index = np.arange(scales)
            if alpha[-1] == 1.0:
                position = float(np.interp(math.log(ratio), np.log(sigma), index))
            else:
                position = float(np.interp(0.5 * math.log1p(ratio**2), -np.log(alpha), index))
            scale = math.exp(np.interp(position, index, np.log(alpha)))
            label = scales - 1 - position if self.card.labels == "index_down" else position
            return self._label(label), scale, ratio * scale
        level = self.sde.level_at(ratio)
        return self.at(level)[0], level.alpha, ratio * level.alpha


class NetworkModel(Denoiser):
    """A network as a model.

    On the SDE that it was trained on, the published convention is followed. On any other, and at levels for
    which it has no label, the network is a denoiser at the level of equal ``sigma / alpha`` (`Denoiser`).

    Args:
        call: ``network(x, label)``: x (B, C, H, W) in float32, in the device's `memory_format`, label (1,). A
            class-conditional network: ``network(x, label, classes)`` with classes (B,), integers.
        card: Its convention.
        run: The SDE of the run.
        own: The SDE that the network was trained on; None for EDM's denoisers.
        bf16: Whether the network computes in bfloat16.
        classifier: Loads the classifier that guides the network, where there is one.
    """

    def __init__(
        self,
        call: Callable[..., Tensor],
        card: Card,
        run: SDE,
        own: SDE | None,
        *,
        bf16: bool,
        classifier: Callable[[], NoisyClassifier] | None = None,
    ) -> None:
        super().__init__(card.shape, card.data_range, run.data_range)
        self.card = card
        self.native = own is not None and is_native(card, run, own)
        self._convention = None if own is None else Convention(card, own)
        self._nearest: dict[float, tuple[float, float, float]] = {}
        self._network = call
        self._bf16 = bf16
        self._load_classifier = classifier
        self._labels: Tensor | None = None

    def of_classes(self, labels: Tensor) -> NetworkModel:
        if not self.card.classes:
            raise BenchError(f"checkpoint {self.card.name} is not class-conditional")
        conditional = copy.copy(self)
        conditional._labels = labels
        return conditional

    @property
    def _arguments(self) -> tuple[Tensor, ...]:
        """What the network takes besides the state and its label."""
        if not self.card.classes:
            return ()
        if self._labels is None:
            raise BenchError(f"checkpoint {self.card.name} is class-conditional: give the classes")
        return (self._labels,)

    def _call(self, x: Tensor, label: float) -> Tensor:
        count_evaluations(len(x))
        where = torch.full((1,), label, device=x.device, dtype=torch.float32)
        memory = memory_format(x.device, bf16=self._bf16)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._bf16):
            y = self._network(x.float().contiguous(memory_format=memory), where, *self._arguments)
        return y.to(x.dtype)

    def _scaled_score(self, output: Tensor, sigma: float) -> Tensor:
        """``sigma score`` from the network's output; may overwrite it."""
        if self.card.learned_variance:
            output = output[:, : self.shape[0]]
        if self.card.predicts == "scaled_score":
            return output
        return output * (sigma if self.card.predicts == "score" else -1.0)

    def _is_published(self, level: NoiseLevel) -> bool:
        """Whether the published convention has a label for the level."""
        return self.native and self._convention is not None and self._convention.published(level)

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        if not self._is_published(level):
            return super().score(x, level)
        assert self._convention is not None
        label, sigma = self._convention.at(level)
        return self._scaled_score(self._call(x, label), sigma) / sigma

    def score_and_variance(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        if not (self.native and self.card.learned_variance):
            return super().score_and_variance(x, level)
        assert self._convention is not None
        if self._is_published(level):
            label, own_sigma = self._convention.at(level)
            sigma = own_sigma
        else:
            label, alpha, own_sigma = self._nearest_to(level.sigma / level.alpha)
            x, sigma = x * (alpha / level.alpha), level.sigma
        output = self._call(x, label)
        # published on [-1, 1] (Nichol & Dhariwal 2021, eq. 15)
        return self._scaled_score(output, own_sigma) / sigma, (output[:, self.shape[0] :] + 1) / 2

    def _nearest_to(self, ratio: float) -> tuple[float, float, float]:
        """`Convention.nearest`; computed once."""
        assert self._convention is not None
        if ratio not in self._nearest:
            self._nearest[ratio] = self._convention.nearest(ratio)
        return self._nearest[ratio]

    @functools.cached_property
    def _classifier(self) -> NoisyClassifier:
        if self._load_classifier is None:
            raise BenchError(f"checkpoint {self.card.name} has no classifier")
        return self._load_classifier()

    @property
    def classes(self) -> int:  # type: ignore[override]
        """Number of classes of the card's classifier."""
        return int(self._classifier.config["classes"])

    def class_gradient(self, x: Tensor, level: NoiseLevel, labels: Tensor) -> Tensor:
        """``grad_x ln p(y | x)`` of the card's classifier, at the level of equal ``sigma / alpha``.

        The classifier works in float32 on its own range: it takes ``z = gain x / alpha + shift``, so that
        ``grad_x = gain / alpha grad_z``.
        """
        low, high = self.run_range
        gain = 2 / (high - low)
        sigma = torch.full((1,), gain * level.sigma / level.alpha, device=x.device)
        with torch.enable_grad():
            y = x.detach().float().contiguous(memory_format=memory_format(x.device))
            y = (y * (gain / level.alpha) - (1 + gain * low)).requires_grad_()
            logits = self._classifier.logits(y, sigma)
            chosen = logits.log_softmax(1).gather(1, labels[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, y)
        return gradient.mul_(gain / level.alpha).to(x.dtype)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        if self._convention is None:
            return self._call(x, sigma)
        label, alpha, own_sigma = self._nearest_to(sigma)
        scaled = self._scaled_score(self._call(x * alpha, label), own_sigma)
        return torch.add(x, scaled, alpha=sigma)
