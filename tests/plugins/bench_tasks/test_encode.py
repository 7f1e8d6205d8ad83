"""The task encode: round trips, and latents where the Gaussian's flow has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.analytic import RECORDED
from tests.support.flows import (
    build_task,
    draws,
    flow_batch,
    flow_sde,
    marginal_variances,
    pushed,
    solver_error,
    thin_model,
)
from tests.support.task_runs import GAUSSIAN_RUN, RunTask, records


@pytest.mark.parametrize("tol", [1e-4, 1e-5])
@pytest.mark.parametrize("name", RECORDED)
def test_round_trip(name: str, tol: float) -> None:
    """Within twenty tolerances, with the latents where the Gaussian's flow has them. An error in the state
    of a narrow coefficient grows with the coefficient, which the flow stretches to unit variance."""
    sde = flow_sde(name)
    model = thin_model(sde)
    x = draws(model, 16)
    with torch.no_grad():
        outputs = build_task("encode").run(batch := flow_batch(sde, model, x, tol))
    assert solver_error(model.states(outputs["images"]), x) < 20 * tol
    change = (outputs["images"] - model.images(x)).flatten(1)
    torch.testing.assert_close(outputs["round_trip"], (change**2).mean(1).sqrt())
    _, v_low, v_high = marginal_variances(sde)
    stretch = np.maximum(np.sqrt(v_high / v_low), 1) / sde.prior_std
    truth = torch.from_numpy(pushed(sde, x.numpy())) / sde.prior_std
    assert solver_error(outputs["latents"], truth, torch.from_numpy(np.maximum(stretch, 1))) < 20 * tol
    assert batch.prediction.calls > 50


def test_runs_on_draws_and_on_samples_of_a_run(run_task: RunTask) -> None:
    run_task("encode", *GAUSSIAN_RUN, "--samples", "4")
    encoded = records()["encode"]
    assert set(encoded["metrics"]) == {"round_trip", "latent_fd"}
    assert encoded["metrics"]["round_trip"]["value"] < 0.2
    arguments = ("--samples", "6", "-P", "task.points=3", "--data", encoded["fingerprint"])
    run_task("interpolate", *GAUSSIAN_RUN, *arguments)
    interpolated = records()["interpolate"]
    assert interpolated["identity"]["data"]["kind"] == "run"
    with Image.open(interpolated["preview"]) as picture:
        assert picture.size == (3 * 66 + 2, 2 * 66 + 2)  # 32 pixels enlarged twice, 2 between them


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "cifar10-tiny"), "the task encode works on images: give --data"),
        ((*GAUSSIAN_RUN, "--data", "other.npz", "--samples", "4"), "is of 3x16x16 images"),
        ((*GAUSSIAN_RUN, "--data", "images.npz", "--samples", "5"), "holds 4 images, the run needs 5"),
        (
            ("--checkpoint", "gaussian-cifar10", "--predictor", "ancestral"),
            "encode follows the probability flow: give --solver rk45, not ancestral",
        ),
    ],
)
def test_refused_in_one_line(run_task: RunTask, arguments: tuple[str, ...], message: str) -> None:
    assert message in run_task("encode", *arguments, status=2)
