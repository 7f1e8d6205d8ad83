"""Whether a parametrisation's answers give back data and noise, where both are known in closed form."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np
import torch

from bench.checkpoints.parametrisation import Parametrisation
from bench.closed_form.mixture import Mixture, MixtureModel
from bench.diffusion.levels import NoiseLevel
from bench.diffusion.sde import SDE
from bench.errors import BenchError, one_line
from bench.params import parameter_text
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.laws import SHAPE
from bench.testing.probe import GAUSSIAN, MIXTURE, Tensor, other_settings, with_values
from bench.testing.report import Finding, guard, verdict

LAWS = ("vp", "ve", "subvp", "flow", "flow_cosine")
"""The SDEs whose levels are tried; the last two end in alpha = 0."""

ENDS = (1e-6, 1e-4, 1e-3, 0.01)
"""Times that are tried, as shares of T, from clean data and from the end; between them are even ones."""

DISTINCT = 1e-3
"""Least of ``|p sigma - q alpha|`` in units of its two terms: below it an answer loses three digits."""

ROUNDINGS = 8
"""Roundings of a conversion, each of a unit in the last place of one of its two terms."""


def levels(sde: SDE) -> list[NoiseLevel]:
    """Levels from next to clean data to T itself."""
    shares = np.concatenate([ENDS, np.linspace(0.05, 0.95, 9), 1 - np.array(ENDS[::-1]), [1.0]])
    return [sde.at(float(share * sde.end)) for share in shares]


def check_parametrisation(plugin: Parametrisation, context: CheckContext) -> Iterator[Finding]:
    """All checks."""
    yield from guard("parameters", lambda: parameters(plugin))
    yield from guard("weights", lambda: weights(plugin, context))
    yield from guard("training target", lambda: target(plugin, context))
    if type(plugin).target is not Parametrisation.target:
        for name, value in other_settings(plugin):
            variant, at = with_values(plugin, **{name: value}), f"at {name}={parameter_text(value)}"
            yield from guard(at, functools.partial(target, variant, context, at))
    yield from guard("exact answers", lambda: answers(plugin, context))
    yield from guard("kinds", lambda: kinds(plugin, context))


def weights(plugin: Parametrisation, context: CheckContext) -> Iterator[Finding]:
    """p and q are finite, and the output and x tell data from noise: ``p sigma - q alpha`` has no zero.

    Only at alpha = 0 may an answer be of the noise alone. The factor of the input is above 0.
    """
    odd, singular = [], []
    for sde in map(context.sde, LAWS):
        before = 0.0
        for level in levels(sde):
            where = f"on {sde.name} at t = {level.t:.6g}"
            p, q = plugin.weights(level)
            factor = plugin.input_factor(level)
            if not all(map(math.isfinite, (p, q, factor))) or factor <= 0:
                odd.append(f"p = {p:g}, q = {q:g}, factor of the input {factor:g} {where}")
                continue
            terms, total = abs(p * level.sigma) + abs(q * level.alpha), p * level.sigma - q * level.alpha
            if level.alpha == 0 and p == 0:
                continue
            if abs(total) <= DISTINCT * terms or total * before < 0:
                singular.append(f"|p sigma - q alpha| is or passes 0 {where}")
            before = total
    one = math.sqrt(0.5)
    p, q = plugin.weights(NoiseLevel(0.5, one, one, alpha_slope=-one, sigma_slope=one))
    yield verdict("weights", not odd, odd[0] if odd else f"on {', '.join(LAWS)}", "finite at every level")
    measured = singular[0] if singular else f"at alpha = sigma: {p:.3g} E[x0 | x] + {q:.3g} E[noise | x]"
    yield verdict("data told from noise", not singular, measured, "output and x give both, at every level")


def target(
    plugin: Parametrisation, context: CheckContext, name: str = "training target"
) -> Iterator[Finding]:
    """The target of the training, where the class writes it, is ``p x0 + q noise``."""
    if type(plugin).target is Parametrisation.target:
        yield Finding("training target", "info", "not written: a method `target` would be compared")
        return
    draws = np.random.default_rng(5)
    x0, noise = (torch.from_numpy(draws.standard_normal((3, *SHAPE))) for _ in range(2))
    wrong, worst = [], 0.0
    for level in (level for sde in map(context.sde, LAWS) for level in levels(sde)):
        p, q = plugin.weights(level)
        # what a paper's formula subtracts, as EDM's c_skip x, may be as large as x0 over sigma
        size = (1 + abs(p) + abs(q)) * (1 + 1 / level.sigma + level.sigma)
        off = float((plugin.target(x0, noise, level) - p * x0 - q * noise).abs().max()) / size
        worst = max(worst, off)
        if not off < 1e-12:
            wrong.append(f"off by {off:.1e} at alpha = {level.alpha:.3g}, sigma = {level.sigma:.3g}")
    measured = wrong[0] if wrong else f"off by {worst:.1e}"
    yield verdict(name, not wrong, measured, "p x0 + q noise", off=worst)


@dataclasses.dataclass(frozen=True)
class Truth:
    """States at a level, with their exact expectations, all in float64 (B, ...).

    ``residual`` is what rounding leaves of ``alpha E[x0 | x] + sigma E[noise | x] - x``.
    """

    level: NoiseLevel
    x: Tensor
    denoised: Tensor
    noise: Tensor
    residual: Tensor


def truth(context: CheckContext, checkpoint: str, sde: SDE, level: NoiseLevel) -> Truth:
    """Four states of an exact checkpoint at a level."""
    data = context.truth(checkpoint, sde)
    model = MixtureModel(data, "cpu", torch.float64, color=None, range_=sde.data_range)
    x = _states(data, level)
    denoised, noise = model.denoised(x, level), -level.sigma * model.score(x, level)
    return Truth(level, x, denoised, noise, (level.alpha * denoised + level.sigma * noise - x).abs())


def _states(data: Mixture, level: NoiseLevel, count: int = 4) -> Tensor:
    draws = np.random.default_rng(6)
    component = np.arange(count) % len(data.weight)
    x0 = data.mean[component] + np.sqrt(data.variance[component]) * draws.standard_normal((count, *SHAPE))
    return torch.from_numpy(level.alpha * x0 + level.sigma * draws.standard_normal(x0.shape))


def answers(plugin: Parametrisation, context: CheckContext) -> Iterator[Finding]:
    """An ideal network's output, converted, is the exact data, noise, score and velocity.

    The bound is that of float error: `ROUNDINGS` of each of the two terms of a conversion. At alpha = 0 a
    parametrisation of the noise alone refuses to tell the data.
    """
    scores = [_Score(dtype) for dtype in (torch.float64, torch.float32)]
    for sde in map(context.sde, LAWS):
        for level in levels(sde):
            for checkpoint in (GAUSSIAN, MIXTURE):
                exact = truth(context, checkpoint, sde, level)
                for score in scores:
                    score.add(plugin, exact, f"on {sde.name} at t = {level.t:.6g}")
    for score in scores:
        name = str(score.dtype).removeprefix("torch.")
        measured = score.wrong or f"{score.worst:.2g} of the bound at most, of {score.count} answers"
        if score.refusals and not score.wrong:
            measured += f"; data refused at alpha = 0 ({score.refusals})"
        required = "data, noise, score, velocity within float error"
        yield verdict(f"exact answers, {name}", not score.wrong, measured, required, worst=score.worst)


@dataclasses.dataclass
class _Score:
    """The answers in one precision: how many, how many refused, the worst, and the first wrong one."""

    dtype: torch.dtype
    count: int = 0
    refusals: int = 0
    worst: float = 0.0
    wrong: str = ""

    def add(self, plugin: Parametrisation, exact: Truth, where: str) -> None:
        """The conversions at one level."""
        for name, share in _conversions(plugin, exact, self.dtype):
            if share is None:
                self.refusals += 1
                continue
            self.count, self.worst = self.count + 1, max(self.worst, share)
            if not share <= 1 and not self.wrong:
                self.wrong = f"{name} off by {share:.1e} bounds {where}"


def _conversions(
    plugin: Parametrisation, exact: Truth, dtype: torch.dtype
) -> Iterator[tuple[str, float | None]]:
    """Each conversion's name and its greatest error in units of the bound; None for a right refusal."""
    level, eps = exact.level, torch.finfo(dtype).eps
    p, q = plugin.weights(level)
    output = (p * exact.denoised + q * exact.noise).to(dtype)
    x = exact.x.to(dtype)
    total = p * level.sigma - q * level.alpha
    large, state = output.double().abs(), x.double().abs()
    a_slope, s_slope = level.alpha_slope or 0.0, level.sigma_slope or 0.0
    # each is a output + b x: (name, a, b)
    terms = [("E[noise | x]", -level.alpha, p), ("score", level.alpha / level.sigma, p / level.sigma)]
    noise = plugin.noise(output, x, level)
    values, truths = [noise, noise / -level.sigma], [exact.noise, exact.noise / -level.sigma]
    if total == 0 and level.alpha == 0:
        total = 1.0
        terms = [("E[noise | x]", 0.0, 1 / level.sigma), ("score", 0.0, level.sigma**-2)]
        try:
            plugin.denoised(output, x, level)
        except BenchError:
            yield "E[x0 | x]", None
        else:
            yield "E[x0 | x], which the output does not tell,", math.inf
    else:
        denoised = plugin.denoised(output, x, level)
        values += [denoised, a_slope * denoised + s_slope * noise]
        truths += [exact.denoised, a_slope * exact.denoised + s_slope * exact.noise]
        data, both = (
            abs(a_slope * level.sigma) + abs(s_slope * level.alpha),
            abs(a_slope * q) + abs(s_slope * p),
        )
        terms += [("E[x0 | x]", level.sigma, q), ("velocity", data, both)]
    for (name, a, b), value, right in zip(terms, values, truths, strict=True):
        bound = ROUNDINGS * eps * (abs(a) * large + abs(b) * state) + abs(b) * exact.residual
        bound = bound / abs(total) + torch.finfo(dtype).tiny
        off = (value.double() - right).abs() / bound
        yield name, float(off.max()) if bool(off.isfinite().all()) else math.inf


def kinds(plugin: Parametrisation, context: CheckContext) -> Iterator[Finding]:
    """Conversions keep precision and shape and write over nothing; levels without slopes give no numbers of
    their own: they are right, or refused in one line."""
    level = context.sde("vp").at(0.3)
    wrong = []
    for dtype in (torch.float32, torch.float64):
        output, x = torch.full((2, *SHAPE), 0.25, dtype=dtype), torch.full((2, *SHAPE), 0.5, dtype=dtype)
        for name in ("denoised", "noise"):
            value = getattr(plugin, name)(output, x, level)
            if (value.dtype, value.shape) != (dtype, x.shape):
                wrong.append(f"{name} gives {value.dtype} of shape {tuple(value.shape)}")
        if not (bool((output == 0.25).all()) and bool((x == 0.5).all())):
            wrong.append("output or x is changed in place")
    bare = dataclasses.replace(level, alpha_slope=None, sigma_slope=None)
    try:
        if plugin.weights(bare) != plugin.weights(level):
            wrong.append("other weights where a level has no slopes")
    except BenchError as error:
        if str(error) != one_line(error):
            wrong.append("the refusal of a level without slopes has several lines")
    yield verdict(
        "kinds", not wrong, wrong[0] if wrong else "the input's", "the input's, which stays unchanged"
    )
