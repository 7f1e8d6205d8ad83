"""``bench run --dry-run``: what would run, what is stale and why, how long it takes; nothing is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bench.results.identity import with_checksum
from tests.support.runs import exit_status

RUN = (
    "run",
    "--profile",
    "exact",
    "--checkpoint",
    "gaussian-cifar10",
    "--device",
    "cpu",
    "--batch-size",
    "8",
)
SMALL = ("--steps", "30", "--samples", "16")
Bench = Callable[..., str]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs ``bench run`` in an empty folder; its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str) -> str:
        status = exit_status(*RUN, *arguments)
        out, err = capsys.readouterr()
        assert (status, err) == (0, ""), out + err
        return out

    return call


@pytest.fixture
def dry(bench: Bench) -> Bench:
    """A dry run, which must touch nothing."""

    def call(*arguments: str) -> str:
        before = {p: (p.stat().st_mtime_ns, p.is_dir() or p.read_bytes()) for p in Path().rglob("*")}
        out = bench(*arguments, "--dry-run")
        assert {p: (p.stat().st_mtime_ns, p.is_dir() or p.read_bytes()) for p in Path().rglob("*")} == before
        assert out.splitlines()[-1].endswith("nothing was run")
        return out

    return call


def record() -> tuple[Path, dict[str, Any]]:
    """The only record and its file."""
    (path,) = Path("results/records").iterdir()
    return path, json.loads(path.read_text())


def edit(**changes: Any) -> dict[str, Any]:
    """Change what is written in the only record."""
    path, content = record()
    content |= changes
    path.write_bytes(with_checksum(content))
    return content


def runs(out: str) -> list[str]:
    """The lines of runs."""
    return [line for line in out.splitlines() if " batches on disk · " in line]


def test_states_of_runs(dry: Bench, bench: Bench) -> None:
    out = dry(*SMALL)
    (line,) = runs(out)
    assert line.startswith(
        "  to run    gaussian-cifar10 · vp · reverse_diffusion, 30 steps · seed 0 · 16 samples"
    )
    assert "· NFE 30 · 0 of 2 batches on disk ·" in line
    assert "to run: 480 network evaluations" in out
    assert "earlier records" not in out
    assert not Path("results").exists()

    bench(*SMALL)
    fingerprint = record()[1]["fingerprint"]
    assert line.endswith(f"· {fingerprint}")
    (line,) = runs(dry(*SMALL))
    assert line.startswith("  finished  ")
    assert "2 of 2 batches on disk" in line
    assert "to run: 0 network evaluations" in dry(*SMALL)
    assert "to run: 480 network evaluations" in dry(*SMALL, "--rerun", "all")

    (line,) = runs(dry(*SMALL, "--metric", "fd_cifar10"))
    assert line.startswith("  measure   ")
    assert "to run: 0 network evaluations" in dry(*SMALL, "--metric", "fd_cifar10")
    next(Path("results/samples").glob("*/*")).unlink()
    assert "to run: 0 network evaluations" in dry(*SMALL)
    assert f"to run: {8 * 30} network evaluations" in dry(*SMALL, "--metric", "fd_cifar10")

    edit(status="failed", reason="")
    (line,) = runs(dry(*SMALL))
    assert line.startswith("  failed    ")
    assert f"to run: {8 * 30} network evaluations" in dry(*SMALL)
    assert "to run: 0 network evaluations" in dry(*SMALL, "--rerun", "missing")


def test_the_decided_precision_is_printed(dry: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.devices.multiplies_bf16", lambda _: True)
    auto = ("--precision", "auto")
    assert "on cpu in fp32 (auto)\n" in dry(*SMALL, *auto)
    both = ("--checkpoint", "gaussian-cifar10", "--checkpoint", "cifar10-tiny")
    assert "on cpu in fp32 and bf16 (auto)\n" in dry(*SMALL, *both, *auto)
    assert "on cpu in fp32\n" in dry(*SMALL, *both)


def test_expected_time_is_that_of_earlier_records(dry: Bench, bench: Bench) -> None:
    bench(*SMALL)
    # 16 samples x 30 calls in 1440 s: 3 s a call
    edit(cost=record()[1]["cost"] | {"seconds": 1440.0})
    out = dry("--steps", "40", "--samples", "24")
    assert f"to run: {24 * 40} network evaluations" in out
    assert "; about 48 min 00 s by earlier records" in out  # 24 x 40 x 3 s
    out = dry("--steps", "30", "--samples", "24")  # two of its three batches are on disk
    assert f"to run: {8 * 30} network evaluations" in out
    assert "; about 12 min 00 s by earlier records" in out
    out = dry("--steps", "30", "--samples", "16", "--repeats", "3")  # one of three is finished
    assert f"to run: {2 * 16 * 30} network evaluations" in out
    assert "; about 48 min 00 s by earlier records" in out
    out = dry(
        "--steps", "30", "--samples", "16", "--corrector", "langevin"
    )  # a sampler never run: all records' pace
    assert f"to run: {16 * 60} network evaluations" in out
    assert "; about 48 min 00 s by earlier records" in out
    out = dry(
        *SMALL, "--checkpoint", "gmm-cifar10", "--seed", "1"
    )  # half of the runs on a checkpoint never run
    assert "; about 24 min 00 s by earlier records, 1 run of unknown time aside" in out


def test_the_pace_is_the_samplers_own_where_it_was_run(dry: Bench, bench: Bench) -> None:
    bench(*SMALL)
    edit(cost=record()[1]["cost"] | {"seconds": 480.0})  # 1 s a call
    bench(*SMALL, "--predictor", "euler_maruyama")
    for path in Path("results/records").iterdir():
        content = json.loads(path.read_text())
        if content["identity"]["predictor"]["name"] == "euler_maruyama":
            slow = content["cost"] | {"seconds": 4800.0}  # 10 s a call
            path.write_bytes(with_checksum(content | {"cost": slow}))
    assert "; about 8 min 00 s by" in dry(*SMALL, "--seed", "1")
    assert "; about 1 h 20 min by" in dry(*SMALL, "--seed", "1", "--predictor", "euler_maruyama")


def test_a_solvers_calls_are_those_of_earlier_records(dry: Bench, bench: Bench) -> None:
    solver = ("--solver", "rk45", "--tol", "1e-1", "--samples", "8")
    (line,) = runs(dry(*solver))
    assert "· NFE adaptive ·" in line
    bench(*solver)
    edit(cost=record()[1]["cost"] | {"nfe": 50, "seconds": 400.0})  # 1 s a call
    out = dry(*solver, "--seed", "1")
    assert "· NFE about 50 ·" in runs(out)[0]
    assert "; about 6 min 40 s by earlier records" in out
    assert "· NFE adaptive ·" in runs(dry(*solver, "--tol", "1e-2"))[0]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("torch",), "1.0", f"torch was 1.0, not {metadata.version('torch')}"),
        (("code",), "0" * 16, "the core has changed since"),
        (("predictor", "code"), "0" * 16, "predictor has changed since"),
        (("predictor", "version"), "9", f"predictor.version was 9, not {metadata.version('sampler-bench')}"),
        (("checkpoint", "sha256"), "0" * 64, "checkpoint.sha256 has changed since"),
        (("batch_size",), 4, "batch_size was 4, not 8"),
        (("device",), "cuda H100", "device was cuda H100, not cpu"),
    ],
)
def test_why_a_record_is_stale(
    dry: Bench, bench: Bench, path: tuple[str, ...], value: Any, reason: str
) -> None:
    bench(*SMALL)
    identity = record()[1]["identity"]
    place = identity
    for key in path[:-1]:
        place = place[key]
    assert place[path[-1]] != value
    place[path[-1]] = value
    edit(identity=identity, fingerprint="0" * 16)
    record()[0].rename(Path("results/records", "0" * 16 + ".json"))
    lines = dry(*SMALL).splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("  to run  ")]
    assert lines[at + 1].strip().startswith(f"stale: there is a record, but {reason}")
    assert ";" not in lines[at + 1]
    assert not any("stale" in line for line in dry(*SMALL, "--seed", "1").splitlines())


def test_the_nearest_of_several_stale_records_is_reported(dry: Bench, bench: Bench) -> None:
    bench(*SMALL)
    whole = record()[1]
    for name, changes in (("0" * 16, {"torch": "1.0", "batch_size": 4}), ("1" * 16, {"torch": "2.0"})):
        changed = whole | {"fingerprint": name, "identity": whole["identity"] | changes}
        Path("results/records", f"{name}.json").write_bytes(with_checksum(changed))
    Path("results/records", f"{whole['fingerprint']}.json").unlink()
    (line,) = [line for line in dry(*SMALL).splitlines() if "stale" in line]
    assert "torch was 2.0" in line
    assert "batch_size" not in line


def test_a_suite_leaves_no_trace(dry: Bench) -> None:
    Path("bench.toml").write_text(
        '[suites.s]\n[[suites.s.cells]]\nsde = ["ve", "vp"]\npredictor = "ancestral"\nsteps = [30, 40]\n'
        'column = "{steps}"\n'
    )
    out = dry("--suite", "s", "--samples", "16")
    assert len(runs(out)) == 4
    assert f"to run: {2 * 16 * (30 + 40)} network evaluations" in out
    assert [p.name for p in Path().iterdir()] == ["bench.toml"]


def test_small_records_and_other_tasks_give_no_pace(dry: Bench, bench: Bench) -> None:
    again = (*SMALL, "--seed", "1")
    assert "; no earlier record shows how long it takes" in dry(*again)
    bench(*SMALL, "--task", "colorize")
    assert "; no earlier record shows how long it takes" in dry(*again)
    bench(*SMALL)
    bench(*SMALL, "--samples", "2", "--batch-size", "2")
    for path in Path("results/records").iterdir():
        content = json.loads(path.read_text())
        seconds = {16: 480.0, 2: 120000.0}[content["samples"]]  # 1 s a call, and 2000 s
        path.write_bytes(with_checksum(content | {"cost": content["cost"] | {"seconds": seconds}}))
    assert "; about 8 min 00 s by earlier records" in dry(*again)
