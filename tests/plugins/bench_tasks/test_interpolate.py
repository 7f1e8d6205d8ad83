"""The task interpolate: the arc between latents, and what it decodes to."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from bench.testing.laws import SHAPE
from bench_tasks.interpolate import on_arc
from tests.support.flows import (
    build_task,
    draws,
    flow_batch,
    flow_sde,
    marginal_variances,
    normal_latents,
    pushed,
    solver_error,
    thin_model,
)
from tests.support.task_runs import GAUSSIAN_RUN, RunTask


def test_arc() -> None:
    """Ends to the bit, the same length everywhere, equal angles; and the arc from a point to itself."""
    a, b = normal_latents(0, 5).double(), normal_latents(1, 5).double()
    a, b = (z / z.flatten(1).norm(dim=1)[:, None, None, None] for z in (a, b))
    assert torch.equal(on_arc(a, b, 0.0), a)
    assert torch.equal(on_arc(a, b, 1.0), b)
    way = [on_arc(a, b, w).flatten(1) for w in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for z in way:
        torch.testing.assert_close(z.norm(dim=1), torch.ones(5, dtype=torch.float64))
    steps = torch.stack([(one * two).sum(1) for one, two in itertools.pairwise(way)])
    torch.testing.assert_close(steps, steps[:1].expand(4, -1))
    torch.testing.assert_close(on_arc(a, a, 0.3), a)


def test_interpolation_of_a_gaussian() -> None:
    """Ends are the decoded images, and the temperature scales latents, as the Gaussian's flow shows
    exactly. The arc's angle has the latents' own error, magnified as the flow stretches narrow ones."""
    sde, points, tol = flow_sde("vp"), 4, 1e-6
    model = thin_model(sde)
    x = draws(model, 3)
    batch = flow_batch(sde, model, x.repeat_interleave(points, 0), tol)
    with torch.no_grad():
        images = build_task("interpolate", points=points).run(batch)["images"].view(3, points, *SHAPE)
        encoded = build_task("encode").run(flow_batch(sde, model, x, tol))
        cooler = build_task("interpolate", points=points, temperature=0.5).run(batch)["images"]
    for end, expected in ((images[:, 0], encoded["images"]), (images[:, -1], encoded["images"].roll(-1, 0))):
        assert solver_error(model.states(end), model.states(expected)) < 20 * tol
    mean, v_low, v_high = marginal_variances(sde)
    low, high = sde.at(sde.eps), sde.at(sde.end)
    z = torch.from_numpy(pushed(sde, x.numpy()))
    middle = 0.5 * on_arc(z, z.roll(-1, 0), 1 / 3).numpy()
    truth = low.alpha * mean + np.sqrt(v_low / v_high) * (middle - high.alpha * mean)
    cooled = model.states(cooler).view(3, points, *SHAPE)[:, 1]
    assert solver_error(cooled, torch.from_numpy(truth)) < math.sqrt((v_high / v_low).max()) * tol


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*GAUSSIAN_RUN, "--samples", "12"), "multiples of 16 for --samples and --batch-size"),
        (
            (*GAUSSIAN_RUN, "--samples", "24", "--batch-size", "16"),
            "multiples of 16 for --samples and --batch-size",
        ),
        ((*GAUSSIAN_RUN, "--samples", "8"), "two or more rows of 8 in each batch"),
        ((*GAUSSIAN_RUN, "-P", "task.points=1"), "interpolate.points must be >= 2"),
        (
            (*GAUSSIAN_RUN, "--data", "images.npz", "--samples", "48"),
            "holds 4 images, the run needs 6: --samples 32",
        ),
    ],
)
def test_refused_in_one_line(run_task: RunTask, arguments: tuple[str, ...], message: str) -> None:
    assert message in run_task("interpolate", *arguments, status=2)
