"""``bench export``: a real run's samples, exported and measured again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench as api
from bench.cli import main
from bench.plan.sources import open_images
from tests.support.images import back, recorded
from tests.support.runs import exit_status, records_in

Call = Callable[..., str]
RUN = ("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--grid", "polynomial", "--steps", "3")
FEATURES = ("--metric", "fd_cifar10")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in an empty folder; its stdout, or of a mistake its one line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str, status: int = 0) -> str:
        capsys.readouterr()
        assert exit_status(*arguments) == status
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        lines = [line for line in err.splitlines() if line.startswith("bench: ")]
        assert len(lines) == (status != 0), err
        return lines[0] if status else out

    return run


def value(call: Call, name: str, metric: tuple[str, ...] = FEATURES) -> float:
    """The value by ``bench fid``."""
    content: dict[str, Any] = json.loads(call("fid", name, *metric, "--device", "cpu", "--json"))
    (reading,) = content["metrics"].values()
    return float(reading["value"])


@pytest.mark.parametrize("rounding", ["round", "truncate"])
def test_an_export_has_the_value_of_the_run(call: Call, rounding: str) -> None:
    """In one batch to the last bit; in several, whose sizes an export forgets, up to float32's rounding."""
    label = "fd_cifar10" if rounding == "round" else "fd_cifar10-truncate"
    for samples, batch, tolerance in ((20, 20, 0.0), (20, 8, 1e-6)):
        size = ("--samples", f"{samples}", "--batch-size", f"{batch}", "--out", f"of-{batch}")
        call(*RUN, *size, *FEATURES, "-P", f"metric.rounding={rounding}")
        (record,) = records_in(f"of-{batch}")
        for target in (f"them-{batch}", f"them-{batch}.npz"):
            out = call("export", f"of-{batch}", "-o", target, "--rounding", rounding)
            assert out == f"{target}: 20 images of 3x32x32, of run {record.fingerprint}\n"
            expected = record.metrics[label].value
            assert value(call, target) == pytest.approx(expected, rel=tolerance, abs=0)
    assert sorted(path.name for path in Path.cwd().iterdir() if path.name.startswith("."))[:1] == []


def test_seeds_of_a_cell(call: Call) -> None:
    """Each in a folder of its own; a results folder of several runs says which there are."""
    call(*RUN, "--samples", "4", "--metric", "fd_dct", "--repeats", "2")
    records = records_in()
    one, two = (record.fingerprint for record in records)
    line = call("export", "results", "-o", "them", status=2)
    assert "results holds 2 runs, give the record of one" in line
    out = call("export", one[:8], f"results/records/{two}.json", one, "-o", "them")
    assert out.splitlines() == [f"them/{name}: 4 images of 3x32x32, of run {name}" for name in (one, two)]
    for record in records:
        images = open_images(record.fingerprint)
        assert np.array_equal(back(open_images(f"them/{record.fingerprint}")), back(images))
    assert "them.npz would hold 2 runs: export one at a time" in call(
        "export", one, two, "-o", "them.npz", status=2
    )
    again = call("export", one, two, "-o", "them", status=2)
    assert again.endswith("them exists: choose another -o, or replace it by --overwrite")
    call("export", one, "-o", "them", "--overwrite")
    assert sorted(path.name for path in Path("them").iterdir()) == [f"{i:05d}.png" for i in range(4)]


@pytest.mark.usefixtures("call")
def test_the_python_api() -> None:
    size: dict[str, Any] = {"steps": 3, "samples": 4, "repeats": 2}
    results = api.run(checkpoint="gaussian-cifar10", metric="fd_dct", device="cpu", out="mine", **size)
    exports = api.export(results, "them")
    assert [one.fingerprint for one in exports] == [record.fingerprint for record in results]
    (export,) = api.export(results[1].fingerprint, "one.npz", rounding="truncate", out="mine")
    assert (export.path, export.n, export.rounding) == (Path("one.npz"), 4, "truncate")
    floats = results.images(1).clamp(0, 1).mul(255).to(torch.uint8)  # as NumPy's astype: the integer below
    with np.load("one.npz") as archive:
        assert np.array_equal(archive["arr_0"], floats.permute(0, 2, 3, 1).numpy())
    with pytest.raises(api.BenchError, match="unknown rounding 'up'"):
        api.export(results, "x", rounding="up")  # type: ignore[arg-type]
    with pytest.raises(api.BenchError, match="there is no run to export"):
        api.export([], "x")


def test_what_can_not_be_exported(call: Call) -> None:
    size = ("--samples", "4", "--out", "bits")
    call("run", "--checkpoint", "gaussian-cifar10", "--task", "likelihood", "--device", "cpu", *size)
    (record,) = records_in("bits")
    line = call("export", "bits", "-o", "them", status=2)
    assert f"run {record.fingerprint} has no images: its task likelihood returns " in line
    call(*RUN, "--samples", "4", "--metric", "fd_dct", "--prune")
    (record,) = records_in()
    line = call("export", record.fingerprint, "-o", "them", status=2)
    assert f"the samples of run {record.fingerprint} are not in results" in line
    recorded(Path("two"), [torch.rand(4, 2, 8, 8)])
    line = call("export", "two", "-o", "them", status=2)
    assert "are 2x8x8 images: an export holds images of 1 or 3 channels, or points" in line
    assert "'nothing' is no run" in call("export", "nothing", "-o", "them", status=2)
    with pytest.raises(SystemExit):
        main(["export", "results"])  # -o is missing
    assert not Path("them").exists()


def test_stopped_is_130(tmp_path: Path) -> None:
    """A real Ctrl-C in the middle of a long export."""
    recorded(tmp_path / "results", [torch.rand(50, 3, 64, 64)] * 40)
    # a line of progress at once, as the sign that it is at work
    code = "import bench.reporting.progress as p; p.SOON = 0; from bench.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "export", "results", "-o", "them"],
        cwd=tmp_path,
        env=os.environ | {"BENCH_CACHE": str(tmp_path / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "exporting results: " in process.stderr.readline()
    assert not (tmp_path / "them").exists()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "bench: stopped; nothing was exported: the same command begins again"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
