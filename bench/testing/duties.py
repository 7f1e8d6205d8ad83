"""What every sampler promises, whatever it computes: kinds, finiteness, randomness, counts, parameters."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bench.diffusion.roles import Corrector, Predictor, Solver
from bench.diffusion.sde import SDE
from bench.params import Plugin
from bench.testing import probe
from bench.testing.probe import GAUSSIAN, MIXTURE, Part, Stream, Watched, changed, prior, run, with_steps
from bench.testing.report import Finding, guarded, judged


def duties(part: Part, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """All of them."""
    yield from guarded("parameters", lambda: parameters(part))
    yield from guarded("shape, precision, device", lambda: kinds(part, sdes))
    yield from guarded("finite at 10 steps", lambda: finite(part, sdes))
    yield from guarded("same seed, same bits", lambda: determined(part, sdes[0]))
    yield from guarded("no global random state", lambda: own_noise(part, sdes[0]))
    yield from guarded("input left as it was", lambda: in_place(part, sdes[0]))
    yield from guarded("batch", lambda: batch(part, sdes[0]))
    yield from guarded("network calls", lambda: calls(part, sdes[0]))
    if not isinstance(part, Solver):
        yield from guarded("asked at its level", lambda: levels(part, sdes))
        yield from guarded("mean without the noise", lambda: noiseless_mean(part, sdes))


def parameters(plugin: Plugin) -> Iterator[Finding]:
    """Values survive the command line's texts and the record's JSON; each parameter says what it is."""
    cls, wrong = type(plugin), []
    tried = [plugin, *(changed(plugin, **{k: v}) for k, v in _others(plugin).items())]
    for one in tried:
        values = one.values()
        texts = {k: "none" if v is None else str(v) for k, v in values.items()}
        if cls.build(texts) != one:
            wrong.append(f"read back from texts, {one} is {cls.build(texts)}")
        if cls.build(json.loads(json.dumps(values))) != one or hash(cls.build(values)) != hash(one):
            wrong.append(f"read back from its record, {one} is another")
    wrong += [f"{p.name} has no help" for p in cls.parameters() if not p.help]
    said = f"{len(tried)} settings of {len(cls.parameters())} parameters" if cls.parameters() else "none"
    yield judged("parameters", not wrong, wrong[0] if wrong else said, "read back the same; help for each")


def _others(plugin: Plugin) -> dict[str, Any]:
    """Another value for each parameter that allows one near its own."""
    found = {}
    for name, value in plugin.values().items():
        tries: list[Any] = []
        if isinstance(value, bool):
            tries = [not value]
        elif isinstance(value, int):
            tries = [value + 1, value - 1]
        elif isinstance(value, float):
            tries = [value * 0.9 + 0.01, value * 1.1, value * 0.9]
        kinds = next(p.type for p in plugin.parameters() if p.name == name)
        if isinstance(value, str) and "|" in kinds:
            tries = [other for other in kinds.split("|") if other != value]
        for other in tries:
            try:
                changed(plugin, **{name: other})
            except Exception:  # not allowed: the next one
                continue
            found[name] = other
            break
    return found


def kinds(part: Part, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """A float32 batch on the host is float32 there in every step, history and question to the network."""
    seen: set[tuple[Any, ...]] = set()
    for sde in sdes:
        ran = run(with_steps(part, 10), sde, 10, prior(3, torch.float32))
        assert isinstance(ran.model, Watched)
        seen |= ran.probe.kinds | ran.model.asked | {probe.kind(ran.x)}
    wanted = (probe.SHAPE, "torch.float32", "cpu")
    odd = sorted(map(str, seen - {wanted}))
    said = f"also {odd[0]}" if odd else "float32 on cpu throughout"
    yield judged("shape, precision, device", not odd, said, "as it was given, in states and questions")


def finite(part: Part, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """No NaN at few steps, on the Gaussian and on the mixture."""
    bad = []
    for sde in sdes:
        for checkpoint in (GAUSSIAN, MIXTURE):
            model = Watched(checkpoint, sde, torch.float32)
            ran = run(with_steps(part, 10), sde, 10, prior(4, torch.float32), model=model)
            bad += [] if bool(ran.x.isfinite().all()) else [f"{sde.name} on {checkpoint}"]
    said = f"not finite: {', '.join(bad)}" if bad else f"finite on {', '.join(s.name for s in sdes)}"
    yield judged("finite at 10 steps", not bad, said, "finite on the Gaussian and the mixture")


def determined(part: Part, sde: SDE) -> Iterator[Finding]:
    """The same prior and noise give the same bits; other noise, if any is drawn, gives others."""
    part, start = with_steps(part, 10), prior(4, torch.float32)
    first, again, other = (run(part, sde, 10, start, noise=Stream(seed)) for seed in (3, 3, 4))
    same = torch.equal(first.x, again.x)
    moved = not torch.equal(first.x, other.x)
    drawn = first.drawn > 0
    said = "other bits the second time" if not same else ""
    said = said or ("noise is drawn and has no effect" if drawn and not moved else "")
    said = said or ("other results without noise" if moved and not drawn else "")
    yield judged(
        "same seed, same bits",
        not said,
        said or (f"same bits; {first.drawn} draws of noise" if drawn else "same bits; no noise"),
        "one seed, one result",
        draws=first.drawn,
    )


def own_noise(part: Part, sde: SDE) -> Iterator[Finding]:
    """Python's, numpy's and torch's global generators neither matter nor move."""
    part, start, results, moved = with_steps(part, 10), prior(4, torch.float32), [], []
    kept = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        for seed in (11, 12):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            before = random.getstate(), str(np.random.get_state()), torch.random.get_rng_state()
            results.append(run(part, sde, 10, start).x)
            if random.getstate() != before[0]:
                moved.append("random")
            if str(np.random.get_state()) != before[1]:
                moved.append("numpy.random")
            if not torch.equal(torch.random.get_rng_state(), before[2]):
                moved.append("torch")
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        torch.random.set_rng_state(kept[2])
    said = f"draws from {' and '.join(sorted(set(moved)))}'s global generator" if moved else ""
    said = said or ("" if torch.equal(*results) else "depends on global random state")
    yield judged(
        "no global random state", not said, said or "untouched", "noise from the run's own stream alone"
    )


def in_place(part: Part, sde: SDE) -> Iterator[Finding]:
    """What a step is given is not written over."""
    written = run(with_steps(part, 10), sde, 10, prior(4, torch.float32)).probe.changed_in_place
    said = "changed in place" if written else "unchanged"
    yield judged("input left as it was", not written, said, "unchanged")


def batch(part: Part, sde: SDE) -> Iterator[Finding]:
    """Rows of a batch are those of its halves, with the same noise, unless it is declared that they are not.

    Compared in float64, where kernels that sum in another order differ by 1e-12 and no more.
    """
    part, whole, draws = with_steps(part, 10), prior(8), {}

    def drawn(count: int, rows: slice, x: torch.Tensor) -> torch.Tensor:
        if count not in draws:
            draws[count] = prior(8, x.dtype, seed=100 + count)
        return draws[count][rows].clone()

    parts = []
    for rows in (slice(0, 8), slice(0, 4), slice(4, 8)):
        noise = Stream(draw=lambda count, x, rows=rows: drawn(count, rows, x))  # type: ignore[misc]
        parts.append(run(part, sde, 10, whole[rows], noise=noise).x)
    off = float((parts[0] - torch.cat(parts[1:])).abs().max() / parts[0].abs().max())
    if part.couples_batch:
        yield Finding("batch", "info", f"declared to couple its samples; halves differ by {off:.1e}")
        return
    yield judged(
        "batch", off < 1e-9, f"halves differ by {off:.1e}", "samples independent of each other", off=off
    )


def calls(part: Part, sde: SDE) -> Iterator[Finding]:
    """Counted calls of the network against what the plugin declares."""
    told, wrong = [], []
    for steps in (1, 2, 7):
        one = with_steps(part, steps)
        counted = run(one, sde, steps, prior(2)).calls
        if isinstance(one, Predictor):
            declared = 0 if one.idle else one.nfe(steps)
        elif isinstance(one, Corrector):
            declared = steps * one.calls + steps  # DDIM's own
        else:
            declared = one.nfe()
        told.append(str(counted))
        if declared is not None and declared != counted:
            wrong.append(f"{counted} calls at {steps} steps, {declared} declared")
    said = wrong[0] if wrong else f"{', '.join(told)} calls at 1, 2, 7 steps"
    yield judged("network calls", not wrong, said, "as many as declared")


def levels(part: Part, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """Where a step asks the network at the very state that it was given, it is at that state's noise level.

    An index off by one here leaves a first-order method one, with a larger error: no limit would tell.
    """
    wrong, seen = [], 0
    for sde in sdes:
        ran = run(part, sde, 4, prior(2))
        assert isinstance(ran.model, Watched)
        for x, scale, calls in ran.probe.given:
            for call in calls:
                asked, level = ran.model.questions[call]
                if torch.equal(asked, x):
                    seen += 1
                    same = level.sigma * scale.alpha == level.alpha * scale.sigma
                    wrong += (
                        [] if same else [f"{sde.name}: a state of t = {scale.t:.3g} at t = {level.t:.3g}"]
                    )
    said = wrong[0] if wrong else f"in {seen} calls" if seen else "no call at the state itself"
    yield judged("asked at its level", not wrong, said, "the state's own noise level")


def noiseless_mean(part: Part, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """On the step to clean data, ``mean`` does not depend on the noise that x has of it."""
    wrong, noisy = [], False
    for sde in sdes:
        found = []
        for seed in (8, 9):
            ran = run(part, sde, 4, prior(3))
            if isinstance(part, Corrector):
                scale = probe.sampler(part, sde, 4).schedule()[-1]
                x = prior(3)
                update = part.resolve(sde).step(x, scale, _score(sde), Stream(seed))
            else:
                if ran.probe.last is None:
                    return
                x, scale, state = ran.probe.last
                update = ran.probe.part.step(x, scale, _score(sde), Stream(seed), state)
            found.append(update)
        noisy |= not torch.equal(found[0].x, found[1].x)
        moved, noise = (float((found[0][i] - found[1][i]).norm()) for i in (1, 0))
        # a corrector may take its step from the noise's norm
        if moved > (0.5 * noise if isinstance(part, Corrector) else 0.0):
            wrong.append(sde.name)
    said = f"the last step's mean has its noise in it, on {', '.join(wrong)}" if wrong else ""
    said = said or ("free of the step's noise" if noisy else "no noise in the last step")
    yield judged("mean without the noise", not wrong, said, "a run that ends on the mean ends without noise")


def _score(sde: SDE) -> Any:
    from bench.diffusion.prediction import Prediction

    return Prediction(Watched(GAUSSIAN, sde), sde)
