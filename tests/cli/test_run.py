"""``bench run`` from end to end: what it leaves, what it keeps, what it does again."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench import Batch, Noise, Prediction, Predictor, Register, Step, Tensor, Update, hookimpl
from tests.support.runs import computed_batches, exit_status, forbid_batches, registry_with

QUICK = ("--device", "cpu", "--grid", "uniform", "--batch-size", "16")
STEPS = ("--steps", "40")
Run = Callable[..., str]


class Breaks(Predictor):
    """Stays where it is, and yields NaN at its seventh step while ``broken``."""

    name = "breaks"
    broken = True

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        done = 1 if state is None else state + 1
        p.score(x, step)
        result = x * float("nan") if self.broken and done == 7 else x
        return Update(result, result, done)


class Raises(Breaks):
    """Raises at its first step."""

    name = "raises"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        raise ValueError("no such step\nat all")


class Plugin:
    @hookimpl
    def register_predictors(self, register: Register) -> None:
        register(Breaks)
        register(Raises)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``bench run`` in an empty folder, with the broken predictors, and gives what it printed."""
    registry = registry_with(Plugin(), "breaking", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str, status: int = 0) -> str:
        checkpoint = () if "--checkpoint" in arguments else ("--checkpoint", "gaussian-cifar10")
        steps = () if "--steps" in arguments else STEPS
        code = exit_status("run", *QUICK, *steps, *checkpoint, *arguments, registry=registry)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert "Traceback" not in out + err
        return out

    return call


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Every batch that is computed, in order."""
    return computed_batches(monkeypatch)


def places(batches: list[Batch]) -> list[tuple[str, int]]:
    """(Predictor, index) of each batch."""
    return [(batch.spec.identity.plugins()["predictor"].name, batch.index) for batch in batches]


def records() -> list[dict[str, Any]]:
    """The records in the results folder of the working folder, by title."""
    contents = [json.loads(p.read_text()) for p in Path("results/records").iterdir()]
    return sorted(contents, key=lambda r: str(r["title"]))


def record() -> dict[str, Any]:
    """The only record."""
    (content,) = records()
    return content


def batches() -> dict[str, bytes]:
    """Content of every stored batch, by name."""
    paths = sorted(Path("results/samples").glob("*/*.safetensors"))
    assert not [p for p in Path("results/samples").glob("*/*") if p not in paths]
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in paths}


def table() -> list[dict[str, str]]:
    """runs.csv."""
    with Path("results/runs.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_what_a_run_leaves(run: Run) -> None:
    out = run("--samples", "40")
    content = record()
    fingerprint = content["fingerprint"]
    assert content["status"] == "finished"
    assert Path("results/records", f"{fingerprint}.json").is_file()

    identity = content["identity"]
    assert identity["checkpoint"]["name"] == "gaussian-cifar10"
    assert len(identity["checkpoint"]["sha256"]) == 64
    assert identity["sde"]["parameters"] == {"beta_min": 0.1, "beta_max": 20.0, "eps": 0.001}
    assert identity["predictor"]["name"] == "reverse_diffusion"
    assert identity["predictor"]["distribution"] == "sampler-bench"
    assert identity["corrector"]["name"] == "none"
    assert (identity["steps"], identity["seed"], identity["batch_size"]) == (40, 0, 16)
    assert (identity["precision"], identity["compile"], identity["denoise"]) == ("fp32", False, "mean")
    assert identity["device"].startswith("cpu")

    assert {"bench", "torch", "numpy", "python", "platform", "commit", "dirty"} <= content[
        "provenance"
    ].keys()
    assert content["samples"] == 40
    assert content["cost"]["nfe"] == 40
    assert 0 < content["cost"]["network_share"] < 1
    assert content["cost"]["samples_per_second"] == pytest.approx(40 / content["cost"]["seconds"])
    metric = content["metrics"]["fd_dct"]
    assert metric["n"] == 40
    assert "error" not in metric  # too few samples to estimate it
    assert metric["exact"] > 0
    assert "n below 100" in metric["note"]

    (row,) = table()
    assert (row["fingerprint"], row["status"], row["metric"]) == (fingerprint, "finished", "fd_dct")
    assert (row["checkpoint"], row["sde"], row["predictor"]) == (
        "gaussian-cifar10",
        "vp",
        "reverse_diffusion",
    )
    assert (row["steps"], row["samples"], row["seed"], row["nfe"]) == ("40", "40", "0", "40")
    assert float(row["value"]) == metric["value"]
    assert float(row["exact"]) == metric["exact"]

    with Image.open(Path("results/images", f"{fingerprint}.png")) as image:
        image.load()
        assert image.size == (7 * (2 * 32 + 2) + 2, 6 * (2 * 32 + 2) + 2)  # 40 images: 7 columns, 6 rows
        assert image.mode == "RGB"
        low, high = image.convert("L").getextrema()
        assert (low, high) == (0, 255)
    assert [name.partition("/")[2] for name in batches()] == [
        f"{i:05d}-{size}.safetensors" for i, size in enumerate((16, 16, 8))
    ]
    for part in ("fd_dct", f"{fingerprint}.json", f"{fingerprint}.png", "runs.csv", "1 finished, 0 failed"):
        assert part in out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--sde", "ve", "--steps", "12"),
        ("--sde", "subvp", "--predictor", "euler_maruyama", "--denoise", "tweedie", "--steps", "18"),
        ("--sde", "ve", "--corrector", "annealed_langevin", "--order", "predictor_first", "--steps", "8"),
        ("--corrector", "langevin", "--snr", "0.1", "--batch-size", "128"),
    ],
)
def test_a_sampled_value_agrees_with_the_exact_one(run: Run, arguments: tuple[str, ...]) -> None:
    run("--samples", "256", "--batch-size", "64", *arguments)
    metric = record()["metrics"]["fd_dct"]
    assert metric["note"] == ""
    assert abs(metric["value"] - metric["exact"]) < 4.5 * metric["error"]
    assert metric["error"] < 0.1 * metric["exact"]


def test_there_is_no_exact_value_where_theory_has_none(run: Run) -> None:
    run("--samples", "4", "--checkpoint", "gmm-cifar10")
    assert record()["metrics"]["fd_dct"]["n"] == 4
    assert "exact" not in record()["metrics"]["fd_dct"]
    assert [row["exact"] for row in table()] == [""]


def test_a_second_run_samples_nothing(run: Run, computed: list[Batch]) -> None:
    run("--samples", "32")
    before, stored = record(), batches()

    computed.clear()
    out = run("--samples", "32")
    assert computed == []
    assert "1 recorded already" in out
    assert "cached" in out
    assert record() == before
    assert batches() == stored


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID"])
def test_of_several_processes_the_first_prints(
    variable: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("1", "0"):
        monkeypatch.setenv(variable, place)
        out = run("--samples", "32")
        assert record()["status"] == "finished"
        assert bool(out) == (place == "0")


def test_a_dry_run_leaves_no_trace_and_lists_the_runs(run: Run) -> None:
    several = ("--samples", "32", "--sde", "ve", "--sde", "vp", "--repeats", "2", "--corrector", "langevin")
    out = run(*several, "--dry-run")
    assert list(Path().iterdir()) == []
    lines = [line for line in out.splitlines() if line.startswith("  to run")]
    assert len(lines) == 4
    for sde in ("ve", "vp"):
        for seed in (0, 1):
            assert sum(f"· {sde} · " in line and f"· seed {seed} ·" in line for line in lines) == 1
    assert all("0 of 2 batches on disk" in line and "NFE 80" in line for line in lines)
    assert f"to run: {4 * 32 * 80} network evaluations" in out

    run("--samples", "32")
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    out = run("--samples", "32", "--dry-run")
    assert "  finished" in out
    assert "2 of 2 batches on disk" in out
    assert "2 of 3 batches on disk" in run("--samples", "48", "--dry-run")
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before


def test_repeats_are_rows_and_a_mean_with_its_spread(run: Run) -> None:
    out = run("--samples", "16", "--repeats", "2", "--seed", "3")
    rows = sorted(table(), key=lambda row: row["seed"])
    assert [row["seed"] for row in rows] == ["3", "4"]
    values = [float(row["value"]) for row in rows]
    assert values[0] != values[1]
    assert f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g} " in out


def test_a_failing_run_is_a_row_and_the_others_go_on(run: Run) -> None:
    broken = ("--predictor", "breaks", "--predictor", "raises", "--predictor", "reverse_diffusion")
    out = run("--samples", "16", *broken, status=1)
    assert "1 finished, 2 failed" in out
    by_name = {r["identity"]["predictor"]["name"]: r for r in records()}
    assert by_name["reverse_diffusion"]["status"] == "finished"
    assert by_name["breaks"]["status"] == by_name["raises"]["status"] == "failed"
    assert "NaN or infinite in the predictor at step 7 of 40" in by_name["breaks"]["reason"]
    assert by_name["raises"]["reason"] == ("ValueError: no such step at all (predictor raises of breaking 1)")
    for name in ("breaks", "raises"):
        log = Path(by_name[name]["log"]).read_text()
        assert log.startswith("Traceback (most recent call last):")
        assert by_name[name]["log"] in out
        assert by_name[name]["reason"] in out
    assert {row["predictor"]: row["status"] for row in table()} == {
        k: r["status"] for k, r in by_name.items()
    }
    assert {row["predictor"]: row["reason"] for row in table()}["raises"] == (
        "ValueError: no such step at all (predictor raises of breaking 1)"
    )
    assert len(batches()) == 1


def test_json_is_all_of_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = registry_with(Plugin(), "breaking", "1")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> tuple[Any, str]:
        common = ("--checkpoint", "gaussian-cifar10", "--samples", "8", *QUICK, *STEPS)
        assert exit_status("run", *common, "--json", *arguments, registry=registry) == status
        out, err = capsys.readouterr()
        return (json.loads(out, parse_constant=pytest.fail) if out else None), err

    both = ("--predictor", "ancestral", "--predictor", "breaks")
    plain, err = run(*both, "--dry-run")
    assert [entry["state"] for entry in plain["runs"]] == ["to run", "to run"]
    assert plain["evaluations"] == 8 * sum(entry["nfe"] for entry in plain["runs"])
    assert "2 runs = 1 checkpoint x 2 samplers x 1 seed; 0 recorded already" in err
    assert not Path("results").exists()
    plain, err = run(*both, status=1)
    assert [entry["status"] for entry in plain["runs"]] == ["finished", "failed"]
    assert (plain["finished"], plain["failed"]) == (1, 1)
    assert "NaN" in plain["runs"][1]["reason"]
    assert Path(plain["runs"][1]["log"]).is_file()
    assert "1 finished, 1 failed" in err
    value = json.loads(Path(plain["runs"][0]["record"]).read_text())["metrics"]["fd_dct"]["value"]
    assert plain["runs"][0]["metrics"]["fd_dct"]["value"] == value
    plain, err = run("--predictor", "nosuch", status=2)
    assert (plain, err.count("\n")) == (None, 1)


def test_a_failed_run_is_run_again(run: Run, computed: list[Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("--samples", "16", "--predictor", "breaks", "--predictor", "reverse_diffusion")
    run(*both, status=1)
    computed.clear()
    run(*both, status=1)
    assert places(computed) == [("breaks", 0)]
    monkeypatch.setattr(Breaks, "broken", False)
    computed.clear()
    run(*both)
    assert places(computed) == [("breaks", 0)]
    assert [r["status"] for r in records()] == ["finished", "finished"]
    assert [row["reason"] for row in table()] == ["", ""]


def test_more_samples_reuse_the_batches_on_disk(run: Run, computed: list[Batch]) -> None:
    run("--samples", "40")
    stored = batches()
    assert len(stored) == 3
    computed.clear()
    run("--samples", "64")
    assert [batch.index for batch in computed] == [2, 3]  # batch 2 had 8 samples, not 16
    now = batches()
    assert len({name.partition("/")[0] for name in now}) == 1
    assert stored.items() <= now.items()
    assert sorted(r["samples"] for r in records()) == [40, 64]
    computed.clear()
    run("--samples", "32")
    assert computed == []


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _emptied(content: bytes) -> bytes:
    return content[:0]


def _flipped_in_the_middle(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]


def _flipped_at_the_end(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def _flipped_in_the_facts(content: bytes) -> bytes:
    assert content.count(b'nfe\\": 40') == 1
    return content.replace(b'nfe\\": 40', b'nfe\\": 41')


def _flipped_in_the_length(content: bytes) -> bytes:
    return bytes([content[0] ^ 8]) + content[1:]


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _emptied,
        _flipped_in_the_middle,
        _flipped_at_the_end,
        _flipped_in_the_facts,
        _flipped_in_the_length,
    ],
)
def test_a_damaged_batch_is_detected_and_made_again(
    run: Run, computed: list[Batch], damage: Callable[[bytes], bytes]
) -> None:
    run("--samples", "48")
    before, images = record(), _images()
    name = sorted(batches())[1]
    path = Path("results/samples", name)
    path.write_bytes(damage(path.read_bytes()))
    shutil.rmtree("results/records")  # a batch is read where something is still to be measured
    computed.clear()
    run("--samples", "48")
    assert [batch.index for batch in computed] == [1]
    assert _images() == images
    assert record()["metrics"] == before["metrics"]
    assert record()["cost"]["nfe"] == 40


def _images() -> dict[str, bytes]:
    from safetensors.torch import load

    return {name: load(blob)["images"].numpy().tobytes() for name, blob in batches().items()}


@pytest.mark.parametrize("keep", [0, 1, 500, -3])
def test_a_half_written_record_is_made_again(run: Run, computed: list[Batch], keep: int) -> None:
    run("--samples", "32")
    before, stored, rows = record(), batches(), table()
    path = Path("results/records", f"{before['fingerprint']}.json")
    path.write_text(path.read_text()[:keep])
    computed.clear()
    out = run("--samples", "32")
    assert "0 recorded already" in out
    assert computed == []
    after = record()
    for one in (before, after):
        del one["created"], one["checksum"]  # the checksum is that of the time, too
    assert after == before
    assert batches() == stored
    assert [row["value"] for row in table()] == [row["value"] for row in rows]


def test_a_second_metric_is_measured_without_sampling_and_the_first_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    common = ["run", "--checkpoint", "gaussian-cifar10", "--grid", "uniform"]
    common += ["--steps", "30", "--samples", "8"]
    assert exit_status(*common) == 0
    forbid_batches(monkeypatch)
    assert exit_status(*common, "--metric", "fd_cifar10") == 0
    (record,) = (tmp_path / "results" / "records").glob("*.json")
    assert set(json.loads(record.read_text())["metrics"]) == {"fd_dct", "fd_cifar10"}
