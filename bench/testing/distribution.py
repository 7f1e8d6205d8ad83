"""Whether a sampler's whole runs have the law of the data, where single samples have no right answer.

The data is a mixture in every coordinate, whose means of any function are sums. What is compared are means
over all numbers of a channel: of u, u^2, sin u, cos u, sin 2 u and cos 2 u, with u the coordinate over its
deviation; of u and u^2 over all channels; and of products of neighbors, of channels and of samples, which are
independent, at many distances. Sines and cosines are the characteristic function, a distance along
coordinates.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

import torch

from bench.diffusion.roles import Solver
from bench.diffusion.sde import SDE
from bench.testing.context import CheckContext
from bench.testing.cost import is_heavy
from bench.testing.laws import SHAPE, Law, mixture
from bench.testing.probe import CountedNoise, Part, Tensor, has_steps, prior, with_steps, with_tolerance
from bench.testing.report import Finding, verdict

LAW_STEPS, SECOND_STEPS = (100, 200), (250, 500)
"""Step counts, the second twice the first: of a first look, and of a second."""
LAW_TOLERANCES = (1e-2, 1e-3)
"""Tolerances of a solver that has no number of steps."""
BATCH, SMALL_BATCH, SECOND_BATCH = 1024, 256, 2048
"""Samples on the SDE where mistakes show best; elsewhere and of linear samplers; of a second look."""
HEAVY_STEPS, HEAVY_SMALL_STEPS = (60, 120), (40, 80)
"""Step counts of a first look at heavy steps: on the SDE where mistakes show best, and elsewhere. The second
look has `LAW_STEPS`."""
HEAVY_BATCH, HEAVY_SMALL_BATCH = 256, 128
"""Samples of a first look at heavy steps: on that SDE, and elsewhere."""
ROUGH = 0.3
"""Largest deviation of a statistic at the finest steps."""
NEXT_ORDER = 0.35
"""Share of the change from n to 2 n steps that may stay, for what is not of the assumed order alone."""
DEVIATIONS = 5.7
"""Standard errors that are allowed: 52 statistics exceed them once in a million checks, by chance alone."""
DOUBT = 3.0
"""Standard errors from which on a second look is taken; by chance at every seventh right sampler."""
FAR_DEVIATIONS, FAR_DOUBT = 6.5, 4.5
"""The same of products of what lies further apart: some hundred, which exceed them so rarely that they change
neither chance. What is mixed there by mistake is far off."""
ROUNDING = 1e-4
"""What float32 adds to a statistic."""


def check_law(
    part: Part, sde: SDE, context: CheckContext, *, name: str = "", batch: int | None = None
) -> Iterator[Finding]:
    """Statistics of whole runs at two step counts against the exact ones, extrapolated to short steps.

    Both runs have the same start and, as far as draws go with steps, the same Brownian path: a draw of the
    coarse run is the sum of two of the fine one's over sqrt(2). With deviations d(n) and d(2 n) and the
    declared order p, ``(2^p d(2 n) - d(n)) / (2^p - 1)`` is what stays; where no order is declared, what
    stays lies between that of p = 1 and d(2 n). It may be `NEXT_ORDER` of the change ``|d(2 n) - d(n)|`` and
    `DEVIATIONS` standard errors. Where a statistic is more than `DOUBT` of them off, a second look with
    other noise, more samples and shorter steps decides.

    A predictor's state before its last step, and the result of a solver that does not end on clean data, have
    the law at eps. A whole run may end at eps, at the data expected there or at 0: the nearest of the three
    laws is the one to have.

    Args:
        part: The sampler.
        sde: The SDE.
        context: What checks may use.
        name: Name of the finding; empty for that of the SDE.
        batch: Number of samples, of one look alone; None for as many as it is due.
    """
    name, heavy = name or f"law, {sde.name}", is_heavy(part, sde, context)
    # the first of those whose prior is nearest to the data's size: VP before sub-VP, whose priors agree
    sharp = sde.name == min(context.sdes or [sde], key=lambda one: abs(math.log(one.prior_std))).name
    second = batch is None and sharp and not part.linear
    steps = LAW_STEPS if not heavy else HEAVY_STEPS if sharp else HEAVY_SMALL_STEPS
    count = batch or (BATCH if second else SMALL_BATCH)
    if heavy:
        count = HEAVY_BATCH if second else HEAVY_SMALL_BATCH
    look = Look(part, sde, context, count, steps, seed=context.seed)
    # one that is off at the first look may be far from its limit there, as on a grid of even times
    if second and (look.doubtful or look.margin()[0] > 1):
        count, steps = SECOND_BATCH, LAW_STEPS if heavy else SECOND_STEPS
        look = Look(part, sde, context, count, steps, seed=context.seed + 1009)
    margin, statistic, off = look.margin()
    good = margin <= 1 and off < ROUGH
    measured = f"off by {off:.1e} at most, {count} samples" + (
        "" if good else f"; {statistic} stays off, {margin:.1f} times what may be chance"
    )
    yield verdict(
        name, good, measured, "the data's law, but for what shorter steps lower", margin=margin, off=off
    )


class Look:
    """Whole runs at two step counts, and what they leave of the exact statistics.

    Args:
        part: The sampler.
        sde: The SDE.
        context: What checks may use.
        batch: Number of samples.
        steps: The step counts.
        seed: Seed of start and noise.
    """

    def __init__(
        self, part: Part, sde: SDE, context: CheckContext, batch: int, steps: tuple[int, int], *, seed: int
    ) -> None:
        self.order = part.convergence_order
        law = context.law(mixture(), sde)
        coarse, fine = _variants(part, steps)

        def draws() -> Tensor:
            z = prior(batch, seed=41 + seed)
            return (law.states(law.at(sde.at(sde.end)).quantiles(z)) / sde.prior_std).float()

        start = context.once(("draws", sde, batch, seed), draws)

        def run(variant: tuple[int, Part], noise: CountedNoise) -> list[Tensor]:
            model = context.model(mixture(), sde, torch.float32)
            trial = context.trial(variant[1], sde, variant[0], start, noise=noise, model=model, whole=True)
            ends = [trial.x] if trial.state_at_eps is None else [trial.x, trial.state_at_eps]
            return [statistics((law.coordinates(x.double()) - law.center) / law.spread) for x in ends]

        path = Path(43 + 7 * seed)
        of_fine = run(fine, path)
        of_coarse = run(coarse, path.summed(fine[0]))
        at_eps, *others = _exact(law, sde, context)
        targets = [[at_eps, *others], [at_eps]]
        self.rests = [
            [Rest.of(b - exact, a - exact, self.order) for exact in exacts]
            for a, b, exacts in zip(of_coarse, of_fine, targets, strict=False)
        ]

    @property
    def doubtful(self) -> bool:
        """Whether a statistic is off by more than is usual, should errors be of the first order."""
        return any(min(rest.doubt for rest in rests) > 1 for rests in self.rests)

    def margin(self) -> tuple[float, str, float]:
        """The largest remainder over what is allowed, its statistic, and the largest deviation."""
        best = [min((*rest.worst, rest.off) for rest in rests) for rests in self.rests]
        margin, statistic, _ = max(best)
        return margin, statistic, max(off for *_, off in best)


def _variants(part: Part, steps: tuple[int, int]) -> tuple[tuple[int, Part], tuple[int, Part]]:
    """The sampler at both step counts, or, where it has none, at two tolerances."""
    if not isinstance(part, Solver) or has_steps(part):
        return (steps[0], with_steps(part, steps[0])), (steps[1], with_steps(part, steps[1]))
    coarse, fine = (with_tolerance(part, tol) or part for tol in LAW_TOLERANCES)
    return (0, coarse), (0, fine)


class Path(CountedNoise):
    """A noise stream whose draws are known by their number, so that a run of longer steps may sum them.

    Args:
        seed: Seed of the stream.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(draw=lambda count, x: self.number(count - 1, x))
        self.seed = seed

    def number(self, index: int, x: Tensor) -> Tensor:
        """The draw of a number, for a state (B, ...)."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)

    def summed(self, steps: int) -> CountedNoise:
        """The stream of a run at half of the steps; this stream once more where draws do not go with steps.

        Args:
            steps: Steps of the run that took draws of this stream.
        """
        each = round(self.draws / steps) if steps else 0
        if each == 0:
            return Path(self.seed)

        def draw(count: int, x: Tensor) -> Tensor:
            step, index = divmod(count - 1, each)
            first, second = (self.number((2 * step + i) * each + index, x) for i in (0, 1))
            return (first + second) * math.sqrt(0.5)

        return CountedNoise(draw=draw)


@dataclasses.dataclass(frozen=True)
class Rest:
    """What two runs leave of every statistic (S,).

    Args:
        fine: Deviation at the finer steps.
        change: The change from the coarser to the finer steps, in absolute value.
        rest: What stays, by the declared order or the first.
        interval: Whether no order is declared, so that what stays may lie between ``rest`` and ``fine``.
        error: Standard error of what stays.
    """

    fine: Tensor
    change: Tensor
    rest: Tensor
    interval: bool
    error: Tensor

    @classmethod
    def of(cls, fine: Tensor, coarse: Tensor, order: float | None) -> Rest:
        """Of the deviations of each sample (B, S), which go with the same start and noise."""
        gain = 2.0 ** (order or 1.0)
        rows = (gain * fine - coarse) / (gain - 1)
        error = torch.maximum(rows.std(0), fine.std(0)) / len(rows) ** 0.5
        change = (fine - coarse).mean(0).abs()
        return cls(fine.mean(0), change, rows.mean(0), order is None, error)

    @property
    def doubt(self) -> float:
        """The largest remainder over that of `DOUBT`."""
        allowed = NEXT_ORDER * self.change + _each(DOUBT, FAR_DOUBT) * self.error + ROUNDING
        return _largest(self.rest.abs() / allowed)

    @property
    def worst(self) -> tuple[float, str]:
        """The largest remainder over what is allowed, and its statistic."""
        rest = self.rest.abs()
        if self.interval:
            same_side = self.rest.sign() == self.fine.sign()
            rest = torch.where(same_side, torch.minimum(rest, self.fine.abs()), 0.0)
        deviations = _each(DEVIATIONS, FAR_DEVIATIONS)
        ratio = rest / (NEXT_ORDER * self.change + deviations * self.error + ROUNDING)
        ratio = torch.where(ratio.isfinite(), ratio, torch.inf)
        return float(ratio.max()), NAMES[int(ratio.argmax())]

    @property
    def off(self) -> float:
        """The largest deviation at the finer steps."""
        return _largest(self.fine.abs())


def _each(near: float, far: float) -> Tensor:
    """A number of standard errors for each statistic."""
    return torch.tensor([far if name in FAR_NAMES else near for name in NAMES], dtype=torch.float64)


def _largest(values: Tensor) -> float:
    return float(torch.where(values.isfinite(), values, torch.inf).max())


FUNCTIONS = ("u", "u^2", "sin u", "cos u", "sin 2u", "cos 2u")
NAMES = [
    *(f"the mean of {f} in channel {c + 1}" for f in FUNCTIONS for c in range(3)),
    *("the mean of u", "the mean of u^2"),
    *("the product of channels 1 and 2", "of channels 2 and 3", "of channels 3 and 1"),
    *("the product of neighbors", "the product of rows", "the product of samples"),
]
"""The statistics, in words."""
PLACES = [
    place
    for place in itertools.product(*map(range, SHAPE))
    if place <= tuple(-n % size for n, size in zip(place, SHAPE, strict=True))
    and place not in {(0, 0, 0), (0, 0, 1), (0, 1, 0)}
]
"""Distances (channels, rows, columns) of numbers of a sample, around the edges; of two opposite ones, one."""
SAMPLES_APART = (2, 3, 4, 5, 8, 16, 32)
"""Distances of samples; half of their number is another."""
FAR_NAMES = [
    *(f"the product of numbers that are {' '.join(map(str, place))} apart" for place in PLACES),
    *(f"the product of samples that are {n} apart" for n in SAMPLES_APART),
    "the product of samples of both halves",
]
"""The products of what lies further apart, in words."""
NAMES += FAR_NAMES


def _functions(u: Tensor) -> Tensor:
    """The functions of `FUNCTIONS` (6, B, *shape)."""
    return torch.stack([u, u * u, u.sin(), u.cos(), (2 * u).sin(), (2 * u).cos()])


def statistics(u: Tensor) -> Tensor:
    """The statistics of each sample (B, S): means over its numbers, whose mean over samples is compared.

    Args:
        u: Samples (B, 3, H, W), each coordinate over its deviation.
    """
    of_channels = _functions(u).mean((-1, -2)).permute(1, 0, 2).flatten(1)
    products = [u[:, i] * u[:, j] for i, j in ((0, 1), (1, 2), (2, 0))]
    shifted = [u * u.roll(1, dims=axis) for axis in (-1, -2, 0)]
    columns = [u, u * u, *products, *shifted]
    columns += [u * u.roll(n, dims=0) for n in (*SAMPLES_APART, len(u) // 2)]
    means = torch.cat([column.flatten(1).mean(1, keepdim=True) for column in columns], dim=1)
    of_samples = 1 + len(SAMPLES_APART)
    near, far = means[:, :-of_samples], means[:, -of_samples:]
    return torch.cat([of_channels, near, products_apart(u), far], dim=1)


def products_apart(u: Tensor) -> Tensor:
    """Means of products of numbers (B, 3, H, W) with those that lie each of `PLACES` further (B, P)."""
    axes = (-3, -2, -1)
    products = torch.fft.ifftn(torch.fft.fftn(u, dim=axes).abs().square(), dim=axes).real / u[0].numel()
    return torch.stack([products[(..., *place)] for place in PLACES], dim=-1)


def _exact(law: Law, sde: SDE, context: CheckContext) -> list[Tensor]:
    """The statistics of the three laws that a run may end with: at eps, of the data expected there, at 0."""
    end = sde.at(sde.eps)
    marginal = law.at(end)
    at_end, weight = marginal.nodes()
    clean, weight_clean = law.nodes()
    expected = law.coordinates(context.model(mixture(), sde).denoised(law.states(at_end), end))
    results = []
    for x, w in ((at_end, weight), (expected, weight), (clean, weight_clean)):
        means = (w * _functions((x - law.center) / law.spread)).sum(1)
        first, second = means[0], means[1]
        products = [(first[i] * first[j]).mean() for i, j in ((0, 1), (1, 2), (2, 0))]
        shifted = [(first * first.roll(1, dims=axis)).mean() for axis in (-1, -2)]
        others = [first.mean(), second.mean(), *products, *shifted, first.square().mean()]
        of_samples = first.square().mean().expand(1 + len(SAMPLES_APART))
        near = torch.cat([means.mean((-1, -2)).flatten(), torch.stack(others)])
        results.append(torch.cat([near, products_apart(first), of_samples]))
    return results
