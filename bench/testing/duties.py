"""What every sampler promises, whatever it computes: kinds, finiteness, randomness, counts, parameters."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector, Solver
from bench.diffusion.sde import SDE
from bench.params import Plugin, parameter_text
from bench.reporting.text import count
from bench.testing.context import CheckContext
from bench.testing.cost import is_heavy
from bench.testing.distribution import DEVIATIONS
from bench.testing.ending import noise_left
from bench.testing.laws import NARROW, SHAPE, Law, mixture, normals, point
from bench.testing.network import calls, levels, times
from bench.testing.probe import (
    CountedNoise,
    Kind,
    ObservedModel,
    Part,
    kind,
    other_settings,
    prior,
    with_steps,
    with_values,
)
from bench.testing.report import Finding, error_text, guard, verdict

WIDE, POINTS = (1, 4, 8), (16,)
"""Shapes that hold the numbers of `NARROW` images."""
ROWS = 300
"""Samples of a batch that is compared with its parts: more than 64, 128 and 256, in which code may go."""


def check_duties(part: Part, context: CheckContext) -> Iterator[Finding]:
    """All duties."""
    yield from guard("parameters", lambda: parameters(part))
    yield from guard("shape, precision, device", lambda: kinds(part, context))
    yield from guard("finite at 10 steps", lambda: finite(part, context))
    yield from guard("same seed, same bits", lambda: determined(part, context))
    yield from guard("no global random state", lambda: own_noise(part, context))
    yield from guard("input unchanged", lambda: in_place(part, context))
    yield from guard("batch", lambda: batch(part, context))
    yield from guard("shapes and precisions", lambda: alike(part, context))
    yield from guard("next batch", lambda: next_batch(part, context))
    yield from guard("network calls", lambda: calls(part, context))
    yield from guard("time of a level", lambda: times(part, context))
    if not isinstance(part, Solver):
        yield from guard("discrete chain", lambda: chain(part, context))
        yield from guard("network at the state's level", lambda: levels(part, context))
        yield from guard("mean without the noise", lambda: noiseless_mean(part, context))
    idle = getattr(part, "idle", False)
    if not isinstance(part, Corrector) and not idle and part.converges_to is not None:
        yield from guard("noise at the end", lambda: noise_left(part, context))


def parameters(plugin: Plugin) -> Iterator[Finding]:
    """Values survive the command line's texts and the record's JSON; each parameter has a help text."""
    cls, wrong = type(plugin), []
    variants = [plugin, *(with_values(plugin, **{k: v}) for k, v in other_settings(plugin))]
    for variant in variants:
        values = variant.values()
        texts = {k: parameter_text(v) for k, v in values.items()}
        if cls.build(texts) != variant:
            wrong.append(f"read back from texts, {variant} is {cls.build(texts)}")
        if cls.build(json.loads(json.dumps(values))) != variant or hash(cls.build(values)) != hash(variant):
            wrong.append(f"read back from its record, {variant} differs")
    wrong += [f"{p.name} has no help" for p in cls.parameters() if not p.help]
    parameters = cls.parameters()
    measured = f"{len(variants)} settings of {count(len(parameters), 'parameter')}" if parameters else "none"
    yield verdict(
        "parameters", not wrong, wrong[0] if wrong else measured, "read back the same; help for each"
    )


def kinds(part: Part, context: CheckContext) -> Iterator[Finding]:
    """A batch on the host keeps its precision in every step and history, and where the network is called."""
    odd: list[str] = []
    for sde in context.sdes:
        for precision in (torch.float32, torch.float64):
            trial = context.trial(with_steps(part, 10), sde, 10, prior(3, precision))
            assert isinstance(trial.model, ObservedModel)
            seen = trial.part.kinds | trial.model.kinds | {kind(trial.x)}
            odd += sorted(map(_kind_text, seen - {Kind(SHAPE, str(precision), "cpu")}))
    measured = f"also {odd[0]}" if odd else "float32 and float64 on cpu throughout"
    yield verdict("shape, precision, device", not odd, measured, "the input's, in states and network calls")


def _kind_text(kind: Kind) -> str:
    return f"{kind.precision.removeprefix('torch.')} {kind.shape} on {kind.device}"


def finite(part: Part, context: CheckContext) -> Iterator[Finding]:
    """No NaN at few steps, on normals and on the mixture."""
    bad = []
    for sde in context.sdes:
        for data in (normals(), mixture()):
            model = context.model(data, sde, torch.float32)
            trial = context.trial(with_steps(part, 10), sde, 10, prior(4, torch.float32), model=model)
            bad += [] if bool(trial.x.isfinite().all()) else [sde.name]
    names = ", ".join(sde.name for sde in context.sdes)
    measured = f"not finite: {', '.join(bad)}" if bad else f"finite on {names}"
    yield verdict("finite at 10 steps", not bad, measured, "finite on normals and the mixture")


def determined(part: Part, context: CheckContext) -> Iterator[Finding]:
    """The same prior and noise give the same bits; other noise, if any is drawn, gives others."""
    part, start, sde = with_steps(part, 10), prior(4, torch.float32), context.sdes[0]
    first, again, other = (
        context.trial(part, sde, 10, start, noise=CountedNoise(seed)) for seed in (3, 3, 4)
    )
    moved = not torch.equal(first.x, other.x)
    wrong = "" if torch.equal(first.x, again.x) else "other bits the second time"
    if first.draws and getattr(part, "follows_flow", False):
        wrong = "draws noise, though it is declared to follow the flow (follows_flow)"
    if not wrong and moved != (first.draws > 0):
        wrong = "other results without noise" if moved else "noise is drawn and has no effect"
    measured = f"same bits; {first.draws} draws of noise" if first.draws else "same bits; no noise"
    yield verdict(
        "same seed, same bits", not wrong, wrong or measured, "one seed, one result", draws=first.draws
    )


def own_noise(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Python's, numpy's and torch's global generators have no effect and do not move."""
    part, start, sde = with_steps(part, 10), prior(4, torch.float32), context.sdes[0]
    results, moved = [], set()
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        for seed in (11, 12):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            before = random.getstate(), str(np.random.get_state()), torch.random.get_rng_state()
            results.append(context.trial(part, sde, 10, start).x)
            if random.getstate() != before[0]:
                moved.add("random")
            if str(np.random.get_state()) != before[1]:
                moved.add("numpy.random")
            if not torch.equal(torch.random.get_rng_state(), before[2]):
                moved.add("torch")
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
    wrong = f"draws from {' and '.join(sorted(moved))}'s global generator" if moved else ""
    wrong = wrong or ("" if torch.equal(*results) else "depends on global random state")
    yield verdict(
        "no global random state", not wrong, wrong or "untouched", "noise from the run's own stream alone"
    )


def in_place(part: Part, context: CheckContext) -> Iterator[Finding]:
    """A step does not write over its input."""
    trial = context.trial(with_steps(part, 10), context.sdes[0], 10, prior(4, torch.float32))
    written = trial.part.changed_in_place
    measured = "changed in place" if written else "unchanged"
    yield verdict("input unchanged", not written, measured, "unchanged")


def batch(part: Part, context: CheckContext) -> Iterator[Finding]:
    """Rows of a batch are those of its parts, with the same noise, unless the part declares otherwise.

    Compared in float64, where kernels that sum in another order differ by 1e-12 and no more.
    """
    sde = context.sdes[0]
    # of samples that may depend on each other nothing is required, and heavy steps show it of few
    size = 4 if part.couples_batch and is_heavy(part, sde, context) else ROWS
    part, whole = with_steps(part, 10), prior(size)
    draws: dict[int, torch.Tensor] = {}

    def noise_of(rows: slice) -> CountedNoise:
        def draw(number: int, x: torch.Tensor) -> torch.Tensor:
            if number not in draws:
                draws[number] = prior(size, x.dtype, seed=100 + number)
            return draws[number][rows].clone()

        return CountedNoise(draw=draw)

    together, *parts = (
        context.trial(part, sde, 10, whole[rows], noise=noise_of(rows)).x
        for rows in (slice(0, size), slice(0, 1), slice(1, 3), slice(3, size))
    )
    off = float((together - torch.cat(parts)).abs().max() / together.abs().max())
    if part.couples_batch:
        yield Finding("batch", "info", f"declared to couple its samples; parts differ by {off:.1e}")
        return
    measured = f"parts of 1, 2 and {ROWS - 3} differ by {off:.1e}"
    yield verdict("batch", off < 1e-9, measured, "samples independent of each other", off=off)


def alike(part: Part, context: CheckContext) -> Iterator[Finding]:
    """States of another shape that hold the same numbers, and float32, give the same result.

    Normals of 1 x 4 x 4 are repeated to 3 x 8 x 8 and to 1 x 4 x 8, with their start and noise, so that means
    over a sample agree; or are points of 16 numbers, which a sampler of images may refuse by any error. The
    first part is compared, of points the first number: a sampler may treat channels or places unequally.
    """
    part, sde, wrong = with_steps(part, 10), context.sdes[0], []

    def result(shape: tuple[int, ...], precision: torch.dtype = torch.float64) -> torch.Tensor:
        def widened(x: torch.Tensor) -> torch.Tensor:
            return in_shape(x, shape).to(precision)

        def noise(count: int, x: torch.Tensor) -> torch.Tensor:
            return widened(prior(2, seed=200 + count, shape=NARROW))[: len(x)]

        small = normals(NARROW)
        weight, mean, variance = (in_shape(one, shape) for one in (small.weight, small.mean, small.variance))
        law = Law(weight, mean, variance)
        model, start = context.model(law, sde, precision), widened(prior(2, shape=NARROW))
        return context.trial(part, sde, 10, start, noise=CountedNoise(draw=noise), model=model).x.double()

    reference = result(NARROW)
    if context.trial(part, sde, 10, prior(2)).draws and part.couples_batch:
        yield Finding("shapes and precisions", "info", "its noise is one of the whole batch")
        return
    results = {
        "another shape": (1e-9, result(SHAPE)),
        "a shape that is not square": (1e-9, result(WIDE)),
        "float32": (0.02, result(NARROW, torch.float32)),
    }
    refused = ""
    try:
        results["points"] = 1e-9, result(POINTS)
    except Exception as error:  # such a run fails: it gives no wrong samples
        refused = f"; points are refused: {error_text(error)}"
    for what, (limit, x) in results.items():
        first = (1,) if x.dim() == 2 else NARROW
        expected = reference[:, 0, 0, :1] if x.dim() == 2 else reference
        part_of_x = x[(slice(None), *(slice(0, size) for size in first))]
        off = float((part_of_x - expected).abs().max() / reference.abs().max())
        wrong += [] if off < limit else [f"{what}: off by {off:.1e}"]
    measured = wrong[0] if wrong else f"the same, to rounding{refused}"
    yield verdict("shapes and precisions", not wrong, measured, "the same result")


def in_shape(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers of `NARROW` images (B, 1, 4, 4) in another shape: repeated along its axes, or in a row."""
    if len(shape) == 1:
        return x.flatten(1)
    return x.repeat(1, *(big // one for big, one in zip(shape, NARROW, strict=True)))


def next_batch(part: Part, context: CheckContext) -> Iterator[Finding]:
    """A batch has the same bits whichever batch the same object computed before it, at other steps too."""
    sde = context.sdes[0]
    results = []
    for seed, steps in ((61, 10), (62, 10), (62, 8)):
        context.trial(with_steps(part, steps), sde, steps, prior(4, seed=seed), noise=CountedNoise(seed))
        results.append(context.trial(with_steps(part, 10), sde, 10, prior(4), noise=CountedNoise(3)).x)
    same = all(torch.equal(results[0], result) for result in results[1:])
    measured = "same bits after other batches" if same else "depends on the batch that was computed before it"
    yield verdict("next batch", same, measured, "nothing is kept from one batch to the next")


CHAIN: tuple[str, ...] = (
    *("a", "g", "alpha_ratio", "ancestral_mean", "ancestral_std", "posterior"),
    *("ancestral_alpha", "ancestral_sigma"),
)
"""The fields of a `Step` that are the discrete chain's."""


def chain(part: Part, context: CheckContext) -> Iterator[Finding]:
    """A part that declares to read no chain gives the same bits where a step's chain is NaN."""
    if part.uses_chain or isinstance(part, Solver):
        yield Finding("discrete chain", "info", "read, as declared")
        return
    wrong = []
    for sde in context.sdes:
        plan = context.sampler(part, sde, 10).schedule()
        unknown: dict[str, Any] = dict.fromkeys(CHAIN, math.nan)
        for step in (plan[1], plan[-1]):
            updates = []
            for one in (step, dataclasses.replace(step, **unknown)):
                p, noise = Prediction(context.model(mixture(), sde), sde), CountedNoise(8)
                resolved = part.resolve(sde)
                args = (prior(3), one, p, noise)
                updates.append(
                    resolved.step(*args) if isinstance(resolved, Corrector) else resolved.step(*args, None)
                )
            wrong += [] if torch.equal(updates[0].x, updates[1].x) else [sde.name]
    measured = f"read on {', '.join(wrong)}, though uses_chain is False" if wrong else "not read"
    yield verdict("discrete chain", not wrong, measured, "not read, as declared")


def noiseless_mean(part: Part, context: CheckContext) -> Iterator[Finding]:
    """On the step to clean data, ``mean`` does not depend on the noise that ``x`` includes.

    A predictor may raise the state's noise before it asks the network, as EDM's churn does: the network is
    then told the raised level, and data that is one point comes out free of it.
    """
    wrong, noisy = [], False
    for sde in context.sdes:
        updates = []
        for seed in (8, 9):
            p, noise = Prediction(context.model(mixture(), sde), sde), CountedNoise(seed)
            if isinstance(part, Corrector):
                last = context.sampler(part, sde, 10).schedule()[-1]
                updates.append(part.resolve(sde).step(prior(3), last, p, noise))
                continue
            trial = context.trial(part, sde, 10, prior(3))
            if trial.part.last is None:
                return
            x, step, state = trial.part.last
            updates.append(trial.part.part.step(x, step, p, noise, state))
        noisy |= not torch.equal(updates[0].x, updates[1].x)
        moved, size = (float((updates[0][i] - updates[1][i]).norm()) for i in (1, 0))
        if isinstance(part, Corrector):  # which may take its step from the noise's norm
            free = moved <= 0.5 * size
        else:
            free = moved == 0 or _raises_noise(part, sde, context)
        wrong += [] if free else [sde.name]
    measured = "free of the step's noise" if noisy else "no noise in the last step"
    if wrong:
        measured = f"the last step's mean includes its noise, on {', '.join(wrong)}"
    yield verdict("mean without the noise", not wrong, measured, "a run that ends on the mean has no noise")


def _raises_noise(part: Part, sde: SDE, context: CheckContext) -> bool:
    """Whether the last step's noise is that between its level and the one at which the network is asked.

    On data that is one point, with x' where the network is asked: ``var(x' / alpha' - x / alpha)`` is
    ``(sigma' / alpha')^2 - (sigma / alpha)^2``, and the mean is the point.
    """
    observed = context.trial(part, sde, 10, prior(64)).part
    assert observed.last is not None
    _, step, state = observed.last
    law = context.law(point(), sde).mean[0]
    x = step.alpha * law + step.sigma * prior(64)
    model = context.model(point(), sde)
    with torch.no_grad():
        update = observed.part.step(x, step, Prediction(model, sde), CountedNoise(8), state)
    query, level = model.calls[0]
    extra = float((query / level.alpha - x / step.alpha).square().mean())
    between = (level.sigma / level.alpha) ** 2 - (step.sigma / step.alpha) ** 2
    # a mean of squares is known to sqrt(2 / n) of itself
    return (
        abs(extra - between) <= DEVIATIONS * math.sqrt(2 / x.numel()) * between
        and float((update.mean - law).abs().max()) <= 1e-6 * step.sigma
    )
