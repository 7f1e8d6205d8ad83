"""The task inpaint: its pictures, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.completions import build_task, completion_batch, pc, small_gaussian, uniform_images
from tests.support.task_runs import RefusedTask


def test_a_picture_has_a_row_for_each_image() -> None:
    sampler = pc("vp", steps=2)
    inpaint = build_task("inpaint", completions=3)
    originals = uniform_images(np.random.default_rng(4), 2, 4)
    outputs = inpaint.run(completion_batch(sampler, small_gaussian(sampler.sde, 4), originals, 3))
    picture = inpaint.preview(outputs)
    assert picture is not None
    images, columns = picture
    assert (columns, len(images)) == (5, 10)
    for row in range(2):
        rows = slice(3 * row, 3 * row + 3)
        assert torch.equal(images[5 * row], outputs["original"][3 * row])
        assert bool((images[5 * row + 1][..., 2:] == 0.5).all())
        assert torch.equal(images[5 * row + 1][..., :2], originals[row][..., :2])
        assert torch.equal(images[5 * row + 2 : 5 * row + 5], outputs["images"][rows])


@pytest.mark.parametrize(("completions", "count"), [(3, 66), (5, 100), (70, 140)])
def test_a_picture_has_only_whole_rows(completions: int, count: int) -> None:
    """Of 64 samples or a few less, or of one image with more completions than that."""
    shape = (3, 2, 2)
    outputs = {name: torch.zeros(count, *shape) for name in ("images", "original")}
    outputs |= {
        "known": torch.ones(count, *shape, dtype=torch.bool),
        "axes": torch.eye(3).expand(count, 3, 3),
    }
    picture = build_task("inpaint", completions=completions).preview(outputs)
    assert picture is not None
    rows = max(64 // completions, 1)
    assert (len(picture[0]), picture[1]) == (rows * (completions + 2), completions + 2)


@pytest.mark.parametrize("name", ["inpaint", "colorize"])
def test_refused_in_one_line(refused_task: RefusedTask, name: str) -> None:
    assert "leave out --solver rk45" in refused_task(name, "--solver", "rk45")
    assert "give --data" in refused_task(name, "--checkpoint", "cifar10-tiny")
    assert "is of 3x32x40 images, gaussian-cifar10 takes 3x32x32" in refused_task(name, "--data", "wide.npz")
    assert "few.npz holds 3 images, the run needs 4: --samples 12" in refused_task(name, "--data", "few.npz")
    assert "--batch-size must be a multiple of the 4" in refused_task(name, "--batch-size", "6")
    message = refused_task(name, "--metric", "known_eror")
    assert "unknown metric 'known_eror' (did you mean 'known_error'?" in message
    assert "has no parameter 'masks'" in refused_task(name, "-P", "task.masks=left")


def test_a_metric_needs_a_task_that_returns_its_inputs(refused_task: RefusedTask) -> None:
    message = refused_task("generate", "--metric", "known_error")
    assert "known_error reads original, which the task generate does not return" in message
