"""``bench compare``: what is paired with what, verdicts, ratios and limits, and the command."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench.reporting.compare.paired import alone, over_batches
from scipy import stats

from bench import BenchError
from bench.cli import main
from bench.metrics.moments import groups
from bench.reporting.compare.comparison import Limit, compare, overall, ratios, remarks, shared_metrics
from bench.reporting.compare.pairing import Figure, Pair, Run, Side, pair

Call = Callable[..., str]


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9)


BATCHES = ((16, 20.0, 2.0), (16, 20.0, 4.0), (8, 20.0, 1.0))


def run(sampler: str, seed: int, value: float = 1.0, **changes: Any) -> Run:
    given: dict[str, Any] = {"samples": 40, "figures": {"fd": Figure(value, "lower")}}
    given |= {"nfe": 20.0, "seconds": 0.2} | changes
    return Run(title=f"net · vp · {sampler} · seed {seed}", seed=seed, **given)


def test_cells_pair_by_title_and_samples_and_runs_by_seed() -> None:
    a = [run("em", s, s) for s in (2, 0, 1)] + [run("rd", 0), run("rk45", 0), run("em", 0, samples=99)]
    b = [run("em", s, 10 + s) for s in (1, 2, 3)]
    b += [run("rd", 1), run("heun", 0), run("rk45", 0, status="failed", reason="NaN")]
    found = pair(Side("a", a), Side("b", b))
    (both,) = found.pairs
    assert [r.seed for r in both.a] == [r.seed for r in both.b] == [1, 2]
    assert [r.figures["fd"].value for r in (*both.a, *both.b)] == [1, 2, 11, 12]
    assert found.only_a == ["net · vp · em · 99 samples"]
    assert found.only_b == ["net · vp · heun · 40 samples"]
    assert (found.failed_a, found.failed_b) == ([], ["net · vp · rk45 · seed 0: NaN"])
    assert found.other_seeds == ["net · vp · rd · 40 samples (A: 0; B: 1)"]


def test_one_cell_on_each_side_is_a_pair_whatever_the_samplers() -> None:
    (both,) = pair(Side("a", [run("em", 0), run("em", 1)]), Side("b", [run("rd", 1)])).pairs
    assert (both.title, both.a[0].seed) == ("net · vp · em → net · vp · rd", 1)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([run("em", 0)], [run("rd", 0, samples=48)], r"samples differ \(A: 40; B: 48\).*--samples"),
        (
            [run("em", 0), run("rd", 0)],
            [run("heun", 0)],
            r"no cell of A \(2 in all\) is in B \(1\).*fingerpr",
        ),
        ([run("em", 0)], [run("em", 1)], r"no seed is on both sides of .* em .*\(A: 0; B: 1\).*--seed"),
        ([run("em", 0)], [run("em", 0, status="failed", reason="NaN at 7")], r"failed: .*: NaN at 7"),
    ],
)
def test_nothing_to_pair_says_why(a: list[Run], b: list[Run], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        pair(Side("a", a), Side("b", b))


def rows(a: list[float], b: list[float], direction: str = "lower") -> Any:
    x, y = (
        tuple(run("em", s, figures={"fd": Figure(v, direction)}) for s, v in enumerate(z)) for z in (a, b)
    )
    return compare([Pair(x, y)], "fd")[0]


def test_the_verdict_follows_the_direction_and_the_number_of_cells() -> None:
    a, b = [10.0, 10.0, 10.0], [11.0, 11.2, 10.8]
    assert (rows(a, b).verdict, rows(b, a).verdict) == ("B worse", "B better")
    assert (rows(a, b, "higher").verdict, rows(b, a, "higher").verdict) == ("B better", "B worse")
    assert rows(a, b).relative == near(0.1)
    assert rows([0.0, 0.0], [1.0, 1.2]).relative is None
    assert rows(a, [11.0, 8.0, 11.0]).verdict == "no difference shown"
    assert rows([1.0], [2.0]).verdict == "–"
    assert "give --repeats" in remarks([rows([1.0], [2.0])])[0]

    cells = [
        Pair(tuple(run(n, s, 10) for s in range(3)), tuple(run(n, s, v) for s, v in enumerate(b)))
        for n in "pqrstu"
    ]
    many = compare(cells, "fd")
    assert [r.p_holm for r in many] == [near(min(1, 6 * (rows(a, b).p_holm or 0)))] * 6
    assert {r.verdict for r in many} == {"no difference shown"}
    assert all(Limit.read("fd:5%").broken(r) for r in many)  # a limit looks at its own cell


def test_one_seed_pairs_its_batches_where_they_are_the_same() -> None:
    without = [1.1, 0.9, 1.3], [2.0, 2.2, 2.1]
    a, b = (
        run("em", 0, figures={"fd": Figure(v, without=tuple(w))}, batches=BATCHES)
        for v, w in zip((1.0, 2.0), without, strict=True)
    )
    (found,) = compare([Pair((a,), (b,))], "fd")
    assert found.estimate == over_batches(1.0, 2.0, *without, [16, 16, 8])
    for other in (BATCHES[::-1], BATCHES[:2], ()):
        c = run("em", 0, figures=b.figures, batches=other)
        assert compare([Pair((a,), (c,))], "fd")[0].estimate == alone(1.0, 2.0)


def test_groups_of_batches_and_costs_without_them() -> None:
    batches = tuple((16, 20.0 + i % 3, 1.0 + i) for i in range(40))
    whole = run("em", 0, batches=batches)
    assert whole.group_sizes() == [16 * len(g) for g in groups(40)]
    left = [b for i, b in enumerate(batches) if i not in groups(40)[5]]
    for cost, expected in (("nfe", sum(b[1] for b in left)), ("seconds", sum(b[2] for b in left) / 16)):
        figure = whole.figure(cost)
        assert figure is not None
        assert figure.without[5] == near(expected / len(left))


def test_ratios_are_geometric_means() -> None:
    slow = tuple((n, 40.0, s * f) for (n, _, s), f in zip(BATCHES, (2, 4, 1), strict=True))
    a, b = run("em", 0, batches=BATCHES), run("em", 0, nfe=40.0, seconds=0.8, batches=slow)
    assert ratios(Pair((a,), (b,))) == (near(2), near(0.5))
    assert ratios(Pair((a,), (run("em", 0, seconds=0.8),))) == (near(1), near(0.25))
    pairs = [
        Pair((a,), (b,)),
        Pair((a,), (run("em", 0, seconds=0.8),)),
        Pair((a,), (run("em", 0, nfe=None),)),
    ]
    assert overall(pairs) == (near(math.sqrt(2)), near((0.5 * 0.25) ** (1 / 3)))


def test_limits() -> None:
    worse, noisy = rows([10.0, 10.0], [11.0, 11.01]), rows([10.0, 10.0], [10.1, 13.0])
    assert [Limit.read(f"fd:{x}").broken(worse) for x in ("5%", "10%", "11%", "1", "1.1", "0")] == [
        True, True, False, True, False, True,
    ]  # fmt: skip
    assert not Limit.read("fd:1").broken(rows([10.0, 10.0], [11.0, 11.0]))
    assert not Limit.read("fd:5%").broken(noisy)
    assert not Limit.read("fd:0").broken(rows([11.0, 11.01], [10.0, 10.0]))
    assert Limit.read("fd:5%").broken(rows([11.0, 11.01], [10.0, 10.0], "higher"))
    assert Limit.read("fd:5%").broken(rows([1.0], [1.2]))
    assert Limit.read("fd:5%").broken(rows([0.0, 0.0], [1.0, 1.01]))


@pytest.mark.parametrize("text", ["fd", "fd:", ":5%", "fd:five%", "fd:-1", "fd:nan", "fd:inf", "fd:5%%"])
def test_a_limit_that_can_not_be_read(text: str) -> None:
    with pytest.raises(BenchError, match="--fail-on takes METRIC:X%"):
        Limit.read(text)


def test_metrics_of_other_reference_data_are_refused() -> None:
    a, b, c = (run("em", 0, figures={"fd": Figure(1.0, made={"provenance": {"d": x}})}) for x in "aba")
    with pytest.raises(BenchError, match=r"fd in B is of other data \(d b, not a\)"):
        compare([Pair((a,), (b,))], "fd")
    assert remarks(compare([Pair((a,), (c,))], "fd")) == []
    with pytest.raises(BenchError, match=r"no metric was taken on both sides \(A: fd; B: is\)"):
        shared_metrics([Pair((a,), (run("em", 0, figures={"is": Figure(1.0)}),))])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``results`` (two samplers, two seeds; the second is much the worse) and ``later``."""
    root = tmp_path_factory.mktemp("compared")
    common = ["run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--steps", "30"]
    common += ["--samples", "48", "--batch-size", "16", "--grid", "uniform"]
    good, bad = ["--predictor", "euler_maruyama"], ["--predictor", "reverse_diffusion"]
    for more in (
        [*good, *bad, "--repeats", "2", "--out", f"{root}/results"],
        [*good, "--repeats", "2", "--out", f"{root}/later"],
        [*good, "--samples", "32", "--out", f"{root}/fewer"],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*common, *more])
        assert stop.value.code == 0
    return root


@pytest.fixture
def bench(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs ``bench compare`` beside the results and gives what it printed: its one line, if refused."""
    monkeypatch.chdir(made)

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


def fingerprint(made: Path, predictor: str, seed: int) -> str:
    with (made / "results" / "runs.csv").open(newline="") as handle:
        (row,) = [r for r in csv.DictReader(handle) if (r["predictor"], r["seed"]) == (predictor, str(seed))]
    assert row["title"].endswith(f" · vp · {predictor}, 30 steps · seed {seed}")
    return row["fingerprint"]


@pytest.mark.parametrize("source", ["results", "results/runs.csv"])
def test_a_run_and_itself_do_not_differ(bench: Call, source: str) -> None:
    found = json.loads(bench("results", source, "--json", "--fail-on", "fd_dct:0"))
    assert [r["verdict"] for r in found["rows"]] == ["no difference shown"] * 2
    for row in found["rows"]:
        assert (row["difference"], row["interval"], row["p"], row["seeds"]) == (0, [0, 0], 1, [0, 1])
    assert (found["nfe_ratio"], found["speed_ratio"]) == (1, near(1))
    assert [r["broken"] for r in found["fail_on"]] == [False, False]


def test_samplers_of_the_same_noise_compare_at_all_seeds_or_by_batches(bench: Call, made: Path) -> None:
    names = [[fingerprint(made, p, s) for s in (0, 1)] for p in ("euler_maruyama", "reverse_diffusion")]
    files = [[f"results/records/{name}.json" for name in pair] for pair in names]
    a, b = ([json.loads(Path(f).read_text())["metrics"]["fd_dct"]["value"] for f in pair] for pair in files)
    (row,) = json.loads(bench(names[0][0][:8], names[1][1], "--json"))["rows"]
    assert (row["paired_by"], row["verdict"], row["seeds"]) == ("seeds", "B worse", [0, 1])
    assert row["p"] == near(stats.ttest_rel(b, a).pvalue)
    assert row["relative"] == near((sum(b) - sum(a)) / sum(a))

    good, bad = files[0][0], files[1][0]
    (row,) = json.loads(bench(good, bad, "--json"))["rows"]
    assert (row["paired_by"], row["n"], row["verdict"]) == ("batches", 3, "B worse")
    assert row["difference"] == near(b[0] - a[0])
    assert 0 < row["interval"][0] < row["difference"] < row["interval"][1]


def test_a_broken_limit_is_status_1(bench: Call, made: Path) -> None:
    good, bad = (fingerprint(made, p, 0) for p in ("euler_maruyama", "reverse_diffusion"))
    out = bench(good, bad, "--fail-on", "nfe:0", "--fail-on", "fd_dct:5%", status=1)
    assert "fail-on nfe:0: broken by 0 of 1 cell" in out
    assert "fail-on fd_dct:5%: broken by 1 of 1 cell" in out
    assert "reverse_diffusion, 30 steps is worse on B: fd_dct" in out
    assert bench(good, bad, "--fail-on", "fd_dct:5%", "--json", status=1).startswith("{")
    assert "B worse" in bench(good, bad, "--fail-on", "fd_dct:9e9")
    assert "B better" in bench(bad, good, "--fail-on", "fd_dct:5%")


def test_a_cell_that_fails_in_b_breaks_every_limit(bench: Call, made: Path) -> None:
    with (made / "results" / "runs.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        if row["predictor"] == "reverse_diffusion":
            row |= {"status": "failed", "value": "", "reason": "NaN at step 7"}
    with (made / "failed.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    out = bench("results", "failed.csv", "--fail-on", "fd_dct:5%", status=1)
    assert "reverse_diffusion, 30 steps · seed 0: NaN at step 7 failed in B" in out
    bench("failed.csv", "failed.csv", "--fail-on", "fd_dct:5%")
    bench("results", "failed.csv")


def test_what_is_on_one_side_only_is_told(bench: Call) -> None:
    out = bench("results", "later")
    assert "1 cell paired, 48 samples each; geometric means, B over A: NFE 1, samples/s" in out
    assert "1 cell in A only: gaussian-cifar10 · vp · reverse_diffusion, 30 steps · 48 samples" in out
    assert json.loads(bench("later", "results", "--json"))["only_a"] == []


def test_a_tidy_table_without_lists_has_no_interval_for_one_seed(bench: Call, made: Path) -> None:
    for name, value in (("old", "2.0"), ("new", "3.0")):
        lines = [
            "title,seed,samples,status,metric,value,nfe,seconds,fingerprint,created",
            f"net · vp · em · seed 0,0,100,finished,fd,{value},20.0,50.0,aa,2025-02-01",
            "net · vp · em · seed 0,0,100,missing,is,,20.0,50.0,aa,2025-02-01",
            "net · vp · em · seed 0,0,100,finished,fd,9.0,20.0,50.0,cc,2025-01-01",
            "net · vp · rd · seed 0,0,100,missing,fd,,,,bb,",
        ]
        (made / f"{name}.csv").write_text("\n".join(lines))
    out = bench("old.csv", "new.csv", "--fail-on", "fd:40%", "--fail-on", "seconds:0", status=1)
    assert "no interval: one seed, no batches to pair: give --repeats" in out
    assert "1 of its cells were not run yet" in out
    assert "1 older of the same title, samples and seed passed over" in out
    assert "fail-on fd:40%: broken by 1 of 1 cell" in out
    assert "fail-on seconds:0: broken by 0 of 1 cell" in out
    (row,) = json.loads(bench("old.csv", "new.csv", "--json"))["rows"]
    assert (row["difference"], row["interval"], row["p"], row["verdict"]) == (1, None, None, "–")


def test_a_planned_suite_is_found_by_its_name(bench: Call, made: Path) -> None:
    folder = made / "later" / "suites" / "mine"
    folder.mkdir(parents=True)
    cells = [{"fingerprint": p.stem} for p in (made / "later" / "records").glob("*.json")]
    plan = {"suite": "mine", "name": "net-48", "cells": [*cells, {"fingerprint": "0" * 16}]}
    (folder / "net-48.json").write_text(json.dumps(plan))
    out = json.loads(bench("mine", "mine/net-48", "--out", "later", "--json"))
    assert sorted(out["a"]["runs"]) == sorted(c["fingerprint"] for c in cells)
    assert out["a"]["notes"] == ["1 of its cells were not run yet: bench run --suite mine"]
    assert "'net-4'" in bench("mine/net-4", "mine", "--out", "later", status=2)
    (folder / "net-96.json").write_text(json.dumps(plan | {"name": "net-96"}))
    assert "mine/net-48, mine/net-96" in bench("mine", "mine", "--out", "later", status=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("results", "gone.json"), "there is no gone.json"),
        (("gone.csv", "results"), "there is no gone.csv"),
        (("results", "nowhere"), "'nowhere' names no run: give a record's .json"),
        (("results", "0123456789"), "no fingerprint in results/records begins with '0123456789'"),
        (("results", "results/records/x.json"), "x.json can't be read"),
        (("results", "bare.json"), "not a record of bench run"),
        (("results", "bare.csv"), "bare.csv has no column 'title'"),
        (
            ("results", "later", "--fail-on", "fd_dct"),
            "--fail-on takes METRIC:X% or METRIC:X with X at least",
        ),
        (("results", "later", "--fail-on", "fd_dtc:5%"), "--fail-on fd_dtc:5%: no pair has fd_dtc on both"),
        (("results", "later", "--metric", "fd_dtc"), "metric 'fd_dtc' on both sides (did you mean 'fd_dct'?"),
        (("later", "fewer"), "numbers of samples differ (A: 48; B: 32): run both with the same --samples"),
        (("abcd", "results"), "'abcd' is ambiguous: abcd0, abcd1; give more digits"),
    ],
)
def test_mistakes_are_one_line(bench: Call, made: Path, arguments: tuple[str, ...], said: str) -> None:
    (made / "bare.json").write_text("[]")
    (made / "bare.csv").write_text("a,b\n1,2\n")
    odd = [made / "results" / "records" / name for name in ("x.json", "abcd0.json", "abcd1.json")]
    for path in odd:
        path.write_text("{")
    try:
        assert said in bench(*arguments, status=2)
    finally:
        for path in odd:
            path.unlink()
