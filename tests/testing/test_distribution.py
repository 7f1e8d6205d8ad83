"""The law of noisy samplers: exact statistics, power, and samples of the data itself."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import pytest
import torch

from bench import Noise, Prediction, Solver, Step, Tensor, Update
from bench.diffusion.sde import SDE
from bench.testing import distribution
from bench.testing.context import CheckContext
from bench.testing.distribution import (
    FAR_DEVIATIONS,
    NAMES,
    PLACES,
    SMALL_BATCH,
    Path,
    Rest,
    check_law,
    products_apart,
    statistics,
)
from bench.testing.laws import SHAPE, mixture
from bench.testing.network import HEAVY_CALL_SAMPLES
from bench.testing.probe import prior
from tests.support.analytic import sde
from tests.support.checks import context
from tests.support.pages import page_says
from tests.support.plugins import installed
from tests.support.samplers import Sound


class Truth(Solver):
    """Draws of the data itself, with its coordinates times ``factor``; the network is not asked."""

    name = "truth"
    ends_clean = True
    factor = 1.0

    def refine(self, steps: int) -> Truth:
        return self

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        law = mixture().mapped(*sde.data_range)
        y = law.quantiles(noise(x).double())
        return law.states(law.center + self.factor * (y - law.center)).to(x.dtype)


class TooWide(Truth):
    """Ten percent too wide."""

    name = "too_wide"
    factor = 1.1


class Signs(Sound):
    """Signs for noise, right in law."""

    name = "signs"
    linear = False
    scale = 1.0

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        return noise(x).sign() * self.scale


class LoudSigns(Signs):
    """Ten percent too much noise."""

    name = "loud_signs"
    scale = 1.1


class Mixed(Signs):
    """Signs, mixed with those of another number, of which each neighbor is independent."""

    name = "mixed"

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        z = super().draw(x, noise)
        return (z + z.roll((1, 3), (-1, -2))) * math.sqrt(0.5)


class Antithetic(Signs):
    """The second half of a batch gets the noise of the first."""

    name = "antithetic"
    couples_batch = True

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        z, half = super().draw(x, noise), len(x) // 2
        z[half : 2 * half] = -z[:half]
        return z


class AffineAlone(Sound):
    """Right where the score is affine: it is extrapolated along a line."""

    name = "affine_alone"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        d = 0.5 * step.sigma
        slope = (p.score(x + d, step) - p.score(x - d, step)) / (2 * d)
        far = p.score(x + 2 * d, step) - 2 * d * slope
        f, g, dt = step.drift, step.diffusion, step.dt
        mean = x - (f * x - g**2 * far) * dt
        return Update(mean + g * dt**0.5 * noise(x), mean)


def status(part: Any, batch: int) -> tuple[str, str]:
    """The verdict on VP, and what was measured."""
    (finding,) = check_law(part, sde("vp"), context(), batch=batch)
    return finding.status, finding.measured


def test_samples_of_the_data_pass_and_wider_ones_do_not() -> None:
    assert status(Truth(), 64)[0] == "pass"
    assert status(TooWide(), 256)[0] == "fail"


def test_signs_for_noise_pass_and_louder_ones_do_not() -> None:
    assert status(Signs(), 128)[0] == "pass"
    assert status(LoudSigns(), 256)[0] == "fail"


@pytest.mark.parametrize(
    ("part", "batch", "statistic"),
    [
        (Mixed(), 64, "the product of numbers"),
        (Antithetic(), 64, "the product of samples of both halves"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_noise_that_is_mixed_far_apart_is_caught(part: Sound, batch: int, statistic: str) -> None:
    verdict, measured = status(part, batch)
    assert verdict == "fail"
    assert statistic in measured


def test_distances_are_each_there_once_with_its_opposite() -> None:
    """The products of numbers that lie far apart are those of rolled states, and cover all places but 0."""
    u = prior(3)
    rolled = [(u * u.roll(tuple(-n for n in place), (1, 2, 3))).mean((1, 2, 3)) for place in PLACES]
    torch.testing.assert_close(products_apart(u), torch.stack(rolled, dim=1))
    opposite = {tuple(-n % size for n, size in zip(place, SHAPE, strict=True)) for place in PLACES}
    near = {(0, 0, 0), (0, 0, 1), (0, 0, 7), (0, 1, 0), (0, 7, 0)}
    assert {*PLACES, *opposite, *near} == set(itertools.product(*map(range, SHAPE)))


def test_what_is_right_on_affine_scores_alone_is_caught() -> None:
    verdict, measured = status(AffineAlone(), 64)
    assert verdict == "fail"
    assert "stays off" in measured


class Recorded:
    """Stands for a look: in doubt, or not."""

    looks: ClassVar[list[tuple[str, int, tuple[int, int]]]] = []
    doubtful = False

    def __init__(
        self, part: Any, of: SDE, context: Any, batch: int, steps: tuple[int, int], *, seed: int
    ) -> None:
        self.looks.append((of.name, batch, steps))

    def margin(self) -> tuple[float, str, float]:
        return 0.0, "", 0.0


@pytest.mark.parametrize("doubtful", [False, True])
def test_heavy_steps_are_looked_at_as_the_page_says(monkeypatch: pytest.MonkeyPatch, doubtful: bool) -> None:
    monkeypatch.setattr(Recorded, "looks", [])
    monkeypatch.setattr(Recorded, "doubtful", doubtful)
    monkeypatch.setattr(distribution, "Look", Recorded)
    monkeypatch.setattr(distribution, "is_heavy", lambda *_: True)
    both = CheckContext(installed(), ("ve", "vp"))
    for one in both.sdes:
        list(check_law(Signs(), one, both))
    again = [("vp", 2048, (100, 200))] if doubtful else []
    assert Recorded.looks == [("ve", 128, (40, 80)), ("vp", 256, (60, 120)), *again]
    monkeypatch.setattr(Recorded, "looks", [])
    list(check_law(Signs(), both.sdes[1], both, name="at another value", batch=SMALL_BATCH))
    assert Recorded.looks == [("vp", 128, (60, 120))]
    first = "Its law has 256 samples at 60 and 120 steps on VP at first"
    second = "and 2048 at 100 and 200 steps in a second look"
    others = "on other SDEs it has 128 at 40 and 80 steps, and 128 at other values of parameters"
    assert page_says(
        "docs/check.md", f"{first}, {second}; {others}. Its calls are counted of 1, 2 and 16 samples."
    )
    assert HEAVY_CALL_SAMPLES == (1, 16)


def test_a_coarse_run_has_the_path_of_a_fine_one() -> None:
    """Draws of the coarse run are sums over sqrt(2) of two neighbors, whatever a step draws."""
    x = prior(2)
    path = Path(5)
    fine = [path(x) for _ in range(8)]
    coarse = path.summed(4)  # two draws a step
    expected = [
        (fine[0] + fine[2]) * 0.5**0.5,
        (fine[1] + fine[3]) * 0.5**0.5,
        (fine[4] + fine[6]) * 0.5**0.5,
    ]
    for one in expected:
        torch.testing.assert_close(coarse(x), one)
    once = Path(5)
    first = once(x)
    assert torch.equal(once.summed(200)(x), first)


def test_what_stays_is_extrapolated_by_the_declared_order() -> None:
    """Errors ``b / n`` leave nothing at order 1, errors ``b / n^2`` nothing at order 2; a constant stays."""
    b = torch.linspace(0.1, 0.2, len(NAMES))
    scatter = 1e-3 * torch.randn(64, len(NAMES), generator=torch.Generator().manual_seed(1))
    first = Rest.of(b / 2 + scatter, b + scatter, 1.0)
    second = Rest.of(b / 4 + scatter, b + scatter, 2.0)
    floor = Rest.of(b / 2 + 0.1 + scatter, b + 0.1 + scatter, 1.0)
    assert first.worst[0] < 0.1
    assert second.worst[0] < 0.1
    assert floor.worst[0] > 1


def test_without_a_declared_order_what_stays_lies_between_two_bounds() -> None:
    b, scatter = (
        torch.full((len(NAMES),), 0.1),
        1e-3 * torch.randn(64, len(NAMES), generator=torch.Generator().manual_seed(1)),
    )
    assert Rest.of(b / 8 + scatter, b + scatter, None).worst[0] < 1
    assert Rest.of(b / 2 + scatter, b + scatter, None).worst[0] < 1
    assert Rest.of(b / 2 + 0.1 + scatter, b + 0.1 + scatter, None).worst[0] > 1


def test_statistics_of_independent_numbers_scatter_as_their_errors_say() -> None:
    """Of normal numbers: every mean within the allowed number of standard errors of its truth."""
    rows = statistics(prior(4096))
    assert rows.shape == (4096, len(NAMES))
    off = rows.mean(0) / (rows.std(0) / 64)
    zero = [i for i, name in enumerate(NAMES) if "product" in name or "channels" in name or "sin" in name]
    assert float(off[zero].abs().max()) < FAR_DEVIATIONS
    cos = rows.mean(0)[NAMES.index("the mean of cos 2u in channel 1")]
    torch.testing.assert_close(float(cos), 2.718281828**-2, rtol=0.02, atol=0.0)
