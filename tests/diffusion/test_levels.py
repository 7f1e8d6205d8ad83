"""Noise levels and steps are plain values."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

from bench import NoiseLevel, per_sample
from bench.diffusion.grid import schedule_of
from bench.diffusion.levels import CLEAN_DATA
from tests.support.analytic import sde


def test_a_step_is_the_level_that_it_starts_from() -> None:
    step = schedule_of(sde("vp"), 30)[4]
    assert isinstance(step, NoiseLevel)
    level = sde("vp").at(step.t)
    assert (step.alpha, step.sigma) == (level.alpha, level.sigma)


def test_the_last_step_alone_ends_on_clean_data() -> None:
    schedule = schedule_of(sde("ve"), 30)
    assert [step.last for step in schedule] == [False] * 29 + [True]
    last = schedule[-1]
    assert NoiseLevel(last.t_next, last.alpha_next, last.sigma_next) == CLEAN_DATA


def test_levels_and_steps_pickle_copy_and_stay_as_they_are() -> None:
    step = schedule_of(sde("subvp"), 30)[7]
    for one in (step, CLEAN_DATA):
        assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == one
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.t = 0.5  # type: ignore[misc]


def test_numbers_of_the_samples_multiply_their_states() -> None:
    x = torch.arange(12, dtype=torch.float32).view(2, 3, 2)
    product = per_sample(np.array([2.0, -1.0]), x) * x
    assert torch.equal(product, torch.stack([2 * x[0], -x[1]]))
    assert product.dtype == torch.float32
