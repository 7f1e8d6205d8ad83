"""Roles Predictor, Corrector and Solver, and the one loop that runs predictors and correctors."""

from __future__ import annotations

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from bench.errors import BenchError, NotFiniteError
from bench.params import Plugin
from bench.score import ScoreFunction
from bench.sde import SDE, GridKind, Level, Scale, label_levels, scales

if TYPE_CHECKING:
    from torch import Tensor

    from bench.tasks import Condition

Noise = Callable[["Tensor"], "Tensor"]
"""``noise(x)``: a fresh standard normal draw shaped as x, from the run's own stream; yours to overwrite."""

OnStep = Callable[[int, int | None, int], None]
"""``on_step(done, total, calls)``: scales done, of how many, and score calls so far."""

Field = Callable[[float, "Tensor"], "Tensor"]
"""``field(t, y)``: the right-hand side dy/dt of an ODE at (t, y), y (B, ...)."""

CLEAN = Level(0.0, 1.0, 0.0)
"""The level of clean data."""

Order = Literal["corrector_first", "predictor_first"]
Denoise = Literal["mean", "tweedie", "none"]


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

        On Gaussian data the moments of what it samples are then known exactly (`bench.exact`).
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
    """One reverse step, from a scale to the next less noisy one.

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
        """Whether it asks for the checkpoint's learned variance (`ScoreFunction.with_variance`)."""
        return False

    @abstractmethod
    def step(self, x: Tensor, scale: Scale, score: ScoreFunction, noise: Noise, state: Any) -> Update:
        """x (B, ...) at ``scale`` -> `Update` at the next one; ``state`` is None on the first step."""

    def resolve(self, sde: SDE) -> Predictor:
        """This predictor with what was left to the SDE filled in; `BenchError` where it has no meaning."""
        del sde
        return self


class LinearPredictor(Predictor):
    """A predictor that is linear in x, score and noise: ``x' = a x + b score + c z``.

    Its moments on Gaussian data follow from a recursion (`bench.exact`).
    """

    @property
    def linear(self) -> bool:
        """False where a parameter makes the step something else than its `coefficients`."""
        return True

    @abstractmethod
    def coefficients(self, scale: Scale) -> tuple[float, float, float]:
        """(a, b, c) of the step from ``scale``."""

    def step(self, x: Tensor, scale: Scale, score: ScoreFunction, noise: Noise, state: Any) -> Update:
        from torch import add

        a, b, c = self.coefficients(scale)
        mean = (x * a).add_(score(x, scale), alpha=b)
        if c == 0:
            return Update(mean, mean)
        # written over the noise: a new tensor of a batch's size costs more than the arithmetic on it
        z = noise(x)
        return Update(add(mean, z, alpha=c, out=z), mean)


class Corrector(SamplerPart):
    """``steps`` moves at one noise scale that leave its marginal nearly unchanged."""

    @property
    def calls(self) -> int:
        """Moves per scale."""
        return 0

    @abstractmethod
    def step(self, x: Tensor, scale: Scale, score: ScoreFunction, noise: Noise) -> Update:
        """One move at ``scale``, with the same duties as `Predictor.step`."""

    def resolve(self, sde: SDE) -> Corrector:
        """As `Predictor.resolve`."""
        del sde
        return self


class LangevinLike(Corrector):
    """A corrector ``x' = x + e score + sqrt(2 e) z``; ``size`` gives the step e.

    ``size`` is told the mean norms of noise and score as tensors or as expected floats, so that the
    closed form on Gaussian data (`bench.exact`) and the sampler read the same equation.
    """

    @abstractmethod
    def size(self, scale: Scale, noise_norm: Any, score_norm: Any) -> Any:
        """The step e at ``scale``."""


class Solver(SamplerPart):
    """Integrates from the prior to ``sde.eps`` by itself.

    ``follows_flow``: whether it tends to the probability flow as its tolerance falls; on Gaussian data
    its samples then have a known limit (`bench.exact`). ``ends_clean``: whether it ends on clean data by
    itself, so that no denoising step is added.
    """

    follows_flow: ClassVar[bool] = False
    ends_clean: ClassVar[bool] = False

    def nfe(self) -> int | None:
        """Score calls of a run; None: not known beforehand."""
        return None

    @abstractmethod
    def solve(self, x: Tensor, sde: SDE, score: ScoreFunction, noise: Noise) -> Tensor:
        """x (B, ...) at T -> state at eps (clean data if ``ends_clean``)."""


class FlowSolver(Solver):
    """A solver of ODEs: it follows the probability flow either way, and what is carried along with it.

    ``dx/dt = f(t) x - g(t)^2 score(x, t) / 2`` (Song et al. 2021, eq. 13).
    """

    follows_flow = True

    @abstractmethod
    def integrate(self, field: Field, y: Tensor, start: float, end: float) -> Tensor:
        """y (B, ...) at ``start`` -> at ``end``, which may lie before it; t stays between the two."""

    def solve(self, x: Tensor, sde: SDE, score: ScoreFunction, noise: Noise) -> Tensor:
        del noise
        return self.integrate(lambda t, y: velocity(y, t, sde, score(y, t)), x, sde.end, sde.eps)


def velocity(x: Tensor, t: float, sde: SDE, score: Tensor) -> Tensor:
    """The probability flow's dx/dt at (x, t) with its score; both (B, ...)."""
    import numpy as np

    time = np.asarray(t)
    drift, diffusion = float(sde.drift(time)), float(sde.diffusion(time))
    return (x * drift).add_(score, alpha=-0.5 * diffusion**2)


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A predictor and a corrector on a time grid, or a solver; see `run`.

    ``order``: ``corrector_first`` corrects at a scale, then predicts to the next (the published
    code); ``predictor_first`` predicts, then corrects at the scale it reached (Algorithms 2 and 3).
    ``denoise``: ``mean`` ends on the last update's mean (no extra call, as published); ``tweedie``
    adds one call, ``(x + sigma^2 score) / alpha`` at eps; ``none`` keeps the noise. ``label_scales``: the
    network is asked at the nearest lower of so many trained scales; None: at each scale's own level.
    """

    sde: SDE
    predictor: Predictor | None = None
    corrector: Corrector | None = None
    solver: Solver | None = None
    steps: int = 1000
    grid: GridKind = "uniform"
    rho: float = 7.0
    order: Order = "corrector_first"
    denoise: Denoise = "mean"
    label_scales: int | None = None

    def __post_init__(self) -> None:
        if self.label_scales is not None and (self.solver is not None or self.grid != "uniform"):
            raise BenchError("label_scales belongs to a predictor or corrector on the uniform grid")
        if self.predictor is not None:
            object.__setattr__(self, "predictor", self.predictor.resolve(self.sde))
        if self.corrector is not None:
            object.__setattr__(self, "corrector", self.corrector.resolve(self.sde))

    def scales(self) -> list[Scale]:
        """The run's scales, noisiest first."""
        return scales(self.sde, self.steps, self.grid, self.rho)

    def labels(self) -> list[Level] | None:
        """The level that the network is asked at on each scale, smallest noise first; None: its own."""
        return None if self.label_scales is None else label_levels(self.sde, self.steps, self.label_scales)

    def run(
        self,
        prior: Tensor,
        score: ScoreFunction,
        predictor_noise: Noise,
        corrector_noise: Noise,
        on_step: OnStep | None = None,
        *,
        watch: bool = False,
        condition: Condition | None = None,
        condition_noise: Noise | None = None,
    ) -> Tensor:
        """Standard normal ``prior`` (B, ...) -> samples, shaped alike.

        ``on_step(done, total, calls)`` is told of every scale (of a solver: every call, total None). With
        ``watch`` every step is checked and `NotFiniteError` names the first that went wrong; this
        stops the device at each step, so runs do it only to explain a failure. A ``condition`` guides every
        score and is put into the state after every step, by ``condition_noise``.
        """
        x = prior * self.sde.prior_std
        score.guidance = None if condition is None else condition.guide
        put_in = None
        if condition is not None:
            put_in = functools.partial(condition.project, noise=condition_noise or predictor_noise)
        if (solver := self.solver) is not None:
            x = self.solved(
                lambda x: solver.solve(x, self.sde, score, predictor_noise), x, score, on_step, watch
            )
        else:
            x = self._predict_correct(x, score, predictor_noise, corrector_noise, on_step, watch, put_in)
        if self.denoise == "tweedie":
            level = self.sde.at(self.sde.eps)
            x = (x + level.sigma**2 * score(x, level)) / level.alpha
            _watch(watch, x, "in the denoising step")
        return x if put_in is None else put_in(x, CLEAN)

    def solved(
        self, by: Callable[..., Tensor], x: Tensor, score: ScoreFunction, told: OnStep | None, watch: bool
    ) -> Tensor:
        """``by(x)`` of the solver, its calls ``told`` and watched as `run` says."""
        assert self.solver is not None

        def called(x: Tensor, calls: int) -> None:
            _watch(watch, x, f"before network call {calls} of the solver")
            if told is not None:
                told(calls, None, calls)

        score.on_call = called
        left = by(x)
        score.on_call = None
        _same_kind(self.solver, x, left)
        _watch(watch, left, "at the solver's end")
        return left

    def _predict_correct(
        self,
        x: Tensor,
        score: ScoreFunction,
        predictor_noise: Noise,
        corrector_noise: Noise,
        on_step: OnStep | None,
        watch: bool,
        put_in: Callable[[Tensor, Level], Tensor] | None,
    ) -> Tensor:
        plan = self.scales()
        ends: list[Level] = [*plan[1:], CLEAN]
        moves = self.corrector.calls if self.corrector is not None else 0
        before = self.order == "corrector_first"
        given, mean, state = x, x, None

        def moved(part: SamplerPart, update: Update, level: Level, where: str) -> Update:
            """A step's update, checked, with the condition put in at the level that it led to."""
            _same_kind(part, given, update.x, update.mean)
            if put_in is not None:
                update = update._replace(x=put_in(update.x, level))
            _watch(watch, update.x, where)
            return update

        for done, scale in enumerate(plan, 1):
            if before and self.corrector is not None:
                for move in range(moves):
                    update = self.corrector.step(x, scale, score, corrector_noise)
                    where = f"in corrector move {move + 1} at step {done} of {len(plan)}"
                    x, mean, _ = moved(self.corrector, update, scale, where)
            if self.predictor is not None and not self.predictor.idle:
                update = self.predictor.step(x, scale, score, predictor_noise, state)
                where = f"in the predictor at step {done} of {len(plan)}"
                x, mean, state = moved(self.predictor, update, ends[done - 1], where)
            if not before and self.corrector is not None and done < len(plan):
                for move in range(moves):
                    update = self.corrector.step(x, plan[done], score, corrector_noise)
                    where = f"in corrector move {move + 1} after step {done} of {len(plan)}"
                    x, mean, _ = moved(self.corrector, update, plan[done], where)
            if on_step is not None:
                on_step(done, len(plan), score.calls)
        return mean if self.denoise == "mean" else x


def _same_kind(part: SamplerPart, given: Tensor, *left: Tensor) -> None:
    """Refuse a state of another shape, precision or device: it would be broadcast or promoted unseen."""
    for x in left:
        if x.shape != given.shape or x.dtype != given.dtype or x.device != given.device:
            raise PartError(part, f"was given {_kind(given)} and left {_kind(x)}")


def _kind(x: Tensor) -> str:
    return f"{tuple(x.shape)} {x.dtype} on {x.device}"


def _watch(watch: bool, x: Tensor, where: str) -> None:
    if watch and not bool(x.isfinite().all()):
        raise NotFiniteError(where)


def streams(
    seed: int, batch: int, device: Any, roles: Sequence[str] = ("prior", "predictor", "corrector")
) -> Any:
    """The random streams of one batch, one per role (`stream`)."""
    return tuple(stream(seed, batch, role, device) for role in roles)


def stream(seed: int, batch: int, role: str, device: Any) -> Noise:
    """The random stream of one role of one batch, from (seed, batch, role) alone.

    The prior's depends on nothing else, so that all samplers start from the same noise and can be
    compared in pairs.
    """
    import numpy as np
    import torch

    entropy = np.random.SeedSequence([seed, batch, *role.encode()])
    generator = torch.Generator(device=device)
    generator.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

    return noise


def default_denoise(solver: Solver | None) -> Denoise:
    """What ends a run unless told: the last step's mean; of a solver, a call at eps where it needs it."""
    if solver is None:
        return "mean"
    return "none" if solver.ends_clean else "tweedie"


def check_denoise(solver: Solver | None, denoise: Denoise) -> None:
    """Refuse ``mean`` where there is no step to take the mean of, ``tweedie`` where data is clean."""
    if solver is not None and solver.ends_clean and denoise != "none":
        raise BenchError(f"{solver.name} ends on clean data by itself: it takes --denoise none alone")
    if solver is not None and denoise == "mean":
        raise BenchError("--denoise mean needs a predictor or corrector; a solver takes tweedie or none")
