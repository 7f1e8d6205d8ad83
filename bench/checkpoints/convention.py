"""A network behind its convention: the level and label at which it is called, and what it then answers."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.checkpoints.cards import Card
from bench.checkpoints.label import IndexLabel, Label, on_grid
from bench.checkpoints.networks.classifier import NoisyClassifier
from bench.checkpoints.networks.layers import memory_format
from bench.checkpoints.parametrisation import Parametrisation
from bench.checkpoints.resolve import is_native
from bench.diffusion.counting import count_evaluations
from bench.diffusion.levels import NoiseLevel
from bench.diffusion.model import Denoiser, Model, denoised_of_score
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.types import Array

T = TypeVar("T")


class Convention:
    """The label and the noise level at which a network is called, on the SDE that it was trained on.

    A network of N discrete scales is called at a level of the discrete chain: of n scales on the uniform grid
    of n >= N, and anywhere else at the trained scale below its position. Any other is called at the level
    itself.

    Args:
        label: How the network is told its noise level.
        sde: The SDE of its training.
        scales: N; None for a network that knows every level.
    """

    def __init__(self, label: Label, sde: SDE, scales: int | None = None) -> None:
        self.label = label
        self.sde = sde
        self.scales = scales
        self._chains: dict[int, tuple[Array, Array]] = {}
        self._numbers: dict[NoiseLevel, float | None] = {}

    def published(self, level: NoiseLevel) -> bool:
        """Whether the level has a label by `at`; otherwise the network is called by `nearest`."""
        return self._number(level) is not None

    def at(self, level: NoiseLevel) -> tuple[float, NoiseLevel]:
        """The label of a `published` level and the level that it is called at, with its slopes."""
        number = self._number(level)
        assert number is not None
        return number, self._called_at(level)

    def _number(self, level: NoiseLevel) -> float | None:
        """The label, computed once; None where none is published."""
        if level not in self._numbers:
            self._numbers[level] = self.label.number(level, self.sde, self.scales)
        return self._numbers[level]

    def _called_at(self, level: NoiseLevel) -> NoiseLevel:
        if not isinstance(self.label, IndexLabel):
            if level.alpha_slope is not None:
                return level
            own = self.sde.at(level.t)
            return dataclasses.replace(level, alpha_slope=own.alpha_slope, sigma_slope=own.sigma_slope)
        assert self.scales is not None
        if on_grid(level, self.scales):
            assert level.index is not None
            assert level.count is not None
            count, scale = level.count, level.index
        else:
            position = self.label.position(level, self.sde, self.scales)
            assert position is not None
            count, scale = self.scales, int(position)
        alpha, sigma = self.chain(count)
        return NoiseLevel(level.t, float(alpha[scale]), float(sigma[scale]))

    def level_of(self, label: float) -> NoiseLevel:
        """The noise level that a label of a discrete network stands for: the inverse of `nearest`.

        Between two scales ln alpha is linear in the label (on a chain of alpha = 1, ln sigma); beyond the
        scales it is the nearest one.
        """
        assert isinstance(self.label, IndexLabel)
        assert self.scales is not None
        alpha, sigma = self.chain(self.scales)
        index = np.arange(self.scales)
        position = self.label.position_of(label, self.scales)
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
        label, own = self.at(level)
        label_level = self.level_of(label)
        return label_level, label_level.sigma / own.sigma

    def chain(self, count: int) -> tuple[Array, Array]:
        """Alpha and sigma of every scale of the discrete chain of ``count`` scales; shapes (count,)."""
        if count not in self._chains:
            a, g = self.sde.chain(self.sde.chain_times(count), count)
            variance, sigmas = 0.0, []
            for a_i, g_i in zip(a.tolist(), g.tolist(), strict=True):
                variance = a_i**2 * variance + g_i**2
                sigmas.append(math.sqrt(variance))
            self._chains[count] = np.cumprod(a, dtype=np.float64), np.array(sigmas, dtype=np.float64)
        return self._chains[count]

    def nearest(self, ratio: float) -> tuple[float, NoiseLevel]:
        """The label and the level where this SDE has ``sigma / alpha = ratio``, or its end next to that.

        A discrete network is called between its scales: ln alpha (of VE ln sigma) is interpolated linearly
        from scale to scale.
        """
        if isinstance(self.label, IndexLabel):
            assert self.scales is not None
            alpha, sigma = self.chain(self.scales)
            index = np.arange(self.scales)
            if alpha[-1] == 1.0:
                position = float(np.interp(math.log(ratio), np.log(sigma), index))
            else:
                position = float(np.interp(0.5 * math.log1p(ratio**2), -np.log(alpha), index))
            scale = math.exp(np.interp(position, index, np.log(alpha)))
            return self.label.of_position(position, self.scales), NoiseLevel(0.0, scale, ratio * scale)
        level = self.sde.level_at(ratio)
        return self.at(level)[0], dataclasses.replace(level, sigma=ratio * level.alpha)


_Exchange = Callable[[Tensor, float, tuple[Tensor, ...]], Tensor]
"""``exchange(x, label, arguments)``: the network's output at one level, from elsewhere."""


class _TakenDown(Exception):
    """What the network would be given is known."""


class NetworkModel(Denoiser):
    """A network as a model.

    On the SDE that it was trained on, the published convention is followed. On any other, and at levels for
    which it has no label, the network is a denoiser at the level of equal ``sigma / alpha`` (`Denoiser`).

    Args:
        call: ``network(x, label)``: x (B, *shape) in ``dtype``, images in ``memory``, label (1,), or (B,)
            where states are at several levels.
            A class-conditional network: ``network(x, label, classes)`` with classes (B,), integers.
        card: Its card.
        parametrisation: What it answers with.
        label: How it is told its noise level.
        run: The SDE of the run.
        own: The SDE that the network was trained on; None for EDM's denoisers.
        bf16: Whether the network computes in bfloat16.
        memory: Memory format of the images that it takes.
        classifier: Loads the classifier that guides the network, where there is one.
        dtype: What the network takes.
    """

    def __init__(
        self,
        call: Callable[..., Tensor],
        card: Card,
        parametrisation: Parametrisation,
        label: Label,
        run: SDE,
        own: SDE | None,
        *,
        bf16: bool,
        memory: torch.memory_format = torch.contiguous_format,
        classifier: Callable[[], NoisyClassifier] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(card.shape, card.data_range, run.data_range)
        self.card = card
        self.native = own is not None and is_native(card, run, own)
        self.parametrisation = parametrisation
        self.label = label
        if own is not None:
            self.noisiest = math.exp(own.log_sigma_ratio_range[1])
        self._convention = None if own is None else Convention(label, own, card.scales)
        self._nearest: dict[float, tuple[float, NoiseLevel]] = {}
        self._network = call
        self._bf16 = bf16
        self._memory = memory
        self._dtype = dtype
        self._load_classifier = classifier
        self._labels: Tensor | None = None
        self._exchange: _Exchange | None = None

    def of_classes(self, labels: Tensor) -> NetworkModel:
        if not self.card.classes:
            raise BenchError(f"checkpoint {self.card.name} is not class-conditional")
        conditional = copy.copy(self)
        conditional._labels = labels
        return conditional

    def of_rows(self, rows: Tensor) -> NetworkModel:
        if self._labels is None:
            return self
        part = copy.copy(self)
        part._labels = self._labels[rows]
        return part

    def at_once(
        self, questions: Sequence[Callable[[Model, bool], T]], clock: AbstractContextManager[object]
    ) -> list[T]:
        """The answers to several questions, in one call of the network.

        What is done before and after the call differs by level. So a first pass of the questions takes down
        what the network would be given, up to its call, and a second hands them the network's answers.
        """
        inputs: list[tuple[Tensor, float, tuple[Tensor, ...]]] = []

        def take_down(*call: Any) -> Tensor:
            inputs.append(call)
            raise _TakenDown

        for question in questions:
            with contextlib.suppress(_TakenDown):
                question(self._exchanging(take_down), False)
        if not inputs:  # at sigma = 0 no network is needed
            return [question(self, False) for question in questions]
        states, numbers, classes = zip(*inputs, strict=True)
        sizes = list(map(len, states))
        labels = torch.tensor(numbers, dtype=self._dtype).repeat_interleave(torch.tensor(sizes))
        arguments = [torch.cat(each) for each in zip(*classes, strict=True)]
        with clock:
            output = self._evaluate(torch.cat(states), labels.to(states[0].device), *arguments)
        answers = iter(output.split(sizes))
        return [question(self._exchanging(lambda *_: next(answers)), False) for question in questions]

    def _exchanging(self, exchange: _Exchange) -> NetworkModel:
        """This model with a stand-in for its network."""
        model = copy.copy(self)
        model._exchange = exchange
        return model

    @property
    def _arguments(self) -> tuple[Tensor, ...]:
        """What the network takes besides the state and its label."""
        if not self.card.classes:
            return ()
        if self._labels is None:
            raise BenchError(f"checkpoint {self.card.name} is class-conditional: give the classes")
        return (self._labels,)

    def _call(self, x: Tensor, label: float) -> Tensor:
        if self._exchange is not None:
            return self._exchange(x, label, self._arguments)
        return self._evaluate(
            x, torch.full((1,), label, device=x.device, dtype=self._dtype), *self._arguments
        )

    def _evaluate(self, x: Tensor, labels: Tensor, *arguments: Tensor) -> Tensor:
        """The network's output, for labels (1,) or (B,)."""
        count_evaluations(len(x))
        # only batches of images have a format with channels last
        memory = self._memory if x.dim() == 4 else torch.contiguous_format
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._bf16):
            y = self._network(x.to(self._dtype).contiguous(memory_format=memory), labels, *arguments)
        return y.to(x.dtype)

    def _answer(self, x: Tensor, label: float, level: NoiseLevel) -> Tensor:
        """The network's answer to a state at its own level, the learned variance included."""
        factor = self.parametrisation.input_factor(level)
        return self._call(x if factor == 1 else x * factor, label)

    def _prediction(self, output: Tensor) -> Tensor:
        """The answer without the learned variance."""
        return output[:, : self.shape[0]] if self.card.learned_variance else output

    def _published(self, level: NoiseLevel) -> tuple[float, NoiseLevel] | None:
        """The published label of a level and the level it is called at; None where there is none."""
        if not self.native or self._convention is None or not self._convention.published(level):
            return None
        return self._convention.at(level)

    def score(self, x: Tensor, level: NoiseLevel) -> Tensor:
        published = self._published(level)
        if published is None:
            return super().score(x, level)
        label, own = published
        output = self._prediction(self._answer(x, label, own))
        return self.parametrisation.noise(output, x, own) / -own.sigma

    def denoised(self, x: Tensor, level: NoiseLevel) -> Tensor:
        published = self._published(level)
        if published is None:
            return super().denoised(x, level)
        label, own = published
        if own != level:
            # what a network of discrete scales answers is a score, at whichever level it is asked
            return denoised_of_score(x, self.score(x, level), level)
        output = self._prediction(self._answer(x, label, own))
        return self.parametrisation.denoised(output, x, own)

    def noise(self, x: Tensor, level: NoiseLevel) -> Tensor:
        published = self._published(level)
        return super().noise(x, level) if published is None else self.score(x, level).mul_(-level.sigma)

    def score_and_variance(self, x: Tensor, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        if not (self.native and self.card.learned_variance):
            return super().score_and_variance(x, level)
        assert self._convention is not None
        published = self._published(level)
        if published is not None:
            label, own = published
            sigma = own.sigma
        else:
            label, own = self._nearest_to(level.sigma / level.alpha)
            x, sigma = x * (own.alpha / level.alpha), level.sigma
        output = self._answer(x, label, own)
        score = self.parametrisation.noise(self._prediction(output), x, own) / -sigma
        # published on [-1, 1] (Nichol & Dhariwal 2021, eq. 15)
        return score, (output[:, self.shape[0] :] + 1) / 2

    def _nearest_to(self, ratio: float) -> tuple[float, NoiseLevel]:
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
            own = NoiseLevel(0.0, 1.0, sigma)
            label = self.label.number(own, None, None)
            assert label is not None
        else:
            label, own = self._nearest_to(sigma)
        y = x if own.alpha == 1 else x * own.alpha
        return self.parametrisation.denoised(self._prediction(self._answer(y, label, own)), y, own)
