"""Whether a sampler's whole runs have the law of the data, where single samples have no right answer.

The data is a mixture in every coordinate, whose means of any function are sums. What is compared are means
over all numbers of a channel: of u, u^2, sin u, cos u, sin 2 u and cos 2 u, with u the coordinate over its
deviation; of u and u^2 over all channels; and of products of neighbors, of channels and of samples, which are
independent. Sines and cosines are the characteristic function, a distance along coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.diffusion.roles import Solver
from bench.diffusion.sde import SDE
from bench.testing.context import CheckContext
from bench.testing.laws import Law, mixture
from bench.testing.probe import CountedNoise, Part, Tensor, has_steps, prior, with_steps, with_tolerance
from bench.testing.report import Finding, verdict

LAW_STEPS = (100, 200)
"""Step counts, the second twice the first."""
LAW_TOLERANCES = (1e-2, 1e-3)
"""Tolerances of a solver that has no number of steps."""
BATCH, SMALL_BATCH = 1024, 256
"""Samples where a nonlinear sampler declares its order, and where it does not or the law is a second look."""
ROUGH = 0.3
"""Largest deviation of a statistic at the finest steps."""
NEXT_ORDER, OTHER_ORDER = 0.35, 1.0
"""Share of the change from n to 2 n steps that may stay, where the order is declared and where it is not."""
DEVIATIONS = 5.5
"""Standard errors that are allowed: 26 statistics exceed them once in a million checks, by chance alone."""


def check_law(
    part: Part, sde: SDE, context: CheckContext, *, name: str = "", batch: int | None = None
) -> Iterator[Finding]:
    """Statistics of whole runs at two step counts against the exact ones, extrapolated to short steps.

    With deviations d(n) and d(2 n) and the declared order p, ``(2^p d(2 n) - d(n)) / (2^p - 1)`` is what
    stays. It may be `NEXT_ORDER` of the change ``|d(2 n) - d(n)|``, for what is not of that order alone, or,
    where p = 1 is no more than assumed, all of it, as errors of any order of 1 and above leave no more; and
    `DEVIATIONS` standard errors. A run may end at eps, at the data expected there or at 0: the nearest of
    the three laws is the one to have.

    Args:
        part: The sampler.
        sde: The SDE.
        context: What checks may use.
        name: Name of the finding; empty for that of the SDE.
        batch: Number of samples; None for as many as it is due.
    """
    name = name or f"law, {sde.name}"
    if batch is None:
        batch = BATCH if part.convergence_order is not None and not part.linear else SMALL_BATCH
    law = context.law(mixture(), sde)

    def draws() -> Tensor:
        z = prior(batch, seed=41 + context.seed)
        return (law.states(law.at(sde.at(sde.end)).quantiles(z)) / sde.prior_std).float()

    start = context.once(("draws", sde, batch), draws)
    variants: list[tuple[int, Part]] = [(n, with_steps(part, n)) for n in LAW_STEPS]
    if isinstance(part, Solver) and not has_steps(part):
        both = [variant for tol in LAW_TOLERANCES if (variant := with_tolerance(part, tol)) is not None]
        variants = [(0, variant) for variant in both or [part, part]]
    values, errors = [], []
    for steps, variant in variants:
        model = context.model(mixture(), sde, torch.float32)
        noise = CountedNoise(43 + 7 * context.seed)
        x = context.trial(variant, sde, steps, start, noise=noise, model=model, whole=True).x
        rows = statistics((law.coordinates(x.double()) - law.center) / law.spread)
        values.append(rows.mean(0))
        errors.append(rows.std(0) / batch**0.5)
    exact = _exact(law, sde, context)
    power = part.convergence_order
    margin, worst, off = min(_judge([value - one for value in values], errors, power) for one in exact)
    good = margin <= 1 and off < ROUGH
    measured = f"off by {off:.1e} at most, {batch} samples" + (
        "" if good else f"; {NAMES[worst]} stays off, {margin:.1f} times what may be chance"
    )
    yield verdict(
        name, good, measured, "the data's law, but for what shorter steps lower", margin=margin, off=off
    )


def _judge(off: list[Tensor], errors: list[Tensor], order: float | None) -> tuple[float, int, float]:
    """The largest remainder over what is allowed, its statistic, and the largest deviation."""
    coarse, fine = off
    change = (fine - coarse).abs()
    gain = 2.0 ** (order or 1.0)
    rest = (gain * fine - coarse).abs() / (gain - 1)
    error = (gain**2 * errors[1].square() + errors[0].square()).sqrt() / (gain - 1)
    ratio = rest / ((OTHER_ORDER if order is None else NEXT_ORDER) * change + DEVIATIONS * error + 1e-4)
    ratio = torch.where(ratio.isfinite(), ratio, torch.inf)
    return float(ratio.max()), int(ratio.argmax()), float(fine.abs().max())


FUNCTIONS = ("u", "u^2", "sin u", "cos u", "sin 2u", "cos 2u")
NAMES = [
    *(f"the mean of {f} in channel {c + 1}" for f in FUNCTIONS for c in range(3)),
    *("the mean of u", "the mean of u^2"),
    *("the product of channels 1 and 2", "of channels 2 and 3", "of channels 3 and 1"),
    *("the product of neighbors", "the product of rows", "the product of samples"),
]
"""The statistics, in words."""


def _functions(u: Tensor) -> Tensor:
    """The functions of `FUNCTIONS` (6, B, *shape)."""
    return torch.stack([u, u * u, u.sin(), u.cos(), (2 * u).sin(), (2 * u).cos()])


def statistics(u: Tensor) -> Tensor:
    """The statistics of each sample (B, 26): means over its numbers, whose mean over samples is compared.

    Args:
        u: Samples (B, 3, H, W), each coordinate over its deviation.
    """
    of_channels = _functions(u).mean((-1, -2)).permute(1, 0, 2).flatten(1)
    products = [u[:, i] * u[:, j] for i, j in ((0, 1), (1, 2), (2, 0))]
    shifted = [u * u.roll(1, dims=axis) for axis in (-1, -2, 0)]
    columns = [u, u * u, *products, *shifted]
    return torch.cat([of_channels, *(column.flatten(1).mean(1, keepdim=True) for column in columns)], dim=1)


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
        results.append(torch.cat([means.mean((-1, -2)).flatten(), torch.stack(others)]))
    return results
