"""Roles Predictor, Corrector and Solver: what a sampler is made of."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from bench.diffusion.levels import NoiseLevel, Step
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.params import Plugin

if TYPE_CHECKING:
    from torch import Tensor


OnStep = Callable[[int, int | None, int], None]
"""``on_step(done, total, calls)``: steps done, steps in all (None where unknown), network calls so far."""


class Field(Protocol):
    """The right-hand side of an ODE: ``dy/dt = field(t, y)``. Any callable with this signature is a field."""

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
        mean: The state without the step's own noise (B, ...); a run with ``denoise="mean"`` returns the last
            one.
        state: The history of a multistep predictor, which its next step receives; None without a history.
    """

    x: Tensor
    mean: Tensor
    state: Any = None


class SamplerPart(Plugin):
    """What predictors, correctors and solvers declare about themselves; ``bench check`` tests it."""

    uses_chain: ClassVar[bool] = True
    """Whether a predictor or corrector reads the SDE's discrete chain: ``a``, ``g``, ``alpha_ratio``,
    ``posterior`` or a field ``ancestral_…`` of a `Step`. On the uniform grid these are the published chain's,
    which is not defined at every number of steps; a sampler that reads none of them runs at any number."""

    smooth_grids: ClassVar[bool] = False
    """Whether the declared order is that of grids whose steps change smoothly, as of a multistep method whose
    weights are those of even steps; on others the error then falls with the first power of the step."""

    @property
    def converges_to(self) -> Literal["flow", "data"] | None:
        """What the samples tend to as steps get shorter, which `bench check` holds a predictor or solver to.

        ``"flow"``: each sample to the end of the probability flow that starts where it does, at eps, at the
        clean data expected there, or at 0. A sampler that draws noise can only tend to the data, and is held
        to that. ``"data"``: their distribution to that of the data, whatever the single sample does. None:
        to neither, as of a sampler distilled or guided for its looks; its error is shown, and nothing is
        required of it. The kit's data lie within the range that checkpoints take: there a sampler that clips
        or thresholds converges as it would without.
        """
        return "flow"

    @property
    def couples_batch(self) -> bool:
        """Whether a sample depends on the others of its batch, as through a norm over it or a shared step."""
        return False

    @property
    def linear(self) -> bool:
        """Whether the result is a sum of x, scores and noises with factors that depend on none of them.

        On Gaussian data the moments of its samples are then known exactly.
        """
        return False

    @property
    def convergence_order(self) -> float | None:
        """The power of the step size with which the error falls; None: not declared."""
        return None

    def starts_in_noise(self, sde: SDE) -> bool:
        """Whether the equation of a predictor or solver has a limit at alpha = 0, so that it starts there.

        Where it has none, a run's first step is DDIM's exact limit,
        ``x' = alpha' E[x0 | x] + sigma' x / sigma``: a predictor's to its next level, a solver's to T - eps.

        Args:
            sde: The run's SDE, with alpha(T) = 0.

        Returns:
            False by default.
        """
        del sde
        return False


class PartError(BenchError):
    """A predictor, corrector or solver broke a rule of its role."""

    def __init__(self, part: SamplerPart, message: str) -> None:
        super().__init__(f"{part.name} {message}")
        self.part = part


class Predictor(SamplerPart):
    """One reverse step, from a noise level to the next, less noisy one: x_i -> x_{i-1}.

    `step` leaves its argument x unchanged, draws noise from ``noise`` alone and keeps nothing on the object.
    It may call the network any number of times: calls are counted.
    """

    idle: ClassVar[bool] = False
    """Whether `step` returns x unchanged; a run then skips it."""

    def nfe(self, grid: Sequence[Step]) -> int | None:
        """Network calls per sample of a run.

        Args:
            grid: The steps of the run, noisiest first.

        Returns:
            The number of calls, by default one per step; None where it is unknown in advance.
        """
        return len(grid)

    def refine(self, steps: int) -> Self:
        """This predictor as `bench check` runs it in so many steps, to see the error fall.

        Default: this one, since the grid has the steps. A predictor that makes further moves within a step,
        whose error a finer grid does not lower, overrides this and makes them finer too. It changes numbers
        alone, each of which makes more calls, and at few steps it changes nothing.

        Args:
            steps: The run's number of steps.

        Returns:
            The predictor, which may be the same.
        """
        del steps
        return self

    @property
    def needs_variance(self) -> bool:
        """Whether it uses the checkpoint's learned variance, by `Prediction.score_and_variance`."""
        return False

    @abstractmethod
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        """One reverse step.

        Args:
            x: The state (B, ...) at ``step``.
            step: The noise level of x, the next one, and the chain between the two.
            p: The run's network, asked for what the equation is written in: ``p.score(x, step)``, or
                ``denoised``, ``noise``, ``velocity``.
            noise: The run's stream for predictors.
            state: `Update.state` of the previous step; None at the first one.

        Returns:
            The state at the step's next level, of the shape, precision and device of x.
        """

    def resolve(self, sde: SDE) -> Predictor:
        """This predictor with the parameters that depend on the SDE filled in.

        Args:
            sde: The run's SDE.

        Returns:
            The predictor that the run uses. Default: this one.

        Raises:
            BenchError: The predictor is not defined on the SDE.
        """
        del sde
        return self


class LinearPredictor(Predictor):
    """A predictor ``x' = a x + b score + c z`` whose factors depend on the step alone.

    On Gaussian data, mean and variance of its samples follow exactly from a recursion over the steps. A
    subclass defines `coefficients`.
    """

    @property
    def linear(self) -> bool:
        """False where a parameter makes the step differ from its `coefficients`."""
        return True

    @abstractmethod
    def coefficients(self, step: Step) -> tuple[float, float, float]:
        """The factors of one step.

        Args:
            step: The step; the score is evaluated at its level.

        Returns:
            a, b and c.
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
    """Moves at one noise level that leave its marginal nearly unchanged: x_i -> x_i, `calls` times."""

    @property
    def calls(self) -> int:
        """Number of moves at each level."""
        return 0

    @abstractmethod
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        """One move, under the same rules as `Predictor.step`.

        Args:
            x: The state (B, ...) at ``step``.
            step: The noise level of x, before and after the move.
            p: The run's network: ``p.score(x, step)``.
            noise: The run's stream for correctors.

        Returns:
            The new state, of the shape, precision and device of x.
        """

    def resolve(self, sde: SDE) -> Corrector:
        """This corrector with the parameters that depend on the SDE filled in.

        Args:
            sde: The run's SDE.

        Returns:
            The corrector that the run uses. Default: this one.

        Raises:
            BenchError: The corrector is not defined on the SDE.
        """
        del sde
        return self


class LangevinLike(Corrector):
    """A corrector ``x' = x + e score + sqrt(2 e) z`` whose step e is given by `size`."""

    @abstractmethod
    def size(self, step: Step, noise_norm: Any, score_norm: Any) -> Any:
        """The step e of a move.

        A sampler passes the norms of its tensors; the closed form on Gaussian data passes their expectations.
        Both so use the same equation.

        Args:
            step: The noise level of the move.
            noise_norm: Mean norm ``|z|`` of the noise, a tensor or a float.
            score_norm: Mean norm ``|score|`` of the score, a tensor or a float.

        Returns:
            e, of the type of the norms or a float.
        """


class Solver(SamplerPart):
    """A whole integration, from the prior at T to ``sde.eps``, on times of its own: x(T) -> x(eps)."""

    follows_flow: ClassVar[bool] = False
    """Whether its result tends to the probability flow's as its tolerance falls."""

    @property
    def ends_clean(self) -> bool:
        """Whether its result is clean data; a run then adds no denoising step."""
        return False

    def end_level(self, sde: SDE) -> NoiseLevel:
        """The noise level of its result, at which a run's denoising step asks the network.

        Args:
            sde: The run's SDE.

        Returns:
            The level; that of eps by default.
        """
        return sde.at(sde.eps)

    def resolve(self, sde: SDE) -> Solver:
        """This solver on the run's SDE, called when a run is planned.

        Args:
            sde: The run's SDE.

        Returns:
            The solver that the run uses. Default: this one.

        Raises:
            BenchError: The solver is not defined on the SDE.
        """
        del sde
        return self

    def notes(self, sde: SDE) -> tuple[str, ...]:
        """What a reader of the result must know, each in one line; printed before the run.

        Args:
            sde: The run's SDE.

        Returns:
            The notes; none by default.
        """
        del sde
        return ()

    def nfe(self) -> int | None:
        """Network calls per sample of a run.

        Returns:
            The number of calls; None, the default, where it is unknown in advance.
        """
        return None

    def refine(self, steps: int) -> Self | None:
        """This solver at another number of steps: what `bench check` refines to see the error fall.

        Default: its parameter ``steps`` is set. A solver whose number of steps has another name, or follows
        from several parameters, overrides this; it may take more steps than asked for, or fewer.

        Args:
            steps: The number of steps, or about it.

        Returns:
            The solver; None where it has no number of steps, as one that chooses its steps by a tolerance.

        Raises:
            BenchError: It can't take that number.
        """
        values = self.values()
        return type(self).build(values | {"steps": steps}) if "steps" in values else None

    @abstractmethod
    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        """Integrate one batch.

        Args:
            x: The prior's draw (B, ...) at T, of standard deviation ``sde.prior_std``; must stay unchanged.
            sde: The run's SDE.
            p: The run's network, asked at (x, t) for its score, ``denoised``, ``noise`` or ``velocity``.
            noise: The run's stream for predictors.

        Returns:
            The state (B, ...) at `end_level`, or clean data if `ends_clean`; of x's precision and device.

        Raises:
            BenchError: The solver gives up; the message, one line, says why.
        """


class FlowSolver(Solver):
    """A solver of ODEs: of the probability flow ``dx/dt = p.velocity(x, t)``, and of others.

    It integrates in both directions of time. Tasks use it for other fields too, such as the flow together
    with a log-density. A subclass defines `integrate`.

    Source: Song et al. (2021), eq. 13.
    """

    follows_flow = True

    def starts_in_noise(self, sde: SDE) -> bool:
        """True: the velocity has a limit at alpha = 0."""
        del sde
        return True

    @abstractmethod
    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        """``y(end)`` of ``dy/dt = field(t, y)``.

        Args:
            field: The right-hand side; must be evaluated between the two times alone.
            y: The state (B, ...) at ``start``; must stay unchanged.
            start: Time at which the integration starts.
            end: Time at which it ends, before or after ``start``.

        Returns:
            The state (B, ...) at ``end``, of the precision and device of y.

        Raises:
            BenchError: The solver gives up; the message, one line, says why.
        """

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        del noise
        return self.integrate(lambda t, y: p.velocity(y, t), x, sde.end, sde.eps)
