"""Roles Predictor, Corrector and Solver: what a sampler is made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from bench.diffusion.levels import Step
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.params import Plugin

if TYPE_CHECKING:
    from torch import Tensor


OnStep = Callable[[int, int | None, int], None]
"""``on_step(done, total, calls)``: steps done, of how many (None: not known), and network calls so far."""


class Field(Protocol):
    """The right-hand side of an ODE: ``dy/dt = field(t, y)``. Any callable with this signature is one."""

    def __call__(self, t: float, y: Tensor, /) -> Tensor:
        """The slope at (t, y).

        Args:
            t: Time, within [eps, T] of the run's SDE.
            y: The state (B, ...).

        Returns:
            dy/dt (B, ...).
        """
        ...


class Update(NamedTuple):
    """What a step or move returns: ``x = mean + c z``, with the history of a multistep method.

    Args:
        x: The new state (B, ...).
        mean: The state without the step's own noise (B, ...); a run that ends on the mean returns the last.
        state: What a multistep predictor receives again at its next step; None where it keeps nothing.
    """

    x: Tensor
    mean: Tensor
    state: Any = None


class SamplerPart(Plugin):
    """What predictors, correctors and solvers declare of themselves; ``bench check`` tests it."""

    @property
    def couples_batch(self) -> bool:
        """Whether a sample depends on the others of its batch (through a norm over it, a shared step)."""
        return False

    @property
    def linear(self) -> bool:
        """Whether the result is a sum of x, scores and noises with factors that depend on none of them.

        On Gaussian data its samples' moments are then known exactly (`bench.closed_form.moments`).
        """
        return False

    @property
    def convergence_order(self) -> float | None:
        """The power of the step with which its error falls; None: not declared."""
        return None


class PartError(BenchError):
    """A predictor, corrector or solver broke a duty of its role."""

    def __init__(self, part: SamplerPart, message: str) -> None:
        super().__init__(f"{part.name} {message}")
        self.part = part


class Predictor(SamplerPart):
    """One reverse step, from a noise level to the next less noisy one: x_i -> x_{i-1}.

    `step` leaves its argument x unchanged, draws noise from ``noise`` alone, keeps nothing on the object, and
    calls the network as often as it likes: calls are counted.
    """

    idle: ClassVar[bool] = False
    """Whether it returns x unchanged; a run then skips it."""

    def nfe(self, steps: int) -> int | None:
        """Network calls per sample of a run.

        Args:
            steps: Number of steps of the run.

        Returns:
            The number of calls, by default one a step; None: not known beforehand.
        """
        return steps

    @property
    def needs_variance(self) -> bool:
        """Whether it uses the checkpoint's learned variance (`Prediction.score_and_variance`)."""
        return False

    @abstractmethod
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        """One reverse step.

        Args:
            x: The state (B, ...) at ``step``.
            step: The noise level of x, the next one, and the chain between the two.
            p: The run's network: ``p.score(x, step)``.
            noise: The run's stream for predictors.
            state: `Update.state` of the run's step before; None on the first one.

        Returns:
            The state at the step's next level, of the shape, precision and device of x.
        """

    def resolve(self, sde: SDE) -> Predictor:
        """This predictor with the parameters that depend on the SDE filled in.

        Args:
            sde: The run's SDE.

        Raises:
            BenchError: The predictor is not defined on the SDE.
        """
        del sde
        return self


class LinearPredictor(Predictor):
    """A predictor ``x' = a x + b score + c z`` with factors that depend on the step alone.

    Its moments on Gaussian data follow from a recursion (`bench.closed_form.moments`).
    """

    @property
    def linear(self) -> bool:
        """False where a parameter makes the step differ from its `coefficients`."""
        return True

    @abstractmethod
    def coefficients(self, step: Step) -> tuple[float, float, float]:
        """The factors (a, b, c) of one step.

        Args:
            step: The step, whose level is where the score is taken.
        """

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        from torch import add

        a, b, c = self.coefficients(step)
        mean = (x * a).add_(p.score(x, step), alpha=b)
        if c == 0:
            return Update(mean, mean)
        # written over the noise: a new tensor of a batch's size costs more than the arithmetic on it
        z = noise(x)
        return Update(add(mean, z, alpha=c, out=z), mean)


class Corrector(SamplerPart):
    """`calls` moves at one noise level, each of which leaves its marginal nearly unchanged: x_i -> x_i."""

    @property
    def calls(self) -> int:
        """Moves at each level."""
        return 0

    @abstractmethod
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        """One move, with the same duties as `Predictor.step`.

        Args:
            x: The state (B, ...) at ``step``.
            step: The noise level of x, before and after the move.
            p: The run's network: ``p.score(x, step)``.
            noise: The run's stream for correctors.

        Returns:
            The new state, of the shape, precision and device of x.
        """

    def resolve(self, sde: SDE) -> Corrector:
        """As `Predictor.resolve`."""
        del sde
        return self


class LangevinLike(Corrector):
    """A corrector ``x' = x + e score + sqrt(2 e) z`` whose step e is given by `size`."""

    @abstractmethod
    def size(self, step: Step, noise_norm: Any, score_norm: Any) -> Any:
        """The step e of a move.

        The sampler passes norms of tensors, the closed form on Gaussian data (`bench.closed_form.moments`)
        their expectation, so that both read the same equation.

        Args:
            step: The noise level of the move.
            noise_norm: Mean norm ``|z|`` of the noise, a tensor or a float.
            score_norm: Mean norm ``|score|``, alike.

        Returns:
            e, of the type of the norms or a float.
        """


class Solver(SamplerPart):
    """Integrates from the prior at T to ``sde.eps`` by itself: x(T) -> x(eps), on times of its own."""

    follows_flow: ClassVar[bool] = False
    """Whether it tends to the probability flow as its tolerance falls: a limit known on Gaussian data."""
    ends_clean: ClassVar[bool] = False
    """Whether it ends on clean data by itself; a run then adds no denoising step."""

    def nfe(self) -> int | None:
        """Network calls per sample of a run; None: not known beforehand."""
        return None

    @abstractmethod
    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        """A whole run.

        Args:
            x: The prior's draw (B, ...) at T, of standard deviation ``sde.prior_std``; left unchanged.
            sde: The run's SDE.
            p: The run's network: ``p.score(x, t)``.
            noise: The run's stream for predictors.

        Returns:
            The state (B, ...) at eps (clean data if `ends_clean`), of the precision and device of x.

        Raises:
            BenchError: The solver gives up; the message says why in one line.
        """


class FlowSolver(Solver):
    """A solver of ODEs, which can follow the probability flow in both directions.

    ``dx/dt = f(t) x - g(t)^2 p.score(x, t) / 2`` (Song et al. 2021, eq. 13). Tasks integrate other fields
    with it too, such as the flow together with a log-density.
    """

    follows_flow = True

    @abstractmethod
    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        """``y(end)`` of ``dy/dt = field(t, y)``.

        Args:
            field: The right-hand side; it is evaluated between the two times alone.
            y: The state (B, ...) at ``start``; left unchanged.
            start: Time at which the integration starts.
            end: Time at which it ends, before or after ``start``.

        Returns:
            The state (B, ...) at ``end``, of the precision and device of y.

        Raises:
            BenchError: The solver gives up; the message says why in one line.
        """

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        del noise
        return self.integrate(lambda t, y: velocity(y, t, sde, p.score(y, t)), x, sde.end, sde.eps)


def velocity(x: Tensor, t: float, sde: SDE, score: Tensor) -> Tensor:
    """The probability flow's slope ``dx/dt = f(t) x - g(t)^2 score / 2``.

    Args:
        x: The state (B, ...).
        t: Its time.
        sde: The run's SDE.
        score: The score at (x, t), (B, ...).

    Returns:
        dx/dt (B, ...).

    Source: Song et al. (2021), eq. 13.
    """
    time = np.asarray(t)
    drift, diffusion = float(sde.drift(time)), float(sde.diffusion(time))
    return (x * drift).add_(score, alpha=-0.5 * diffusion**2)
