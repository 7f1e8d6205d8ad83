"""``bench compare``: the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from bench.cli import main
from bench.results.store import Store
from tests.support.compared import near
from tests.support.made_up import suite_plan

Call = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``results`` (two samplers, two seeds; the second is much the worse) and ``later``."""
    root = tmp_path_factory.mktemp("compared")
    common = ["run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--steps", "30"]
    common += ["--samples", "48", "--batch-size", "16", "--grid", "uniform"]
    good, bad = ["--predictor", "euler_maruyama"], ["--predictor", "reverse_diffusion"]
    for more in (
        [*good, *bad, "--repeats", "2", "--out", f"{root}/results"],
        [*good, "--repeats", "2", "--out", f"{root}/later"],
        [*good, "--samples", "32", "--out", f"{root}/fewer"],
        [*good, "--repeats", "2", "--batch-size", "24", "--out", f"{root}/larger"],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*common, *more])
        assert stop.value.code == 0
    return root


@pytest.fixture
def bench(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs ``bench compare`` beside the results and gives what it printed: its one line, if refused."""
    monkeypatch.chdir(folder)

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["compare", *arguments])
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        if status == 2:
            assert (out, err.count("\n"), err[:7]) == ("", 1, "bench: ")
            return err
        return out

    return call


def fingerprint(folder: Path, predictor: str, seed: int) -> str:
    with (folder / "results" / "runs.csv").open(newline="") as handle:
        (row,) = [r for r in csv.DictReader(handle) if (r["predictor"], r["seed"]) == (predictor, str(seed))]
    assert row["title"].endswith(f" · vp · {predictor}, 30 steps")
    return row["fingerprint"]


@pytest.mark.parametrize("source", ["results", "results/runs.csv"])
def test_a_run_and_itself_do_not_differ(bench: Call, source: str) -> None:
    plain = json.loads(bench("results", source, "--json", "--fail-on", "fd_dct:0"))
    assert [r["verdict"] for r in plain["rows"]] == ["no difference shown"] * 2
    for row in plain["rows"]:
        assert (row["difference"], row["interval"], row["p"], row["seeds"]) == (0, [0, 0], 1, [0, 1])
    assert (plain["nfe_ratio"], plain["speed_ratio"]) == (1, near(1))
    assert [r["broken"] for r in plain["fail_on"]] == [False, False]


def test_samplers_of_the_same_noise_compare_at_all_seeds_or_by_batches(bench: Call, folder: Path) -> None:
    names = [[fingerprint(folder, p, s) for s in (0, 1)] for p in ("euler_maruyama", "reverse_diffusion")]
    files = [[f"results/records/{name}.json" for name in pair] for pair in names]
    a, b = ([json.loads(Path(f).read_text())["metrics"]["fd_dct"]["value"] for f in pair] for pair in files)
    (row,) = json.loads(bench(names[0][0][:8], names[1][1], "--json"))["rows"]
    assert (row["over"], row["paired"], row["verdict"]) == ("seeds", True, "B worse")
    assert row["seeds"] == [0, 1]
    assert row["p"] == near(stats.ttest_rel(b, a).pvalue)
    assert (row["value_kind"], row["relative"]) == ("estimate", None)

    good, bad = files[0][0], files[1][0]
    (row,) = json.loads(bench(good, bad, "--json"))["rows"]
    assert (row["over"], row["paired"], row["n"], row["verdict"]) == ("batches", True, 3, "B worse")
    assert row["difference"] == near(b[0] - a[0])
    assert 0 < row["interval"][0] < row["difference"] < row["interval"][1]


def test_runs_of_another_batch_size_are_not_pairs(bench: Call, folder: Path) -> None:
    name = fingerprint(folder, "euler_maruyama", 0)
    for source in ("larger", "larger/runs.csv"):
        out = bench("later", source)
        assert "2 seeds, not paired" in out
        assert "not paired, since A and B draw other noise: batch size (A: 16; B: 24)" in out
        assert "speed B/A is not of the samplers alone: batch size (A: 16; B: 24)" in out
        (row,) = json.loads(bench("later", source, "--json"))["rows"]
        assert (row["over"], row["paired"], row["direction"]) == ("seeds", False, "lower")
    (path,) = [p for p in Path("larger/records").iterdir() if '"seed": 0' in p.read_text()]
    (row,) = json.loads(bench(f"results/records/{name}.json", str(path), "--json"))["rows"]
    assert (row["over"], row["paired"], row["n"]) == ("batches", False, 2)
    assert row["interval"][0] < 0 < row["interval"][1]  # two draws of one sampler


def test_a_broken_limit_is_status_1(bench: Call, folder: Path) -> None:
    good, bad = (fingerprint(folder, p, 0) for p in ("euler_maruyama", "reverse_diffusion"))
    out = bench(good, bad, "--fail-on", "nfe:0", "--fail-on", "fd_dct:0.5", status=1)
    assert "fail-on nfe:0: broken by 0 of 1 cell" in out
    assert "fail-on fd_dct:0.5: broken by 1 of 1 cell" in out
    assert "reverse_diffusion, 30 steps is worse on B: fd_dct" in out
    assert bench(good, bad, "--fail-on", "fd_dct:0.5", "--json", status=1).startswith("{")
    assert "B worse" in bench(good, bad, "--fail-on", "fd_dct:9e9")
    assert "B better" in bench(bad, good, "--fail-on", "fd_dct:0.5")


def test_a_cell_that_fails_in_b_breaks_every_limit(bench: Call, folder: Path) -> None:
    with (folder / "results" / "runs.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        if row["predictor"] == "reverse_diffusion":
            row |= {"status": "failed", "value": "", "reason": "NaN at step 7"}
    with (folder / "failed.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    out = bench("results", "failed.csv", "--fail-on", "fd_dct:0.5", status=1)
    assert "reverse_diffusion, 30 steps · seed 0: NaN at step 7 failed in B" in out
    bench("failed.csv", "failed.csv", "--fail-on", "fd_dct:0.5")
    bench("results", "failed.csv")


def test_what_is_on_one_side_only_is_reported(bench: Call) -> None:
    out = bench("results", "later")
    assert "1 cell compared, 48 samples each; geometric means, B over A: NFE 1, samples/s" in out
    assert "1 cell in A only: gaussian-cifar10 · vp · reverse_diffusion, 30 steps · 48 samples" in out
    assert json.loads(bench("later", "results", "--json"))["only_a"] == []


def test_a_tidy_table_without_lists_has_no_interval_for_one_seed(bench: Call, folder: Path) -> None:
    for name, value in (("old", "2.0"), ("new", "3.0")):
        lines = [
            "title,cell,seed,samples,status,metric,value,nfe,seconds,fingerprint,created",
            f"net · vp · em,e,0,100,finished,fd,{value},20.0,50.0,aa,2025-02-01",
            "net · vp · em,e,0,100,missing,is,,20.0,50.0,aa,2025-02-01",
            "net · vp · em,e,0,100,finished,fd,9.0,20.0,50.0,cc,2025-01-01",
            "net · vp · rd,,0,100,missing,fd,,,,bb,",
        ]
        (folder / f"{name}.csv").write_text("\n".join(lines))
    out = bench("old.csv", "new.csv", "--fail-on", "fd:0.4", "--fail-on", "seconds:0", status=1)
    assert "no interval: one seed without batches" in out
    assert "1 of its cells were not run yet" in out
    assert "1 older of the same cell and seed ignored" in out
    assert "fail-on fd:0.4: broken by 1 of 1 cell" in out
    assert "fail-on seconds:0: broken by 0 of 1 cell" in out
    (row,) = json.loads(bench("old.csv", "new.csv", "--json"))["rows"]
    assert (row["difference"], row["interval"], row["p"], row["verdict"]) == (1, None, None, "–")


def test_a_planned_suite_is_found_by_its_name(bench: Call, folder: Path) -> None:
    records = Store(folder / "later", writes=False).records()
    fingerprints = sorted(record.fingerprint for record in records)
    plan = suite_plan("nfe")
    cells = [
        plan.cells[i].model_copy(update={"fingerprint": name})
        for i, name in enumerate([*fingerprints, "0" * 16])
    ]
    update = {"suite": "mine", "name": "net-48", "cells": tuple(cells)}
    path = folder / "later" / "suites" / "mine" / "net-48.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(plan.model_copy(update=update).to_json())
    out = json.loads(bench("mine", "mine/net-48", "--out", "later", "--json"))
    assert sorted(out["a"]["runs"]) == fingerprints
    assert out["a"]["notes"] == ["1 of its cells were not run yet: bench run --suite mine"]
    assert "'net-4'" in bench("mine/net-4", "mine", "--out", "later", status=2)
    path.with_name("net-96.json").write_bytes(plan.model_copy(update=update | {"name": "net-96"}).to_json())
    assert "mine/net-48, mine/net-96" in bench("mine", "mine", "--out", "later", status=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("results", "gone.json"), "there is no gone.json"),
        (("gone.csv", "results"), "there is no gone.csv"),
        (("results", "nowhere"), "'nowhere' names no run: give a record's .json"),
        (("results", "nowhere"), "or a suite that was run into results (known: "),
        (("results", "0123456789"), "no fingerprint in results/records begins with '0123456789'"),
        (("results", "results/records/x.json"), "x.json can't be read"),
        (("results", "bare.json"), "bare.json can't be read as a record of bench run"),
        (("results", "bare.csv"), "bare.csv has no column 'cell'"),
        (
            ("results", "later", "--fail-on", "fd_dct"),
            "--fail-on takes METRIC:X or METRIC:X% with X at least",
        ),
        (("results", "later", "--fail-on", "fd_dtc:5%"), "--fail-on fd_dtc:5%: no pair has fd_dtc on both"),
        (("results", "later", "--metric", "fd_dtc"), "metric 'fd_dtc' on both sides (did you mean 'fd_dct'?"),
        (
            ("results", "later", "--fail-on", "fd_dct:5%"),
            "it is an estimate that can be negative; give",
        ),
        (("later", "fewer"), "numbers of samples differ (A: 48; B: 32): run both with the same --samples"),
        (("abcd", "results"), "'abcd' is ambiguous: abcd0, abcd1; give more digits"),
    ],
)
def test_mistakes_are_one_line(bench: Call, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "bare.json").write_text("[]")
    (folder / "bare.csv").write_text("a,b\n1,2\n")
    odd = [folder / "results" / "records" / name for name in ("x.json", "abcd0.json", "abcd1.json")]
    for path in odd:
        path.write_text("{")
    try:
        assert message in bench(*arguments, status=2)
    finally:
        for path in odd:
            path.unlink()
