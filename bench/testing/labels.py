"""Whether a label tells noise levels apart, follows its factor, and agrees with published numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from bench.checkpoints.label import IndexLabel, Label
from bench.diffusion.levels import NoiseLevel
from bench.diffusion.sde import SDE
from bench.testing.context import CheckContext
from bench.testing.duties import parameters
from bench.testing.probe import with_values
from bench.testing.report import Finding, guard, verdict

LAWS = ("vp", "ve", "subvp", "flow")
"""The SDEs whose levels are labeled; the last ends in alpha = 0."""

SCALES = (10, 1000)
"""Numbers of noise scales that a label of discrete ones is tried with."""

BLUR = 0.02
"""Greatest change of ln(sigma / alpha) by the rounding of a label to float32: a step of VE's 1000 scales is
0.0085."""


def check_label(label: Label, context: CheckContext) -> Iterator[Finding]:
    """All checks."""
    yield from guard("parameters", lambda: parameters(label))
    if isinstance(label, IndexLabel):
        yield from guard("positions", lambda: positions(label, context))
        yield from guard("inverse", lambda: inverse(label))
    else:
        yield from guard("numbers", lambda: numbers(label, context))
        yield from guard("published numbers", lambda: published(label, context))
    yield from guard("factor", lambda: factor(label, context))


def levels(sde: SDE, count: int = 201) -> list[NoiseLevel]:
    """Levels from eps to T, or to T - eps where T is pure noise; even in t."""
    last = sde.end - sde.eps if sde.ends_in_noise else sde.end
    return [sde.at(t) for t in np.linspace(sde.eps, last, count).tolist()]


def scale_levels(sde: SDE, scales: int) -> list[NoiseLevel]:
    """The levels of the uniform grid of so many scales, the smallest noise first."""
    times = sde.chain_times(scales).tolist()
    return [dataclasses.replace(sde.at(t), index=i, count=scales) for i, t in enumerate(times)]


def numbers(label: Label, context: CheckContext) -> Iterator[Finding]:
    """A finite float for each level, T included; strictly in order; the order survives float32."""
    odd, disorder, blurs = [], [], []
    for sde in map(context.sde, LAWS):
        points = levels(sde)
        values = [label.value(level, sde) for level in (*points, sde.at(sde.end))]
        if not all(isinstance(value, float) and math.isfinite(value) for value in values):
            wrong = next(v for v in values if not (isinstance(v, float) and math.isfinite(v)))
            odd.append(f"{wrong!r} ({type(wrong).__name__}) on {sde.name}")
            continue
        steps = np.diff(values[:-1])
        falls = bool((steps < 0).all())
        if not (falls or bool((steps > 0).all())) or (values[-1] - values[-2]) * (-1 if falls else 1) < 0:
            place = int(np.argmin(-steps if falls else steps)) if falls or steps[0] > 0 else 0
            disorder.append(f"not in order on {sde.name}, near t = {points[place].t:.3g}")
            continue
        blurs.append((_blur(label, points, values), sde.name))
    names = ", ".join(LAWS)
    yield verdict("numbers", not odd, odd[0] if odd else f"on {names}", "a finite float for every level")
    if odd:
        return
    measured = disorder[0] if disorder else f"in order on {names}"
    yield verdict("order", not disorder, measured, "strictly up or down with the noise")
    if not blurs:
        return
    blur, name = max(blurs)
    yield verdict(
        "float32",
        blur <= BLUR,
        f"rounding moves ln(sigma / alpha) by {blur:.1e} at most, on {name}",
        f"{BLUR:g} or less",
        blur=blur,
    )


def _blur(label: Label, points: list[NoiseLevel], values: list[float]) -> float:
    """Greatest change of ln(sigma / alpha) by half a unit in the last place of the label in float32."""
    ratio = np.array([math.log(level.sigma / level.alpha) for level in points])
    labels = label.factor * np.array(values[:-1])
    unit = np.spacing(np.abs(labels).astype(np.float32)).astype(np.float64) / 2
    return float((unit / np.abs(np.gradient(labels, ratio))).max())


def published(label: Label, context: CheckContext) -> Iterator[Finding]:
    """The label is that of the published code where the class states some of its numbers."""
    if not label.published:
        yield Finding("published numbers", "info", "none stated: `published` takes some of the authors'")
        return
    plain, wrong, count = type(label).build({}), [], 0
    for name, table in label.published.items():
        sde = context.sde(name)
        for t, expected in table.items():
            count += 1
            value = plain.value(sde.at(t), sde)
            if abs(value - expected) > 1e-9 * max(1.0, abs(expected)):
                wrong.append(f"{value:.12g} on {name} at t = {t:g}, where {expected:.12g} is published")
    yield verdict("published numbers", not wrong, wrong[0] if wrong else f"{count} agree", "the same (1e-9)")


def factor(label: Label, context: CheckContext) -> Iterator[Finding]:
    """Twice the factor is twice the label; without one it is the value."""
    wrong = []
    for sde in map(context.sde, LAWS):
        points = [sde.at(0.25 * sde.end), scale_levels(sde, SCALES[0])[3]]
        for level in points:
            one, two = (
                with_values(label, factor=times).number(level, sde, SCALES[0]) for times in (1.0, 2.0)
            )
            if one is None or two is None:  # no label is published for the level
                if one is not two:
                    wrong.append(f"{one} and {two} with factors 1 and 2 on {sde.name}")
                continue
            value = one if isinstance(label, IndexLabel) else label.value(level, sde)
            if one != value or abs(two - 2 * one) > 1e-12 * abs(one):
                wrong.append(f"{one:g} and {two:g} with factors 1 and 2, of {value:g}, on {sde.name}")
    yield verdict("factor", not wrong, wrong[0] if wrong else "followed", "factor times the value")


def positions(label: IndexLabel, context: CheckContext) -> Iterator[Finding]:
    """Scale i of the training has position i, up to the offset of a scale that published code has; the
    labels of all scales differ; a level between two scales has a position between the ends, or none."""
    wrong = []
    for sde in map(context.sde, LAWS):
        for scales in SCALES:
            where = f"on {sde.name} at {scales} scales"
            points = [label.position(level, sde, scales) for level in scale_levels(sde, scales)]
            if None in points:
                wrong.append(f"scale {points.index(None)} has no label {where}")
                continue
            places = np.array(points, dtype=np.float64)
            off = np.abs(places - np.arange(scales))
            if not bool((off < 1).all()):
                wrong.append(f"scale {int(off.argmax())} at position {places[off.argmax()]:g} {where}")
            elif len({label.of_position(place, scales) for place in places.tolist()}) < scales:
                wrong.append(f"scales of one label {where}")
            between = [label.position(sde.at(t), sde, scales) for t in (sde.eps, 0.3 * sde.end, sde.end)]
            beyond = [place for place in between if place is not None and not 0 <= place <= scales - 1]
            if beyond or places.min() < 0 or places.max() > scales - 1:
                wrong.append(f"position {(beyond or [places.max()])[0]:g} {where}")
    counts = " and ".join(map(str, SCALES))
    measured = wrong[0] if wrong else f"at {counts} scales of {', '.join(LAWS)}"
    yield verdict("positions", not wrong, measured, "scale i within one of i, 0 to N - 1, distinct labels")


def inverse(label: IndexLabel) -> Iterator[Finding]:
    """`position_of` gives the positions whose labels `of_position` gives, between scales too."""
    worst, wrong = 0.0, []
    for scales in SCALES:
        for position in (0.0, 0.25, scales / 2, scales - 1.0):
            number = label.of_position(position, scales)
            if not math.isfinite(number):
                wrong.append(f"position {position:g} of {scales} has the label {number}")
                continue
            off = abs(label.position_of(number, scales) - position) / scales
            worst = max(worst, off)
            if off > 1e-9:
                wrong.append(f"label {number:g} of {scales} scales is not read as position {position:g}")
    measured = wrong[0] if wrong else f"off by {worst:.1e}"
    yield verdict("inverse", not wrong, measured, "position_of inverts of_position", off=worst)
