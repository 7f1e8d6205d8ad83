"""The task colorize: its axes, and what it shows of an image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench import BenchError
from bench_tasks.colorize import GRAY
from bench_tasks.known import rotate_channels
from tests.support.completions import build_task, completion_batch, pc, small_gaussian, uniform_images
from tests.support.task_runs import RefusedTask


def test_gray_is_the_first_of_three_orthogonal_axes() -> None:
    assert np.allclose(GRAY @ GRAY.T, np.eye(3), atol=1e-15)
    assert np.allclose(GRAY[0], 1 / math.sqrt(3), atol=1e-15)
    gray = torch.full((1, 3, 2, 2), 0.4, dtype=torch.float64)
    color = rotate_channels(torch.from_numpy(GRAY), gray)[:, 1:]
    assert torch.allclose(color, torch.zeros(1, 2, 2, 2).double())


def test_the_known_part_of_an_image_is_its_gray_version() -> None:
    sampler = pc("vp", steps=2)
    originals = uniform_images(np.random.default_rng(3), 2, 4)
    colorize = build_task("colorize", completions=2)
    outputs = colorize.run(completion_batch(sampler, small_gaussian(sampler.sde, 4), originals, 2))
    picture = colorize.preview(outputs)
    assert picture is not None
    gray = originals.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(picture[0][1::4], gray)


def test_images_without_color_are_refused() -> None:
    with pytest.raises(BenchError, match="colorize takes images of 3 colors, not items of the shape"):
        build_task("colorize").part((1, 8, 8))  # type: ignore[attr-defined]


def test_solvers_are_refused(refused_task: RefusedTask) -> None:
    assert "leave out --solver rk45" in refused_task("colorize", "--solver", "rk45")
