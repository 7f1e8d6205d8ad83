"""Roles Predictor, Corrector and Solver, and the one loop that runs predictors and correctors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bench.diffusion.levels import Step
from bench.diffusion.noise import Noise
from bench.diffusion.prediction import Prediction
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.params import Plugin

if TYPE_CHECKING:
    from torch import Tensor


OnStep = Callable[[int, int | None, int], None]
"""``on_step(done, total, calls)``: scales done, of how many, and score calls so far."""

Field = Callable[[float, "Tensor"], "Tensor"]
"""``field(t, y)``: the right-hand side dy/dt of an ODE at (t, y), y (B, ...)."""


class Update(NamedTuple):
    """What a step leaves: the state, its mean (the state without the step's noise), and the history
    that a multistep method wants handed in again."""

    x: Tensor
    mean: Tensor
    state: Any = None


class SamplerPart(Plugin):
    """What predictors, correctors and solvers declare of themselves; ``bench check`` holds them to it."""

    @property
    def couples_batch(self) -> bool:
        """Whether a sample depends on the others of its batch (through a norm over it, a shared step)."""
        return False

    @property
    def linear(self) -> bool:
        """Whether the result is a sum of x, scores and noises with factors that depend on none of them.

        On Gaussian data the moments of what it samples are then known exactly (`bench.closed_form.moments`).
        """
        return False

    @property
    def convergence_order(self) -> float | None:
        """The power of the step that its error falls with; None: not declared."""
        return None


class PartError(BenchError):
    """A predictor, corrector or solver broke its duties."""

    def __init__(self, part: SamplerPart, what: str) -> None:
        super().__init__(f"{part.name} {what}")
        self.part = part


class Predictor(SamplerPart):
    """One reverse step, from a step to the next less noisy one.

    ``step`` must not change ``x`` in place, draws noise from ``noise`` alone, and calls ``score`` as
    often as it likes: calls are counted.
    """

    idle: ClassVar[bool] = False
    """True for a predictor that leaves x where it is: a run passes it over."""

    def nfe(self, steps: int) -> int | None:
        """Score calls of a run over so many scales, one each by default; None: not known beforehand."""
        return steps

    @property
    def needs_variance(self) -> bool:
        """Whether it asks for the checkpoint's learned variance (`Prediction.score_and_variance`)."""
        return False

    @abstractmethod
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        """x (B, ...) at ``step`` -> `Update` at the next one; ``state`` is None on the first step."""

    def resolve(self, sde: SDE) -> Predictor:
        """This predictor with what was left to the SDE filled in; `BenchError` where it has no meaning."""
        del sde
        return self


class LinearPredictor(Predictor):
    """A predictor that is linear in x, score and noise: ``x' = a x + b score + c z``.

    Its moments on Gaussian data follow from a recursion (`bench.closed_form.moments`).
    """

    @property
    def linear(self) -> bool:
        """False where a parameter makes the step something else than its `coefficients`."""
        return True

    @abstractmethod
    def coefficients(self, step: Step) -> tuple[float, float, float]:
        """(a, b, c) of the step from ``step``."""

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
    """``steps`` moves at one noise step that leave its marginal nearly unchanged."""

    @property
    def calls(self) -> int:
        """Moves per step."""
        return 0

    @abstractmethod
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        """One move at ``step``, with the same duties as `Predictor.step`."""

    def resolve(self, sde: SDE) -> Corrector:
        """As `Predictor.resolve`."""
        del sde
        return self


class LangevinLike(Corrector):
    """A corrector ``x' = x + e score + sqrt(2 e) z``; ``size`` gives the step e.

    ``size`` is told the mean norms of noise and score as tensors or as expected floats, so that the
    closed form on Gaussian data (`bench.closed_form.moments`) and the sampler read the same equation.
    """

    @abstractmethod
    def size(self, step: Step, noise_norm: Any, score_norm: Any) -> Any:
        """The step e at ``step``."""


class Solver(SamplerPart):
    """Integrates from the prior to ``sde.eps`` by itself.

    ``follows_flow``: whether it tends to the probability flow as its tolerance falls; on Gaussian data
    its samples then have a known limit (`bench.closed_form.moments`). ``ends_clean``: whether it ends on clean data by
    itself, so that no denoising step is added.
    """

    follows_flow: ClassVar[bool] = False
    ends_clean: ClassVar[bool] = False

    def nfe(self) -> int | None:
        """Score calls of a run; None: not known beforehand."""
        return None

    @abstractmethod
    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        """x (B, ...) at T -> state at eps (clean data if ``ends_clean``)."""


class FlowSolver(Solver):
    """A solver of ODEs: it follows the probability flow either way, and what is carried along with it.

    ``dx/dt = f(t) x - g(t)^2 p.score(x, t) / 2`` (Song et al. 2021, eq. 13).
    """

    follows_flow = True

    @abstractmethod
    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        """y (B, ...) at ``start`` -> at ``end``, which may lie before it; t stays between the two."""

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        del noise
        return self.integrate(lambda t, y: velocity(y, t, sde, p.score(y, t)), x, sde.end, sde.eps)


def velocity(x: Tensor, t: float, sde: SDE, score: Tensor) -> Tensor:
    """The probability flow's dx/dt at (x, t) with its score; both (B, ...)."""
    import numpy as np

    time = np.asarray(t)
    drift, diffusion = float(sde.drift(time)), float(sde.diffusion(time))
    return (x * drift).add_(score, alpha=-0.5 * diffusion**2)
