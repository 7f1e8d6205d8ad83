"""The task identifiability: the latents of the same images under two checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.closed_form.mixture import Mixture, MixtureModel
from bench.diffusion.counting import counted_evaluations
from bench_tasks.flow import encode
from tests.support.flows import build_task, draws, flow_batch, flow_sde, pushed, thin_model
from tests.support.plugins import installed
from tests.support.task_runs import GAUSSIAN_RUN, TINY_RUN, RunTask, records


def test_identifiability_of_two_gaussians() -> None:
    """Their latents are linear in the image, ``(x - alpha m) / sqrt(v_eps)`` up to the prior's own
    moments."""
    sde = flow_sde("vp")
    model = thin_model(sde)
    data = model.data
    wider = Mixture(data.weight, data.mean + 0.1, 4 * data.variance)
    other = MixtureModel(wider, "cpu", torch.float64, color=None, range_=sde.data_range)
    x = draws(model, 8)
    loads: list[str] = []

    def load(name: str) -> MixtureModel:
        loads.append(name)
        return other

    batch = flow_batch(sde, model, x, 1e-8, load=load)
    comparison = build_task("identifiability", other="gmm-cifar10")
    with torch.no_grad():
        comparison.warm(flow_batch(sde, model, x, load=load))
        assert loads == ["gmm-cifar10"]
        with counted_evaluations() as both:
            outputs = comparison.run(batch)
    np.testing.assert_allclose(outputs["latents"].numpy(), pushed(sde, x.numpy()), atol=1e-4)
    low, high = sde.at(sde.eps), sde.at(sde.end)
    v_low, v_high = (level.alpha**2 * wider.variance + level.sigma**2 for level in (low, high))
    truth = high.alpha * wider.mean + np.sqrt(v_high / v_low) * (x.numpy() - low.alpha * wider.mean)
    np.testing.assert_allclose(outputs["other_latents"].numpy(), truth, atol=1e-4)
    alone = flow_batch(sde, model, x, 1e-8)
    with torch.no_grad(), counted_evaluations() as one:
        encode(x, alone)
    assert both.count > one.count + 50 * len(x)


def test_a_network_against_the_gaussian(run_task: RunTask) -> None:
    tiny = (*TINY_RUN, "--sde", "vp", "--tol", "0.1", "--precision", "bf16")
    run_task("identifiability", *tiny, "--samples", "4", "--data", "images.npz")
    record = records()["identifiability"]
    assert set(record["metrics"]) == {"latent_correlation", "latent_difference"}
    assert record["metrics"]["latent_difference"]["details"]["shuffled"] > 0
    sha256 = installed().get("checkpoints", "gaussian-cifar10").thing.digest()
    assert record["identity"]["task"]["provenance"]["gaussian-cifar10"]["sha256"] == sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (GAUSSIAN_RUN, "gaussian-cifar10 would be compared with itself: give another -P task.other"),
        (
            (*GAUSSIAN_RUN, "-P", "task.other=gmm-cifar10", "--samples", "2"),
            "latent_correlation needs 3 images or more: --samples 3 or more, not 2",
        ),
        ((*GAUSSIAN_RUN, "-P", "task.other=gmm-cifar"), "unknown checkpoint 'gmm-cifar'"),
    ],
)
def test_refused_in_one_line(run_task: RunTask, arguments: tuple[str, ...], message: str) -> None:
    assert message in run_task("identifiability", *arguments, status=2)
