"""The distance from the probability flow: against the Gaussian's closed form, and who has none."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench
from bench import BenchError, RunSpec
from bench.checkpoints.exact import exact_data
from bench.closed_form.mixture import MixtureModel, on_range
from bench.diffusion.noise import noise_stream
from bench.plan.settings import Settings
from bench.results.store import Store
from tests.support.plans import plan, quick_spec
from tests.support.plugins import installed
from tests.support.runs import exit_status

SAMPLERS: dict[str, dict[str, Any]] = {
    "ddim": {"predictor": ["ddim"]},
    "heun": {"predictor": ["heun"]},
    "dpmpp_2m": {"predictor": ["dpmpp_2m"]},
    "unipc": {"predictor": ["unipc"]},
    "probability_flow": {"predictor": ["probability_flow"]},
    "without denoising": {"predictor": ["ddim"], "denoise": "none"},
    "rk45": {"solver": ["rk45"], "parameters": {"solver": {"tol": 1e-2}}},
    "rk45 at eps": {"solver": ["rk45"], "denoise": "none", "parameters": {"solver": {"tol": 1e-2}}},
}


def exact_images(spec: RunSpec) -> torch.Tensor:
    """What the flow makes of a run's prior noise, in closed form: on Gaussian data it moves each coefficient
    to the same number of deviations from the mean."""
    sde = spec.sampler.sde
    data, color = exact_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    data = on_range(data, sde.data_range, color)
    model = MixtureModel(data, "cpu", torch.float64, color=color, range_=sde.data_range)
    mean, variance = data.mean[0], data.variance[0]

    def marginal(t: float) -> tuple[Any, Any]:
        level = sde.at(t)
        return level.alpha * mean, level.alpha**2 * variance + level.sigma**2

    results = []
    for index, size in spec.batches():
        z = noise_stream(spec.seed, index, "prior", "cpu")(torch.empty(size, *model.shape)).double().numpy()
        (m_t, v_t), (m, v) = marginal(sde.end), marginal(sde.eps)
        x = m + np.sqrt(v / v_t) * (sde.prior_std * z - m_t)
        if spec.sampler.solver is None or spec.sampler.denoise != "none":
            # E[x0 | x] of a Gaussian
            x = mean + sde.at(sde.eps).alpha * variance / v * (x - m)
        results.append(model.images(torch.from_numpy(x)))
    return torch.cat(results)


@pytest.mark.parametrize("sde", ["vp", "ve", "subvp"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_on_gaussian_data_it_is_the_distance_in_closed_form(tmp_path: Path, sampler: str, sde: str) -> None:
    """Within the floor: the fine solution is nearer to the exact one than to that of ten times its tolerance
    (triangle inequality)."""
    settings: dict[str, Any] = {
        "sde": sde,
        "steps": 12,
        "grid": "polynomial",
        "samples": 8,
        "batch_size": 4,
    } | SAMPLERS[sampler]
    if "solver" in settings:
        del settings["steps"], settings["grid"]
    results = bench.run(
        checkpoint="gaussian-cifar10", metric="flow_error", device="cpu", out=tmp_path, **settings
    )
    (record,) = results.records
    (spec,) = plan(
        Settings.model_validate(
            {"checkpoint": ["gaussian-cifar10"], "metric": ["flow_error"], "device": "cpu"}
            | settings
            | {"sde": [sde]}
        )
    )
    assert spec.fingerprint == record.fingerprint
    store = Store(tmp_path)
    batches = [store.read_batch(spec.key, *batch) for batch in spec.batches()]
    images = torch.cat([batch[0]["images"] for batch in batches if batch is not None]).double()
    exact = (images - exact_images(spec)).flatten(1).square().mean(dim=1).sqrt()
    value = record.metrics["flow_error"]
    floor = value.floor
    assert floor is not None
    assert 0 < floor < 2e-3
    assert value.value == pytest.approx(float(exact.mean()), abs=floor)
    assert value.error == pytest.approx(float(exact.std()) / math.sqrt(8), abs=floor)
    assert value.value > 3 * floor  # the test sees the sampler's own error


def test_companions_of_a_run_differ_in_the_sampler_alone() -> None:
    spec = quick_spec(predictor=["ddim"], metric=["flow_error"], precision="bf16", seed=3)
    assert [(one.metric, one.name) for one in spec.companions] == [
        ("flow_error", "fine"),
        ("flow_error", "coarse"),
    ]
    for one, tol in zip(spec.companions, (1e-6, 1e-5), strict=True):
        companion = one.spec
        assert companion.sampler.solver is not None
        assert companion.sampler.solver.values() == {"tol": tol}
        assert companion.sampler.denoise == "tweedie"
        assert companion.precision == "fp32"
        changed: dict[str, object] = {
            "predictor": None,
            "solver": None,
            "steps": None,
            "grid": None,
            "order": None,
        }
        changed |= {"denoise": "", "precision": "fp32"}
        same = dict.fromkeys(("corrector", "rho", "label_scales"))
        assert companion.identity.model_copy(update=changed | same) == spec.identity.model_copy(
            update=changed | same
        )
        assert list(companion.batches()) == list(spec.batches())
        assert companion.metrics == ()


def test_metrics_do_not_change_a_fingerprint() -> None:
    plain, measured = quick_spec(predictor=["ddim"]), quick_spec(predictor=["ddim"], metric=["flow_error"])
    assert plain.fingerprint == measured.fingerprint


def test_a_sampler_that_draws_noise_has_none() -> None:
    with pytest.raises(
        BenchError, match=r"flow_error measures deterministic samplers: ancestral draws noise"
    ):
        quick_spec(predictor=["ancestral"], metric=["flow_error"])
    with pytest.raises(BenchError, match=r"deterministic samplers: ddim \+ langevin draws noise"):
        quick_spec(predictor=["ddim"], corrector=["langevin"], metric=["flow_error"])


def test_a_predictors_end_is_clean_data_whatever_the_denoising(tmp_path: Path) -> None:
    """Samples of a deterministic predictor are the same bits with denoising and without."""
    values = []
    for denoise in ("mean", "none"):
        (record,) = bench.run(
            checkpoint="gaussian-cifar10",
            predictor="ddim",
            steps=12,
            grid="polynomial",
            denoise=denoise,
            samples=4,
            metric="flow_error",
            device="cpu",
            out=tmp_path,
        ).records
        values.append(record.metrics["flow_error"].value)
    assert values[0] == values[1]


def test_the_truth_itself_is_refused() -> None:
    for tol in (1e-6, 1e-5):
        with pytest.raises(BenchError, match=r"this run is no coarser: choose a smaller -P metric\.tol"):
            quick_spec(solver=["rk45"], parameters={"solver": {"tol": tol}}, metric=["flow_error"])
    quick_spec(solver=["rk45"], parameters={"solver": {"tol": 1e-4}}, metric=["flow_error"])
    quick_spec(solver=["scipy_rk45"], parameters={"solver": {"tol": 1e-6}}, metric=["flow_error"])


def test_images_alone_have_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert exit_status("fid", str(tmp_path / "absent"), "--metric", "flow_error") == 2
    assert "flow_error compares with runs from the same prior noise" in capsys.readouterr().err


def test_a_solver_that_is_no_flow_solver_is_refused() -> None:
    with pytest.raises(
        BenchError, match=r"flow_error.* by a solver of the probability flow, which sde_torchsde is not"
    ):
        quick_spec(
            predictor=["ddim"],
            metric=["flow_error"],
            parameters={"metric": {"solver": "sde_torchsde"}},
        )


def test_leave_one_out_is_the_value_without_a_batch() -> None:
    metric = installed().build("metrics", "flow_error", {})
    generator = torch.Generator().manual_seed(0)
    batches = [[torch.rand(3, 1, 2, 2, generator=generator) for _ in range(3)] for _ in range(4)]

    def state_of(parts: list[list[torch.Tensor]]) -> Any:
        state = metric.start(None)
        for part in parts:
            state.update(*part)
        return state

    whole = state_of(batches)
    without = [state_of(batches[:i] + batches[i + 1 :]).compute().value for i in range(4)]
    assert whole.leave_one_out() == pytest.approx(without, rel=1e-12)
    expected = np.mean(
        [math.sqrt(float(((a - b) ** 2).mean())) for x, y, _ in batches for a, b in zip(x, y, strict=True)]
    )
    assert whole.compute().value == pytest.approx(float(expected), rel=1e-6)


def test_values_of_other_tolerances_do_not_compare() -> None:
    one = quick_spec(predictor=["ddim"], metric=["flow_error"])
    other = quick_spec(predictor=["ddim"], metric=["flow_error"], parameters={"metric": {"tol": 1e-4}})
    assert one.metrics[0].label != other.metrics[0].label
    assert dataclasses.replace(one, metrics=(), companions=()) == dataclasses.replace(
        other, metrics=(), companions=()
    )
