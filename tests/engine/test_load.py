"""A suite that is killed, shared by two processes, or runs out of disk ends as an undisturbed one."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.support.forks import LIMIT, PAUSE, Forks, appears, kill

TOML = """
[suites.tiny]
about = "small cells"
layout = "grid"
checkpoint = "gaussian-cifar10"
[[suites.tiny.cells]]
sde = ["vp", "ve"]
predictor = ["reverse_diffusion", "euler_maruyama"]
steps = [25, 40]
row = "{predictor}"
column = "P{steps}"
"""
SUITE = (
    *("run", "--suite", "tiny", "--device", "cpu"),
    *("--samples", "32", "--batch-size", "8", "--repeats", "2"),
)
CELLS, BATCHES = 16, 64
TIMING = (
    *("samples_per_second", "network_share", "seconds", "created"),
    *("peak_host_bytes", "peak_gpu_bytes"),
)
KILLS = 20


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """The server that forks commands."""
    server = Forks()
    yield server
    server.close()


@dataclasses.dataclass
class Undisturbed:
    """What the suite leaves when nothing happens to it."""

    outcome: dict[str, Any]
    cells: str
    seconds: float
    idle: float
    """Seconds that the command takes when all is there."""


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "bench.toml").write_text(TOML)
    assert forks.run(folder, "--help") == 0  # once it answers, it has imported everything
    seconds = []
    for _ in range(2):
        begun = time.monotonic()
        assert forks.run(folder, *SUITE) == 0, (folder / "log.err").read_text()
        seconds.append(time.monotonic() - begun)
    assert len(sampled(folder)) == len(set(sampled(folder))) == BATCHES
    results = outcome(folder / "results")
    assert len(results["records"]) == CELLS
    assert len(results["batches"]) == BATCHES
    return Undisturbed(results, cells_csv(forks, folder), *seconds)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the suite in its bench.toml."""
    (tmp_path / "bench.toml").write_text(TOML)
    return tmp_path


def without_timing(text: str) -> str:
    """A CSV without the columns that differ from run to run."""
    rows = list(csv.DictReader(io.StringIO(text)))
    out = io.StringIO()
    writer = csv.DictWriter(out, [c for c in rows[0] if c not in TIMING], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def outcome(out: Path) -> dict[str, Any]:
    """All that a results folder holds but timings and paths; raises where a file is not whole."""
    records = [json.loads(path.read_text()) for path in sorted((out / "records").iterdir())]
    fields = ("fingerprint", "key", "title", "status", "samples", "identity", "metrics", "exact", "limit")
    return {
        "rows": without_timing((out / "runs.csv").read_text()),
        "records": [{k: record.get(k) for k in fields} for record in records],
        "nfe": [[(b["size"], b["nfe"]) for b in record["batches"]] for record in records],
        "batches": {str(p.relative_to(out)): load_file(p)["images"].numpy().tobytes() for p in stored(out)},
        "pictures": {p.name: p.read_bytes() for p in sorted((out / "images").iterdir())},
        "manifests": {p.name: p.read_text() for p in sorted(out.glob("suites/*/*"))},
    }


def cells_csv(forks: Forks, folder: Path, out: str = "results") -> str:
    """What `bench table` makes of the results."""
    assert forks.run(folder, "table", "tiny", "--no-plots", "--out", out, log="table") == 0
    (path,) = (folder / out / "tiny").glob("*/cells.csv")
    return without_timing(path.read_text())


def stored(out: Path) -> list[Path]:
    """Files of finished batches."""
    return sorted(out.glob("samples/*/[!.]*.safetensors"))


def unfinished(out: Path) -> list[Path]:
    """What a killed write leaves; lock files are no such thing."""
    return [
        p
        for p in out.rglob(".*")
        if p.is_file() and not (p.parent == out / "samples" and p.suffix == ".lock")
    ]


def sampled(folder: Path) -> list[tuple[str, str]]:
    """(Key, batch) of every batch that a process began to sample."""
    return [(key, index) for key, index, _ in _log(folder)]


def at_work(folder: Path, batches: int) -> None:
    """Wait until so many batches were begun."""
    deadline = time.monotonic() + LIMIT
    while len(_log(folder)) < batches:
        assert time.monotonic() < deadline, "the command does not sample"
        time.sleep(0.002)


def _log(folder: Path) -> list[list[str]]:
    path = folder / "sampled"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_killed_at_twenty_random_moments(forks: Forks, folder: Path, undisturbed: Undisturbed) -> None:
    out = folder / "results"
    draws = random.Random(0)
    before, midway, grown = 0, 0, 0
    for turn in range(KILLS):
        child = forks.start(folder, *SUITE)
        if turn % 4 == 0:  # at the start, while plans and manifests are made
            time.sleep(draws.uniform(0, 0.8 * undisturbed.idle))
        else:  # while batches are sampled, measured and recorded; too soon for all turns to do them all
            at_work(folder, len(sampled(folder)) + draws.randint(1, 4))
            time.sleep(draws.uniform(0, 2 * PAUSE))
        kill(child)
        assert forks.wait(child) == -signal.SIGKILL, "it came to its end before"
        for path in stored(out):
            assert load_file(path)["images"].shape == (8, 3, 32, 32)
        now = len(stored(out))
        assert now >= before, "finished batches were lost"
        midway += 0 < now < BATCHES
        grown += before < now < BATCHES
        before = now
    assert midway >= KILLS // 4, "kills hit before the first batch or after the last"
    assert grown >= KILLS // 4, "kills hit before anything was done"

    times = {path: path.stat().st_mtime_ns for path in stored(out)}
    assert forks.run(folder, *SUITE) == 0, (folder / "log.err").read_text()
    assert {path: path.stat().st_mtime_ns for path in times} == times, "finished batches were made again"
    lost = [batch for batch, times in Counter(sampled(folder)).items() if times > 1]
    assert len(sampled(folder)) - BATCHES <= KILLS, f"more than the batch in flight was lost: {lost}"
    assert outcome(out) == undisturbed.outcome
    assert cells_csv(forks, folder) == undisturbed.cells
    assert unfinished(out) == []


def test_killed_in_the_middle_of_every_kind_of_write(
    forks: Forks, folder: Path, undisturbed: Undisturbed
) -> None:
    out = folder / "results"

    def killed_at(write: int) -> str:
        """Be killed while that file is written, counted from the start: the one that is left."""
        assert forks.wait(forks.start(folder, *SUITE, die=write)) == -signal.SIGKILL
        assert "damaged" not in (folder / "log.out").read_text()
        for path in stored(out):
            load_file(path)
        for path in out.rglob("[!.]*.json"):
            json.loads(path.read_text())
        (half,) = unfinished(out)
        return str(half.relative_to(out))

    # the manifest comes first every time; then come four batches, the picture and the record of each cell
    assert killed_at(1).startswith("suites/tiny/.gaussian-cifar10-32.json.")
    assert "/.00000-8.safetensors." in killed_at(2)
    assert "/.00002-8.safetensors." in killed_at(4)
    assert killed_at(4).startswith("images/.")
    assert killed_at(3).startswith("records/.")
    cells, batches = CELLS - len(list(out.glob("records/*.json"))), BATCHES - len(stored(out))
    assert killed_at(1 + batches + 2 * cells + 1).startswith(".runs.csv.")
    assert len(stored(out)) == BATCHES
    assert forks.run(folder, *SUITE) == 0
    assert outcome(out) == undisturbed.outcome
    assert unfinished(out) == []


def test_two_processes_share_the_batches(forks: Forks, folder: Path, undisturbed: Undisturbed) -> None:
    children = [forks.start(folder, *SUITE, log=f"{i}", gate="gate") for i in range(2)]
    time.sleep(0.1)
    (folder / "gate").touch()
    statuses = [forks.wait(child) for child in children]
    assert statuses == [0, 0], [(folder / f"{i}.err").read_text() for i in range(2)]
    assert [(folder / f"{i}.err").read_text() for i in range(2)] == ["", ""]
    assert Counter(sampled(folder)) == dict.fromkeys(sampled(folder), 1)
    assert len(sampled(folder)) == BATCHES
    shares = Counter(int(pid) for _, _, pid in _log(folder))
    assert set(shares) == set(children)
    assert min(shares.values()) >= BATCHES // 8
    assert "damaged" not in (folder / "0.out").read_text() + (folder / "1.out").read_text()
    for i in range(2):
        assert f"{CELLS} finished, 0 failed" in (folder / f"{i}.out").read_text()
    assert outcome(folder / "results") == undisturbed.outcome
    assert cells_csv(forks, folder) == undisturbed.cells
    assert unfinished(folder / "results") == []


def test_a_process_that_waits_for_a_killed_one_goes_on(
    forks: Forks, folder: Path, undisturbed: Undisturbed
) -> None:
    out = folder / "results"
    stalled = forks.start(folder, *SUITE, log="stalled", stall="at work")
    appears(folder / "at work")
    waits = forks.start(folder, *SUITE, log="waits")
    appears(folder / "waits.out", "waiting for another process")
    assert len(stored(out)) == BATCHES - 1
    assert len(list(out.glob("records/*.json"))) == CELLS - 1
    time.sleep(0.3)
    assert len(stored(out)) == BATCHES - 1, "it did not wait"
    kill(stalled)
    assert forks.wait(stalled) == -signal.SIGKILL
    assert forks.wait(waits) == 0, (folder / "waits.err").read_text()
    assert (folder / "waits.out").read_text().count("waiting for another process") == 1
    assert Counter(sampled(folder)) == dict.fromkeys(sampled(folder), 1)
    assert outcome(out) == undisturbed.outcome
    assert unfinished(out) == []


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 3 MiB: a third of what the suite takes."""
    disk = folder / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, text=True
        )
    except OSError as error:
        pytest.skip(f"a small tmpfs can't be mounted: {error}")
    if mounted.returncode:
        pytest.skip(f"a small tmpfs can't be mounted, which takes root: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(forks: Forks, folder: Path, undisturbed: Undisturbed, small_disk: Path) -> None:
    out = small_disk / "results"
    run = (*SUITE, "--out", "disk/results")
    for _ in range(2):  # and again while it is full
        assert forks.run(folder, *run) == 1
        (line,) = (folder / "log.err").read_text().splitlines()
        assert line.startswith("bench: ")
        assert "No space left on device" in line
        assert line.endswith("what was finished is kept: run the same command again")
        assert "disk/results/" in line
        assert unfinished(out) == []
        records = [json.loads(path.read_text()) for path in (out / "records").iterdir()]
        assert {record["status"] for record in records} == {"finished"}
        assert 0 < len(records) < CELLS
        for path in stored(out):
            load_file(path)
    times = {path: path.stat().st_mtime_ns for path in (*stored(out), *(out / "records").iterdir())}
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert forks.run(folder, *run) == 0, (folder / "log.err").read_text()
    assert "damaged" not in (folder / "log.out").read_text()
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert outcome(out) == undisturbed.outcome
    assert cells_csv(forks, folder, "disk/results") == undisturbed.cells
