"""Whether a corrector preserves the exact marginal, but for the known bias of its step."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
import torch

from bench.diffusion.levels import Step
from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.params import parameter_text
from bench.testing.context import CheckContext
from bench.testing.distribution import DEVIATIONS, FAR_DEVIATIONS, SAMPLES_APART, products_apart
from bench.testing.laws import normals
from bench.testing.probe import CountedNoise, Tensor, other_settings, prior, with_values
from bench.testing.report import Finding, guard, verdict

BATCH = 512
FAR = 0.2
"""Pull of a move beyond which its known bias, pull^2, would hide a mistake in its noise."""


def check_invariance(part: Corrector, context: CheckContext) -> Iterator[Finding]:
    """Invariance of every SDE's marginals, and of the first one's with each parameter at another value."""
    for sde in context.sdes:
        yield from guard(f"invariance, {sde.name}", functools.partial(invariance, part, sde, context))
    for name, value in other_settings(part):
        yield from of_parameter(part, name, value, context)


def of_parameter(part: Corrector, name: str, value: object, context: CheckContext) -> Iterator[Finding]:
    """Invariance with a parameter at another value; of a number that pulls `FAR`, at a tenth of it too."""
    setting, sde = f"at {name}={parameter_text(value)}", context.sdes[0]
    pulls: list[float] = []

    def check() -> Iterator[Finding]:
        for finding in invariance(with_values(part, **{name: value}), sde, context, setting):
            measured = finding.numbers.get("pulls")
            pulls.extend(measured if isinstance(measured, list) else [])
            yield finding

    yield from guard(setting, check)
    if isinstance(value, float) and max(map(abs, pulls), default=0.0) > FAR:
        tenth = 0.1 * value
        try:
            variant = with_values(part, **{name: tenth})
        except BenchError:
            return  # out of the parameter's range
        setting = f"at {name}={parameter_text(tenth)}"
        yield from guard(setting, functools.partial(invariance, variant, sde, context, setting))


def invariance(part: Corrector, sde: SDE, context: CheckContext, name: str = "") -> Iterator[Finding]:
    """One move from the exact marginal N(m, v), at five noise levels from the first to the last.

    A move takes x to ``m + A (x - m)`` in the mean and adds noise of variance c^2 per coordinate. Langevin
    dynamics with a step e has A = 1 - k, k = e / v, and c^2 = 2 k v: the variance becomes (1 + k^2) v, its
    known bias. Required of each coordinate, and of their mean: ``|A^2 v + c^2 - v| <= k^2 v``, give or take
    what the estimates of A (a regression of the mean on x) and of c (the noise's mean square) may be off,
    k > 0, and noise that is independent from number to number. A batch off the marginal's mean is pulled
    to it (`holds_mean`).
    """
    name = name or f"invariance, {sde.name}"
    if part.calls == 0:
        yield Finding(name, "info", "makes no moves")
        return
    own, worst, together, held, pulls = part.resolve(sde), 0.0, 0.0, False, []
    plan = context.sampler(part, sde, 40).schedule()
    for step in (plan[0], plan[4], plan[20], plan[36], plan[-1]):
        marginal = context.law(normals(), sde).at(step)
        mean, variance = marginal.mean[0], marginal.variance[0]
        x = mean + variance.sqrt() * prior(BATCH, seed=31)
        with torch.no_grad():
            p = Prediction(context.model(normals(), sde), sde)
            update = own.step(x, step, p, CountedNoise(32))
        y, moved = (x - mean) / variance.sqrt(), (update.mean - mean) / variance.sqrt()
        a = ((y - y.mean(0)) * (moved - moved.mean(0))).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
        # a corrector that takes norms over each sample scatters its pull; the marginal sees its mean
        noise = ((update.x - update.mean) ** 2 / variance).mean(0).numpy()
        pull, ratio = 1 - a.numpy(), (a**2).numpy() + noise
        # c^2 is the mean of 512 squares: four of its standard errors, over all coordinates' draws six
        slack = 6 * math.sqrt(2 / BATCH) * noise + 1e-6
        worst = max(worst, float(((np.abs(ratio - 1) - 1.1 * pull**2) / slack).max()))
        # over all coordinates, whose noise is known to 5.5 of its standard errors; a step that a sample's own
        # norms decide moves it by (1 + 2 / D)^2
        pooled = (DEVIATIONS * math.sqrt(2 / x.numel()) + 4.1 / x[0].numel()) * noise.mean() + 1e-9
        worst = max(worst, float((abs(ratio.mean() - 1) - 1.1 * (pull**2).mean()) / pooled))
        z = (update.x - update.mean) / variance.sqrt()
        z = z / z.square().mean(0).sqrt().clamp_min(1e-12)
        shared = max(float((z * z.roll(1, dims=axis)).mean().abs()) for axis in range(4))
        of_samples = [(z * z.roll(n, dims=0)).mean() for n in (*SAMPLES_APART, BATCH // 2)]
        # half of the way round an axis each product is there twice
        far = float(torch.stack([*products_apart(z).mean(0), *of_samples]).abs().max()) / math.sqrt(2)
        together = max(together, *(
            correlation * math.sqrt(x.numel()) / allowed
            for correlation, allowed in ((shared, DEVIATIONS), (far, FAR_DEVIATIONS))
        ))  # fmt: skip
        pulls.append(float(np.median(pull)))
        held |= holds_mean(own, step, p, x, mean, variance.sqrt())
    if max(map(abs, pulls)) < 1e-9:
        yield Finding(name, "info", "moves nothing")
        return
    inward = min(pulls) > 0
    bias = "variance within its bias" if worst <= 1 else f"variance off, {worst:.1f} times the allowed error"
    bias = bias if inward else "away from the mean"
    bias = bias if together <= 1 else "noise that samples, channels or neighbors share"
    bias = bias if not held else "a batch's mean is not pulled as its samples are"
    measured = f"pull {' '.join(f'{pull:.1e}' for pull in pulls)} a move; {bias}"
    good = worst <= 1 and together <= 1 and inward and not held
    yield verdict(name, good, measured, "preserves the marginal but for pull^2", pulls=pulls, worst=worst)


def holds_mean(own: Corrector, step: Step, p: Prediction, x: Tensor, mean: Tensor, deviation: Tensor) -> bool:
    """Whether a batch's mean is pulled by less than half, or more than twice, of what its samples are.

    On the marginal itself the mean of a batch's scores is zero: what takes it away shows in a batch that is
    off by one deviation. A move that is affine pulls both by k.

    Args:
        own: The corrector.
        step: The level.
        p: The network.
        x: Draws of the marginal (B, *shape).
        mean: The marginal's mean (*shape).
        deviation: Its deviations (*shape).
    """
    x = x + deviation
    with torch.no_grad():
        moved = own.step(x, step, p, CountedNoise(32)).mean
    y, moved = (x - mean) / deviation, (moved - mean) / deviation
    from_y = y - y.mean(0)
    of_samples = float((1 - (from_y * (moved - moved.mean(0))).sum(0) / from_y.square().sum(0)).median())
    of_mean = float((1 - moved.mean(0) / y.mean(0)).median())
    return abs(of_samples) > 1e-9 and not 0.5 < of_mean / of_samples < 2
