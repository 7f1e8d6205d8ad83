"""The benchmarks that take minutes, or a GPU, run at all: on tiny networks, uncompiled, on the CPU."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import Prediction, Sampler
from bench.checkpoints.networks.unet import UNet, UNetConfig
from tests.benchmarks import (
    against,
    fid,
    fitted,
    formats,
    gpu,
    labels,
    networks,
    replacement,
    schedulers,
    simulation,
    startup,
)
from tests.support.analytic import grid_of
from tests.support.completions import SDES
from tests.support.pages import page_says
from tests.support.paths import ROOT
from tests.support.plugins import installed

TINY = UNetConfig(size=8, width=32, multipliers=(1,), blocks=1, attention=())
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(call: Callable[..., Any], *, dynamic: bool, mode: str | None = None) -> Callable[..., Any]:
        assert not dynamic
        assert mode in (None, "reduce-overhead")
        return call

    monkeypatch.setattr(torch, "compile", same)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_networks_on_the_cpu(tmp_path: Path) -> None:
    networks.on_cpu(tmp_path, TINY, batch=2, rounds=1, size=64)
    table = rows(tmp_path / "networks-cpu.csv")
    assert [row["variant"] for row in table] == [variant.name for variant in networks.ON_CPU]
    assert all(float(row["evaluations_per_s"]) > 0 for row in table)
    assert table[0]["ratio"] == "1.00"
    assert (tmp_path / "networks-cpu.png").stat().st_size > 0


def test_networks_as_on_a_gpu(tmp_path: Path) -> None:
    tiny = {"tiny": TINY}
    networks.on_gpu(tmp_path, tiny, batches=(1, 2), steps=1, rounds=1, size=16, device=CPU)
    table = rows(tmp_path / "networks-gpu.csv")
    measured_variants = [(row["batch"], row["variant"]) for row in table]
    assert measured_variants == [(batch, variant.name) for batch in "12" for variant in networks.ON_GPU]
    assert all(float(row["tflop_per_s"]) > 0 and float(row["matrix_tflop_per_s"]) > 0 for row in table)


@pytest.mark.parametrize("variant", networks.ON_CPU[:2], ids=lambda variant: variant.name)
def test_memory_formats(variant: networks.Variant) -> None:
    """NCHW stays NCHW inside, and channels-last channels-last."""
    seen: list[torch.Tensor] = []

    def look(module: torch.nn.Module, _: Any, y: torch.Tensor) -> None:
        if isinstance(module, torch.nn.Conv2d):
            seen.append(y)

    model = networks.load(TINY, variant, CPU)
    with torch.nn.modules.module.register_module_forward_hook(look):
        networks.once(model, variant, torch.empty(2, 3, 8, 8), 1)
    assert seen
    assert all(y.is_contiguous() != variant.channels_last for y in seen)


def test_formats(tmp_path: Path) -> None:
    formats.write(tmp_path, {"narrow": lambda: UNet(TINY)}, size=8, batches=(2,), rounds=1)
    table = rows(tmp_path / "formats.csv")
    assert [row["variant"] for row in table] == [variant.name for variant in formats.VARIANTS]
    assert table[0]["time"] == "1.00"
    assert all(float(row["error"]) > 0 and float(row["time"]) > 0 for row in table)


def test_counted_work() -> None:
    """Of a network without blocks to speak of: its convolutions by hand are nearly all there is."""
    with torch.device("meta"):
        layers = [m for m in UNet(TINY).modules() if isinstance(m, torch.nn.Conv2d)]
    by_hand = sum(2 * layer.weight.numel() * 8 * 8 for layer in layers)
    assert by_hand <= networks.flops(TINY, CPU) < 1.1 * by_hand


def test_distances(tmp_path: Path) -> None:
    """The value is clean-fid's, whatever the rank."""
    fid.distances(tmp_path, width=64)
    table = rows(tmp_path / "fid-distance.csv")
    assert [row["covariances"] for row in table] == list(fid.CASES)
    assert all(float(row["relative_difference"]) < 1e-6 for row in table)
    assert all(float(row["ratio"]) > 0 for row in table)


def test_replacement(tmp_path: Path) -> None:
    replacement.write(tmp_path, side=4, moves=(0, 2), steps=(10,))
    table = rows(tmp_path / "replacement.csv")
    assert [(row["task"], row["sde"]) for row in table] == [
        (name, sde) for name in replacement.TASKS for sde in SDES
    ]
    assert all(float(row["2 moves"]) < float(row["0 moves"]) for row in table)


def test_labels(tmp_path: Path) -> None:
    """The picture of one cell; tests/engine/test_table1_exact.py checks every committed value."""
    law, predictor, column, settings = labels.cells()[-1]
    values = [f"{labels.value(law, predictor, settings | {'steps': 30}, 'exact_score'):.6g}"] * 3
    header = ["sde", "predictor", "column", *labels.COLUMNS]
    labels.draw(tmp_path / "labels.png", [header, [law, predictor, column, *values]])
    assert (tmp_path / "labels.png").stat().st_size > 0


COMMITTED = (
    ("diffusers", "DDIM", "timestep_spacing=linspace", "state"),
    ("diffusers", "DDIM", "timestep_spacing=linspace", "timestep"),
    ("diffusers", "DPMSolverMultistep", "", "state"),
    ("diffusers", "DEISMultistep", "", "state"),
    ("diffusers", "EDMEuler", "", "state"),
    ("diffusers", "FlowMatchHeunDiscrete", "", "state"),
    ("diffusers", "EulerAncestralDiscrete", "", "state"),
    ("diffusers", "LTXEulerAncestralRF", "", "state"),
    ("diffusers", "MiniMaxH3", "", "state"),
)


def test_schedulers_are_as_committed(tmp_path: Path) -> None:
    """What is told in whole numbers and words is the same, and errors are up to rounding.

    Errors are sums over thousands of operations, of the state's precision: of the table's three digits the
    last may differ, and more where float32 alone is left of an error.
    """
    table = {
        tuple(row[key] for key in ("library", "sampler", "config", "levels")): row
        for row in rows(ROOT / "results" / "reference" / "schedulers.csv")
    }
    chosen = [
        (f"{library}:{sampler}Scheduler", {"config": config, "levels": levels})
        for library, sampler, config, levels in COMMITTED
    ]
    schedulers.write(tmp_path, chosen)
    for place, row in zip(COMMITTED, rows(tmp_path / "schedulers.csv"), strict=True):
        committed = table[place]
        assert list(row) == list(committed) == schedulers.COLUMNS
        for column, text in row.items():
            if column.startswith(("float64", "float32")):
                loose = 0.1 if column.startswith("float32") or row["deterministic"] == "no" else 0.01
                assert float(text) == pytest.approx(float(committed[column]), rel=loose), (place, column)
            elif column in ("first_level", "last_level", "level_off", "measured_order"):
                close = pytest.approx(float(committed[column] or 0), rel=0.01, abs=0.01)
                assert float(text or 0) == close, (place, column)
            elif column != "noise_left":
                assert text == committed[column], (place, column)
    assert (tmp_path / "schedulers.png").stat().st_size > 0


def test_the_data_error_of_exact_draws() -> None:
    """The page's figures: 400 sets have their mean to 1 % and the first and last percent to 10 %."""
    truth, random, errors = schedulers._data(2048), np.random.default_rng(1), []
    for _ in range(400):
        means = np.array(schedulers.MEANS)[(random.random(2048) > schedulers.WEIGHTS[0]).astype(int)]
        draws = np.sort(means + schedulers.DEVIATION * random.normal(size=2048))
        errors.append(np.abs(draws - truth).mean() / schedulers._spread())
    low, high = np.percentile(errors, [1, 99])
    assert (np.mean(errors), low, high) == pytest.approx((0.022, 0.008, 0.055), rel=0.12)
    claim = "error of 0.022 on average, 98 of 100 of them one between 0.008 and 0.055"
    assert page_says("docs/schedulers.md", claim)


def test_the_flow_keeps_ranks() -> None:
    """The truth of schedulers.csv against a fine Euler solution of dx/dt on the SDE, of 4000 steps."""
    start, truth = schedulers._flow_truth(16)
    law = schedulers._sde()
    p = Prediction(schedulers._model(torch.float64), law)
    ddim, grid = installed().build("predictors", "ddim", {}), grid_of("polynomial")
    sampler = Sampler(law, predictor=ddim, steps=4000, grid=grid)
    with torch.no_grad():
        fine = sampler.run(start, p, torch.randn_like, torch.randn_like)
    # first order: of 20 steps it is 0.1 off
    assert float((fine - truth).abs().max()) < 1e-2


def test_the_engine_keeps_64_workers_busy(tmp_path: Path) -> None:
    """A fifth of the committed simulation: within 3 % of the work over the workers, in flat memory."""
    log = simulation.simulate(tmp_path, seeds=1)
    assert log.marks[-1].batches == 20_000
    assert log.bound <= log.span < 1.03 * log.bound
    assert log.marks[-1].memory - log.marks[0].memory < 4 << 20


def test_startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = {"import torch": ("import torch", ""), "nothing": ("pass", "")}
    monkeypatch.setattr(startup, "COMMANDS", commands)
    startup.write(tmp_path, rounds=1)
    table = rows(tmp_path / "startup.csv")
    assert [row["command"] for row in table] == list(commands)
    assert float(table[1]["cpu_s_beyond_torch"]) < 0


def test_against_an_older_build(tmp_path: Path) -> None:
    build = against.Build("new", against.HERE)
    against.write(tmp_path, "memory", against.memory(build, build, counts=(2,)))
    (row,) = rows(tmp_path / "against-memory.csv")
    assert row["batches"] == "2"
    assert float(row["peak_mib"]) > 0


def test_gpu_without_its_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "run_suite", lambda *_, **__: 0)
    gpu.main([str(tmp_path), "--tiny"])
    assert [row["batch"] for row in rows(tmp_path / "gpu-steps.csv")] == ["1", "2"]
    table = rows(tmp_path / "networks-gpu-tiny-2.csv")
    assert [row["variant"] for row in table] == [
        one.name for one in networks.ON_GPU if not (one.compile or one.graphs)
    ]


def test_fitted_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a checkpoint in the plane, in seconds."""
    monkeypatch.setattr(fitted, "CALLS", (5,))
    monkeypatch.setattr(fitted, "PREDICTORS", ("ddim",))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    fitted.fitted_rows(tmp_path, "eight-gaussians", samples=8, fit_samples=8, tol=1e-3, out=tmp_path / "runs")
    table = rows(tmp_path / "fitted.csv")
    assert [row["grid"] for row in table] == [*fitted.UNFITTED, fitted.SHORT, *fitted.FITTED]
    assert all(float(row["flow_error"]) > 0 for row in table)
    assert [bool(row["fit_nfe"]) for row in table] == [False] * 4 + [True] * 3
