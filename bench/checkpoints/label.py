"""Role Label: the number that tells a network its noise level."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from bench.diffusion.levels import NoiseLevel
from bench.diffusion.sde import SDE
from bench.params import Plugin, param


class Label(Plugin):
    """The number that tells a network the noise level of its state: ``factor`` times the value of the level.

    A subclass defines `value`. Its ``name`` is what a card's ``labels`` and `network` take. A network that
    counts the noise scales of its training has an `IndexLabel`.
    """

    published: ClassVar[Mapping[str, Mapping[float, float]]] = {}
    """Labels of published code, for ``bench check``: by SDE, then by time t, at default parameters."""

    factor: float = param(default=1.0, help="factor of the label", above=0)

    @abstractmethod
    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        """The label of a noise level, without the factor.

        Args:
            level: The level, on the SDE of the network's training; sigma > 0.
            sde: That SDE; None for a denoiser that serves every SDE, whose levels have alpha = 1 and no t.

        Returns:
            The value.
        """

    def number(self, level: NoiseLevel, sde: SDE | None, scales: int | None) -> float | None:
        """The label of a noise level.

        Args:
            level: The level, as for `value`.
            sde: The SDE of the network's training, as for `value`.
            scales: Number of noise scales of the training, where it counts them.

        Returns:
            The label; None where none is published for the level: the network is then called at the level of
            equal sigma / alpha.
        """
        del scales
        return self.factor * self.value(level, sde)


class IndexLabel(Label):
    """The position of a level among the N noise scales of a training, 0 for the smallest noise, or a function
    of it.

    A subclass defines `position`, and `of_position` with its inverse `position_of` where the label counts
    otherwise.
    """

    @abstractmethod
    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float | None:
        """The position at which the network is called.

        Args:
            level: The level, on the SDE of the training.
            sde: That SDE.
            scales: N.

        Returns:
            From 0 to N - 1, between two scales too; None where no label is published for the level.
        """

    def of_position(self, position: float, scales: int) -> float:
        """The label of a position.

        Args:
            position: The position, from 0 to N - 1.
            scales: N.

        Returns:
            The label; by default ``factor`` times the position.
        """
        del scales
        return self.factor * position

    def position_of(self, number: float, scales: int) -> float:
        """The position of a label: the inverse of `of_position`.

        Args:
            number: The label.
            scales: N.

        Returns:
            The position.
        """
        del scales
        return number / self.factor

    def value(self, level: NoiseLevel, sde: SDE | None) -> float:
        raise NotImplementedError("the label of a position needs the number of scales")

    def number(self, level: NoiseLevel, sde: SDE | None, scales: int | None) -> float | None:
        assert sde is not None
        assert scales is not None
        position = self.position(level, sde, scales)
        return None if position is None else self.of_position(position, scales)


class Index(IndexLabel):
    """Of DDPM and improved DDPM: i, counted from the smallest noise, and only on the uniform grid.

    Scale i of n >= N scales has the position i N / n (of twice as many i / 2: Song et al. 2021, Table 1). Off
    that grid there is no published label. Other numbers of scales than 1000 are counted in thousandths, which
    are the rescaled steps of Nichol & Dhariwal (2021).
    """

    name = "index"

    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float | None:
        del sde
        if not on_grid(level, scales):
            return None
        assert level.index is not None
        assert level.count is not None
        return level.index * scales / level.count

    def of_position(self, position: float, scales: int) -> float:
        return self.factor * (position * 1000 / scales)

    def position_of(self, number: float, scales: int) -> float:
        return number / self.factor * scales / 1000


class TimeIndex(IndexLabel):
    """Of score_sde's VP networks: t (N - 1) of N scales, on every grid.

    On the uniform grid of N steps it is 0.999 (i + 1) at scale i where sampling ends at t = 0.001.
    """

    name = "time_index"

    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float:
        return position_of_time(level, sde, scales)


class IndexDown(IndexLabel):
    """Of NCSN and score_sde's VE networks: the index counted from the largest noise, N - 1 - i.

    On the uniform grid of n >= N scales as ``index``, off it of the nearest scale.
    """

    name = "index_down"

    def position(self, level: NoiseLevel, sde: SDE, scales: int) -> float:
        if not on_grid(level, scales):
            return scales - 1 - round(scales - 1 - position_of_time(level, sde, scales))
        assert level.index is not None
        assert level.count is not None
        return scales - 1 - (level.count - 1 - level.index) * scales / level.count

    def of_position(self, position: float, scales: int) -> float:
        return self.factor * (scales - 1 - position)

    def position_of(self, number: float, scales: int) -> float:
        return scales - 1 - number / self.factor


def on_grid(level: NoiseLevel, scales: int) -> bool:
    """Whether it is a level of a uniform grid with at least the trained number of scales."""
    return level.index is not None and level.count is not None and level.count >= scales


def position_of_time(level: NoiseLevel, sde: SDE, scales: int) -> float:
    """The position of a level's time among the scales."""
    return min(max(sde.position(level.t, scales), 0.0), scales - 1.0)
