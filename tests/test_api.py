"""The Python API as a notebook calls it; the results folder of bench.toml holds for every call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench import BatchContext, BenchError, Noise, Prediction, Predictor, Step, Task, Tensor, Update, param
from bench.events import Event, RunDone
from tests.support.metrics import metric_context
from tests.support.plugins import installed
from tests.support.runs import exit_status, forbid_batches

QUICK: dict[str, Any] = {
    "checkpoint": "gaussian-cifar10",
    "steps": 30,
    "samples": 8,
    "batch_size": 4,
    "grid": "uniform",
    "device": "cpu",
    "registry": installed(),
}
RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--steps", "30", "--samples", "8"),
    *("--batch-size", "4", "--grid", "uniform", "--device", "cpu"),
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Halves(Predictor):
    """The probability flow by Euler's method, with a factor."""

    name = "halves"

    gain: float = param(default=0.5, help="a factor")

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        x = x - self.gain * step.dt * (step.drift * x - step.diffusion**2 * p.score(x, step))
        return Update(x, x)


def test_a_call_is_the_command_and_takes_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = bench.run(**QUICK, predictor="ancestral")
    forbid_batches(monkeypatch)
    assert exit_status(*RUN, "--predictor", "ancestral") == 0
    events: list[Event] = []
    (again,) = bench.run(**QUICK, predictor="ancestral", emit=events.append)
    assert again == record
    assert [event.cached for event in events if isinstance(event, RunDone)] == [True]
    assert record.identity.predictor is not None
    assert record.identity.predictor.name == "ancestral"


def test_selections_multiply_out_and_classes_stand_for_names() -> None:
    predictors = [Halves, Halves(gain=0.25), "ancestral"]
    with pytest.raises(BenchError, match="two objects are called halves"):
        bench.run(**QUICK, predictor=predictors)
    results = bench.run(**QUICK, predictor=predictors[1:], sde=["vp", "ve"])
    assert [record.status for record in results] == ["finished"] * 4
    assert {record.title for record in results if "halves" in record.title} == {
        f"gaussian-cifar10 · {sde} · halves (gain=0.25), 30 steps" for sde in ("vp", "ve")
    }
    assert results.images(0).shape == (8, 3, 32, 32)


def test_a_network_in_memory_is_a_checkpoint() -> None:
    class Network(torch.nn.Module):
        def forward(self, x: Tensor, label: Tensor) -> Tensor:
            return x * label.view(-1, 1, 1, 1).sigmoid()

    network = bench.network(
        Network(), predicts="noise", labels="999t", sde="vp", shape=(3, 32, 32), data_range=(-1, 1)
    )
    quick = {key: value for key, value in QUICK.items() if key != "checkpoint"}
    (record,) = bench.run(**quick, model=network, metric="fd_cifar10")
    assert (record.status, record.reason) == ("finished", "")
    assert record.cost is not None
    assert record.cost.nfe == 30


class Unbounded(Task):
    """Samples whose exact value is said to be infinite."""

    name = "unbounded"

    def exact(self, card: Any, sampler: Any) -> dict[str, float]:
        return {"fd_dct": float("inf")}

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        return {"images": batch.sample()}


def _strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


def test_no_record_holds_nan_or_infinity() -> None:
    results = bench.run(**QUICK, task=Unbounded)
    assert [record.status for record in results] == ["failed"]
    bench.run(**QUICK)
    paths = [*Path("results/records").iterdir(), *Path("results").glob("suites/*/*")]
    assert len(paths) == 2
    assert {_strict(path.read_text())["status"] for path in paths} == {"finished", "failed"}


def test_the_results_folder_of_bench_toml_holds_everywhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("bench.toml").write_text(
        '[defaults]\nout = "elsewhere"\n[suites.s]\nlayout = "list"\ncheckpoint = "gaussian-cifar10"\n'
        '[[suites.s.cells]]\nsde = "vp"\npredictor = "ancestral"\nsteps = [30, 40]\ncolumn = "{steps}"\n'
    )
    assert exit_status(*RUN) == 0
    assert exit_status("run", "--suite", "s", "--samples", "8", "--batch-size", "4", "--device", "cpu") == 0
    assert exit_status("table", "s", "--no-plots") == 0
    assert list(Path("elsewhere").glob("s/*/cells.csv"))
    assert "3 measured" in _output(capsys, "measure", "--metric", "fd_cifar10", "--device", "cpu")
    first, second = sorted(path.stem for path in Path("elsewhere/records").iterdir())[:2]
    assert exit_status("compare", first, second) == 0
    assert exit_status("compare", "s", "s") == 0
    fid = ("fid", first, "--metric", "fd", "--reference", second, "--device", "cpu")
    assert exit_status(*fid) == 0
    stats = ("stats", "build", second, "--extractor", "pixels", "-o", "stats.npz", "--device", "cpu")
    assert exit_status(*stats) == 0, capsys.readouterr().err
    (table,) = bench.table("s", metric="fd_dct")
    assert len(table.cells) == 2
    assert bench.compare(first, second).rows
    assert bench.run(**QUICK)[0].fingerprint in {path.stem for path in Path("elsewhere/records").iterdir()}
    assert not Path("results").exists()
    # a flag still wins
    assert exit_status("table", "s", "--out", "nowhere") == 2


def _output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert exit_status(*arguments) == 0
    return capsys.readouterr().out


def test_python_dash_m_bench_is_the_command() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "bench", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert process.stdout.startswith("bench, version ")
    process = subprocess.run(
        [sys.executable, "-m", "bench", "rnu"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (process.returncode, process.stderr.splitlines()[0][:29]) == (2, "bench: No such command 'rnu'.")


def test_images_in_memory_are_measured() -> None:
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    measurement = bench.measure(images, metric="fd_cifar10", registry=installed(), device="cpu")
    (result,) = measurement.metrics.values()
    assert result.record.n == 16
    assert measurement.device == metric_context().device.type


def test_a_class_is_checked() -> None:
    report = bench.check(Halves, registry=installed(), sdes=["vp"], gain=1.0)
    assert report.findings
