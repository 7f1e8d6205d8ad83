"""Whether a checkpoint's card tells the truth: its convention held to data, level by level.

Items x0 of the card's data get noise, ``x = alpha x0 + sigma z``, and the network is asked for ``E[x0 | x]``
through the code that runs use. What it gets wrong, ``E |D(x) - x0|^2``, is judged without a second network,
by the best that scaling alone allows,

    v sigma^2 / (sigma^2 + alpha^2 v),   v the data's variance,

and that of the best linear filter, the mean of this over the variances of the data's principal axes; and by
the error that is left when answer and state are scaled, ``a D(x) + b x + c`` with the best a, b and c: none
betters an expectation. A wrong label, parametrisation, SDE or range fails one of them. All errors are shares
of v.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from bench.checkpoints.cards import Card
from bench.checkpoints.load import load_model, read_network
from bench.checkpoints.memory import MemoryCheckpoint, network
from bench.checkpoints.resolve import own_sde
from bench.closed_form.mixture import MixtureModel
from bench.diffusion.levels import NoiseLevel
from bench.diffusion.noise import noise_stream
from bench.diffusion.prediction import Prediction
from bench.diffusion.sde import SDE
from bench.errors import BenchError
from bench.events import Emit, silent
from bench.plugins.registry import Registry
from bench.testing.conventions import pairs, single_changes
from bench.testing.report import Finding, guard, verdict

ITEMS = 256
"""Most items of the data that are used."""
VALUES = 65_536
"""Values, items times their size, at a level: large items need fewer of them."""
FEWEST = 8
"""Fewest items, however large they are."""
LEVELS = 9
"""Noise levels of the curve, evenly spaced in ln(sigma / alpha) over the range of the SDE."""
MIDDLE = tuple(np.linspace(0.1, 0.9, 5).tolist())
"""The judged levels: those at which scaling alone leaves these shares of the variance."""
ASTRAY = 0.25
"""Greatest distance of the answers' mean from the data's at the largest noise, as a share of their range. A
wrong range is off by about a half, and may show there alone: at small noise a network follows its state."""
GAINED = 0.5
"""Smallest share of what a linear filter gains over scaling that a network must gain at the judged levels."""
SLACK = 0.05
"""What a network may be off by there, as a share of what scaling leaves: in data without a structure that a
linear filter sees, such as points in the plane, scaling is about the best there is."""
LEFT = 0.85
"""Smallest share of the error that must be left at each of them when answer and state are scaled; 1 for an
expectation, and what training leaves to be gained is less than this."""
SEARCHED = MIDDLE[::2]
"""The levels at which other conventions are tried."""
SAME = 1.05
"""Conventions within this factor of the best error are as good as it: some differ by less than a step."""
BETTER = 0.85
"""Another convention is clearly better where its error is below this share of the card's, in the geometric
mean over these levels."""
DEVIATIONS = 5.0
"""Standard errors by which an exact checkpoint's error may be off: 1 in 200,000 draws by chance."""


class LevelError(NamedTuple):
    """Errors at a level, as shares of the data's variance: the network's, that of scaling alone, that of the
    best linear filter, and the network's after scaling its answer and the state; and how far the mean of the
    answers is from that of the data, as a share of their range, with its standard error."""

    ratio: float
    error: float
    scaling: float
    linear: float
    scaled: float
    astray: float
    astray_error: float


@dataclasses.dataclass(frozen=True)
class Items:
    """Items of the data on the unit range (n, *shape), and what was read of them."""

    values: torch.Tensor
    name: str

    @classmethod
    def read(cls, card: Card, source: str | None, registry: Registry, emit: Emit = silent) -> Items:
        """Some of the items of a source, the same ones each time.

        Args:
            card: The checkpoint.
            source: Name of the data; None for that of the card.
            registry: Data sets by name.
            emit: Reports a download.

        Raises:
            BenchError: The card names no data, or they are not here or of another shape.
        """
        from bench.plan.sources import open_images

        own = card.name if card.exact else card.dataset
        name = source or own or ("cifar10-train" if tuple(card.shape) == (3, 32, 32) else "")
        if not name:
            raise BenchError(f"{card.name}: its card names no data set: give the data by --data SOURCE")
        try:
            images = open_images(name, registry=registry, emit=emit)
            chosen = np.random.default_rng(0).choice(images.n, min(ITEMS, images.n), replace=False)
            rows, start = [], 0
            for batch in images:
                index = np.sort(chosen[(chosen >= start) & (chosen < start + len(batch))]) - start
                rows.append(batch[torch.from_numpy(index)])
                start += len(batch)
        except BenchError as error:
            raise BenchError(
                f"{card.name} is held to data, {name}: {error}; or give --data SOURCE"
            ) from error
        return cls(torch.cat(rows), name)


class CheckpointCheck:
    """A checkpoint under check, and items of its data.

    Args:
        card: Its card.
        registry: Plugins by name.
        items: Items of its data.
    """

    def __init__(self, card: Card, registry: Registry, items: torch.Tensor) -> None:
        self.card, self.registry = card, registry
        size = items[0].numel()
        self.count = min(len(items), max(FEWEST, VALUES // size))
        self.few = min(len(items), max(FEWEST // 2, VALUES // 16 // size))
        """Items on which other conventions are tried."""
        self.items = items
        rows = (items.double() - items.double().mean(0)).flatten(1)
        self.variance = float(rows.square().mean())
        axes = torch.linalg.eigvalsh(
            (rows @ rows.T if len(rows) < size else rows.T @ rows) / len(rows)
        ).clamp_min(0)
        self.axes = torch.cat([axes, axes.new_zeros(max(size - len(axes), 0))]) / max(self.variance, 1e-300)
        """Variances along the principal axes, relative to their mean."""
        if not self.variance > 0:
            raise BenchError(f"{card.name}: the items of the data are all the same")

    def sde(self, card: Card) -> SDE:
        """The SDE that the network was trained on; ``vp`` for a denoiser that serves every SDE."""
        own = own_sde(card, self.registry)
        if own is None:
            own = self.registry.build("sdes", "vp", {})
        return own

    def ratios(self, sde: SDE, shares: Sequence[float]) -> list[float]:
        """sigma / alpha at which scaling leaves these shares of the variance, within the range of the SDE."""
        low, high = sde.data_range
        deviation = math.sqrt(self.variance) * (high - low)
        ends = [math.exp(end) for end in sde.log_sigma_ratio_range]
        ratios = [deviation * math.sqrt(share / (1 - share)) for share in shares]
        return [ratio for ratio in ratios if ends[0] <= ratio <= ends[1]]

    def curve(self, sde: SDE) -> list[float]:
        """sigma / alpha of the levels of the whole range."""
        low, high = sde.log_sigma_ratio_range
        return [math.exp(value) for value in np.linspace(low, high, LEVELS).tolist()]

    def level(self, card: Card, sde: SDE, ratio: float) -> NoiseLevel:
        """The level of a sigma / alpha; of a network of discrete scales, its scale nearest to that."""
        if not card.discrete:
            return sde.level_at(ratio, clip=True)
        assert card.scales is not None
        t = sde.chain_times(card.scales)
        index = int(np.abs(sde.log_sigma_ratio(t) - math.log(ratio)).argmin())
        return dataclasses.replace(sde.at(float(t[index])), index=index, count=card.scales)

    def errors(self, card: Card, ratios: Sequence[float], count: int) -> list[LevelError]:
        """The errors of a card's convention at levels, on the first ``count`` items."""
        sde = self.sde(card)
        model = load_model(card, sde, torch.device("cpu"), self.registry)
        if card.classes:
            draws = torch.randint(card.classes, (count,), generator=torch.Generator().manual_seed(3))
            model = model.of_classes(torch.full((count,), -1) if card.null_class else draws)
        p = Prediction(model, sde)
        everything = model.states(self.items)
        mean, v = everything.mean(0), float((everything - everything.mean(0)).double().square().mean())
        x0, results = everything[:count], []
        z = noise_stream(0, 0, "check", "cpu")(x0)
        for ratio in ratios:
            level = self.level(card, sde, ratio)
            x = level.alpha * x0 + level.sigma * z
            with torch.no_grad():
                answer = p.denoised(x, level)
            if answer.shape != x0.shape:
                raise BenchError(f"it answers {tuple(x.shape)} by {tuple(answer.shape)}")
            clean = (x0 - mean).double().flatten()
            error = float((answer - x0).double().square().mean())
            scaled = (
                _remainder(clean, (answer - mean, x - level.alpha * mean)) if math.isfinite(error) else error
            )
            signal = level.alpha**2 * v
            scaling = level.sigma**2 / (level.sigma**2 + signal)
            linear = float((self.axes * level.sigma**2 / (level.sigma**2 + signal * self.axes)).mean())
            low, high = sde.data_range
            means = (answer - x0).double().flatten(1).mean(1) / (high - low)
            astray = float(means.mean()), float(means.std()) / math.sqrt(count)
            errors = (error / v, scaling, linear, scaled / v)
            results.append(LevelError(level.sigma / level.alpha, *errors, *astray))
        return results


def _remainder(clean: torch.Tensor, parts: Sequence[torch.Tensor]) -> float:
    """Mean square of what the best linear combination of parts and a constant leaves of ``clean`` (n,)."""
    columns = torch.stack([*(part.double().flatten() for part in parts), torch.ones_like(clean)], dim=1)
    columns = columns / columns.square().mean(0).sqrt().clamp_min(1e-30)
    solution = torch.linalg.lstsq(columns, clean[:, None], driver="gelsd").solution
    return float((clean - (columns @ solution)[:, 0]).square().mean())


def check_checkpoint(
    card: Card, registry: Registry, data: str | None = None, emit: Emit = silent
) -> Iterator[Finding]:
    """All checks of a checkpoint.

    Args:
        card: Its card.
        registry: Plugins by name.
        data: Name of the data that it is held to; None for those of its card, and for an exact checkpoint
            draws of its own.
        emit: Reports a download of the data.

    Raises:
        BenchError: The checkpoint's files or its data are not here.
    """
    card.check()
    if card.exact and card.scales is None:
        yield from guard("exact error", lambda: exact_error(card, registry))
    items = Items.read(card, data, registry, emit)
    if tuple(items.values.shape[1:]) != tuple(card.shape):
        shapes = ["x".join(map(str, shape)) for shape in (items.values.shape[1:], card.shape)]
        yield verdict(
            "data", False, f"{items.name} has items of {shapes[0]}", f"those of the card, {shapes[1]}"
        )
        return
    case = CheckpointCheck(card, registry, items.values)
    yield verdict("data", True, f"{case.count} items of {items.name}", "of the card's shape", n=case.count)
    failed = False
    for finding in guard("denoising error", lambda: denoising(case)):
        failed |= finding.status == "fail"
        yield finding
    if not card.exact:
        yield from guard("convention", lambda: convention(case, failed=failed))


def exact_error(card: Card, registry: Registry) -> Iterator[Finding]:
    """The error on draws of its own is the posterior variance, ``sigma^2 / alpha^2 (d + sigma^2 div s(x))``.

    That holds for the exact score s alone (Tweedie's formula of second order), at each x on average over x0.
    """
    sde = own_sde(card, registry) or registry.build("sdes", "vp", {})
    model = load_model(card, sde, torch.device("cpu"), registry, dtype=torch.float64)
    assert isinstance(model, MixtureModel)
    noise = noise_stream(0, 0, "check", "cpu")
    x0 = model.draw(ITEMS, noise)
    z, size, off, finite = noise(x0), x0[0].numel(), [], True
    low, high = sde.log_sigma_ratio_range
    ratios = [math.exp(value) for value in np.linspace(low, high, LEVELS).tolist()]
    for ratio in ratios:
        level = sde.level_at(ratio, clip=True)
        x = level.alpha * x0 + level.sigma * z
        error = (model.denoised(x, level) - x0).square().flatten(1).sum(1)
        _, divergence = model.score_and_divergence(x, level)
        expected = (level.sigma / level.alpha) ** 2 * (size + level.sigma**2 * divergence)
        difference = error - expected
        finite &= bool(difference.isfinite().all())
        spread = float(difference.std()) / math.sqrt(len(difference)) + 1e-9 * float(error.mean())
        off.append(abs(float(difference.mean())) / spread)
    measured = (
        f"off by {max(off):.2g} standard errors or less at {len(off)} levels" if finite else "not finite"
    )
    required = f"the posterior variance, to {DEVIATIONS:g} standard errors"
    yield verdict("exact error", finite and max(off) < DEVIATIONS, measured, required, off=off, levels=ratios)


def denoising(case: CheckpointCheck) -> Iterator[Finding]:
    """The errors of the card's convention: finite everywhere; below scaling's, and not bettered by scaling,
    where noise and data are of one size.

    At small noise there is little to remove, and at large noise a network that predicts noise may be far off
    the data, so that only the middle is judged.
    """
    sde = case.sde(case.card)
    curve = case.errors(case.card, case.curve(sde), case.count)
    wrong = [
        f"not finite at sigma / alpha = {one.ratio:.3g}" for one in curve if not math.isfinite(one.error)
    ]
    measured = ", ".join(f"{one.error:.2g} at {one.ratio:.2g}" for one in curve[:: (LEVELS - 1) // 4])
    yield verdict(
        "answers",
        not wrong,
        wrong[0] if wrong else f"error by sigma / alpha: {measured}",
        "finite at every level",
        levels=[one.ratio for one in curve],
        errors=[one.error for one in curve],
        scaling=[one.scaling for one in curve],
        linear=[one.linear for one in curve],
    )
    ratios = case.ratios(sde, MIDDLE)
    if not ratios:
        yield Finding(
            "denoising error", "fail", "noise and data are of one size at no level", "some such level"
        )
        return
    middle = case.errors(case.card, ratios, case.count)
    error, limit = _mean(middle, "error"), greatest_error(middle)
    scaling, linear = _mean(middle, "scaling"), _mean(middle, "linear")
    yield verdict(
        "denoising error",
        error < limit,
        f"{error:.4g} of the variance at sigma / alpha = {ratios[0]:.2g} to {ratios[-1]:.2g}",
        f"below {limit:.4g}: scaling alone leaves {scaling:.4g}, a linear filter {linear:.4g}",
        error=error,
        scaling=scaling,
        linear=linear,
    )
    share = min(one.scaled / one.error for one in middle)
    yield verdict(
        "scaled answers",
        share > LEFT,
        f"{share:.4g} of the error is left at least when answer and state are scaled",
        f"above {LEFT:g}: an expectation can't be bettered so",
        left=share,
    )
    last = curve[-1]
    yield verdict(
        "mean at large noise",
        abs(last.astray) - 3 * last.astray_error < ASTRAY,
        f"off by {last.astray:.2g} of the range at sigma / alpha = {last.ratio:.3g}",
        f"the data's, to {ASTRAY:g} of the range (data_range)",
        off=last.astray,
    )


def greatest_error(errors: Sequence[LevelError]) -> float:
    """The greatest error that a network may have at the judged levels."""
    scaling, linear = _mean(errors, "scaling"), _mean(errors, "linear")
    return scaling * (1 + SLACK) - GAINED * (scaling - linear)


def _mean(errors: Sequence[LevelError], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in errors]))


def _typical(errors: Sequence[LevelError], *, greatest: bool = False) -> float:
    """The geometric mean of errors over levels, or of the greatest that are right there."""
    return math.exp(np.mean([math.log(greatest_error([one]) if greatest else one.error) for one in errors]))


def convention(case: CheckpointCheck, *, failed: bool) -> Iterator[Finding]:
    """No other registered label, parametrisation, SDE or range makes the error clearly smaller.

    Args:
        case: The checkpoint.
        failed: Whether the card's own convention failed already: then labels and parametrisations are also
            changed together.
    """
    memory = _in_memory(case.card, case.registry)
    errors = case.errors(memory, case.ratios(case.sde(memory), SEARCHED), case.few)
    own, results = _typical(errors), []
    for text, card in single_changes(memory, case.registry):
        results += _attempt(case, text, card)
    if failed and (not results or min(results)[0] > _typical(errors, greatest=True)):
        for text, card in pairs(memory, case.registry):
            results += _attempt(case, text, card)
    if not results:
        yield Finding("convention", "info", "no other convention can be tried")
        return
    # of those that are as good as the best, the one that is said in the fewest words
    best, text = min((one for one in results if one[0] < SAME * min(results)[0]), key=lambda one: len(one[1]))
    good = best > BETTER * own
    measured = f"error {own:.4g}; {text} would give {best:.4g}"
    required = f"none of {len(results)} other conventions below {BETTER:g} of it"
    yield verdict("convention", good, measured, required, error=own, best=best)


def _attempt(case: CheckpointCheck, text: str, card: Card) -> list[tuple[float, str]]:
    """A convention's mean error, with its name; nothing where there is none."""
    try:
        error = _typical(case.errors(card, case.ratios(case.sde(card), SEARCHED), case.few))
    except Exception:  # a network may refuse another label in any way
        return []
    return [(error, text)] if math.isfinite(error) else []


def _in_memory(card: Card, registry: Registry) -> MemoryCheckpoint:
    """The checkpoint's network in memory, so that its files are read once for all conventions."""
    if isinstance(card, MemoryCheckpoint):
        return card
    memory = network(
        read_network(card, registry),
        predicts=card.predicts or "",
        labels=card.labels or "",
        shape=card.shape,
        name=card.name,
    )
    same = (
        "sde",
        "data_range",
        "scales",
        "learned_variance",
        "classes",
        "null_class",
        "parameters",
        "network",
    )
    return memory.model_copy(update={name: getattr(card, name) for name in same})
