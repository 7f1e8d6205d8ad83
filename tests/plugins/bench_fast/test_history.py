"""What the fast samplers share."""

from __future__ import annotations

import math

import pytest
import torch

from bench import NoiseLevel, Sampler
from bench_fast.history import Entry, combine, extend, half_log_snr, half_log_snr_next
from tests.support.analytic import grid_of, sde

LEVEL = NoiseLevel(0.5, 0.8, 0.6)


def entry(value: float) -> Entry:
    return Entry(LEVEL, torch.tensor([value]))


def test_a_history_is_newest_first_and_bounded() -> None:
    history = None
    for value in range(5):
        history = extend(history, entry(value), 3)
    assert history is not None
    assert [float(one.output) for one in history] == [4, 3, 2]
    assert extend(history, history[2], 1) == (history[2],)


def test_half_the_log_snr_of_a_step_is_that_of_its_levels() -> None:
    first, second, *_ = Sampler(sde("vp"), steps=5, grid=grid_of("logsnr")).schedule()
    assert half_log_snr(first) == math.log(first.alpha / first.sigma)
    assert half_log_snr_next(first) == pytest.approx(half_log_snr(second), rel=1e-12)


def test_a_combination_is_a_new_tensor() -> None:
    x, y = torch.tensor([1.0]), torch.tensor([2.0])
    assert float(combine((3.0, x), (0.5, y))) == 4
    assert (float(x), float(y)) == (1, 2)
