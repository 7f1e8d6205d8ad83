"""Differences, verdicts, ratios and limits of paired runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.reporting.basis import Basis
from bench.reporting.compare.comparison import (
    Ratios,
    common_metrics,
    compare_sides,
    metric_rows,
    overall_ratios,
    pair_ratios,
    pair_remarks,
    remarks,
)
from bench.reporting.compare.limits import Limit
from bench.reporting.compare.pairing import Pair, RunBatch, RunValue
from bench.reporting.compare.statistics import (
    Estimate,
    over_batches,
    over_unpaired_batches,
    over_unpaired_seeds,
    single,
)
from bench.results.record import Record
from tests.support import made_up
from tests.support.compared import BATCHES, near, row, run
from tests.support.made_up import metric_record

OLD, NEW = "0" * 64, "1" * 64


def test_the_verdict_follows_the_direction_and_the_number_of_cells() -> None:
    a, b = [10.0, 10.0, 10.0], [11.0, 11.2, 10.8]
    assert (row(a, b).verdict, row(b, a).verdict) == ("B worse", "B better")
    assert (row(a, b, "higher").verdict, row(b, a, "higher").verdict) == ("B better", "B worse")
    assert row(a, b).relative == near(0.1)
    assert row([0.0, 0.0], [1.0, 1.2]).relative is None
    assert row(a, [11.0, 8.0, 11.0]).verdict == "no difference shown"
    assert row([1.0], [2.0]).verdict == "–"
    assert "give --repeats" in remarks([row([1.0], [2.0])])[0]

    cells = [
        Pair(tuple(run(n, s, 10) for s in range(3)), tuple(run(n, s, v) for s, v in enumerate(b)))
        for n in "pqrstu"
    ]
    many = metric_rows(cells, "fd")
    assert [r.p_holm for r in many] == [near(min(1, 6 * (row(a, b).p_holm or 0)))] * 6
    assert {r.verdict for r in many} == {"no difference shown"}
    assert all(Limit.parse("fd:5%").broken_by(r) for r in many)  # a limit looks at its own cell


def test_one_seed_pairs_its_batches_where_they_are_the_same() -> None:
    without = [1.1, 0.9, 1.3], [2.0, 2.2, 2.1]
    a, b = (
        run("em", 0, values={"fd": RunValue(v, without=tuple(w))}, batches=BATCHES)
        for v, w in zip((1.0, 2.0), without, strict=True)
    )
    (only,) = metric_rows([Pair((a,), (b,))], "fd")
    assert only.estimate == over_batches(1.0, 2.0, *without, [16, 16, 8])
    for other in (BATCHES[:2], ()):
        c = run("em", 0, values=b.values, batches=other)
        assert metric_rows([Pair((a,), (c,))], "fd")[0].estimate == single(1.0, 2.0)


def test_runs_that_share_no_noise_are_not_paired() -> None:
    """Batches of another size, another kind of device or other images draw other numbers at one seed."""
    a, b = [10.0, 10.4, 9.9], [11.0, 11.2, 10.8]
    x = tuple(run("em", s, v, images="small") for s, v in enumerate(a))
    for changes in (
        {"batch_size": 8},
        {"device": "cuda A100"},
        {"batch_size": None},
        {"device": ""},
    ):
        y = tuple(run("em", s, v, images="small", **changes) for s, v in enumerate(b))
        (only,) = metric_rows([Pair(x, y)], "fd")
        assert only.estimate == over_unpaired_seeds(a, b)
        assert len(pair_remarks([Pair(x, y)])) == (2 if all(changes.values()) else 1)
    for images, paired in (("small", True), ("large", False), ("", False)):
        y = tuple(run("ddim", s, v, images=images, device="cpu AVX512") for s, v in enumerate(b))
        assert metric_rows([Pair(x, y)], "fd")[0].estimate.paired is paired
    eight = tuple(run("em", s, v, batch_size=8) for s, v in enumerate(b))
    assert pair_remarks([Pair(x, eight)]) == [
        "not paired, since A and B draw other noise: batch size (A: 16; B: 8)",
        "speed B/A is not of the samplers alone: batch size (A: 16; B: 8)",
    ]
    assert pair_remarks([Pair(x, x)]) == []


def test_the_batches_of_other_sizes_are_not_paired() -> None:
    a_without, b_without = (1.1, 0.9, 1.3), (2.0, 2.2)
    a = run("em", 0, values={"fd": RunValue(1.0, without=a_without)}, batches=BATCHES)
    halves = (RunBatch(20, 20.0, 2.0), RunBatch(20, 20.0, 2.0))
    b = run("em", 0, values={"fd": RunValue(2.0, without=b_without)}, batches=halves, batch_size=20)
    (only,) = metric_rows([Pair((a,), (b,))], "fd")
    assert only.estimate == over_unpaired_batches(1.0, 2.0, a_without, b_without, [16, 16, 8], [20, 20])


def test_equal_shares_of_other_samples_show_nothing() -> None:
    """All samples of two runs count, or one more of B's at both seeds: chance, not certainty."""
    for a, b in (([1.0], [1.0]), ([1.0, 1.0], [1.0, 1.0]), ([0.5, 0.75], [0.625, 0.875])):
        assert row(a, b, "higher", "share").estimate == Estimate(b[0] - a[0], len(a))
    same = run("em", 0, 1.0, fingerprint="f", values={"fd": RunValue(1.0, "higher", "share")})
    assert metric_rows([Pair((same,), (same,))], "fd")[0].verdict == "no difference shown"


def test_a_file_without_directions_says_what_is_taken() -> None:
    lines = remarks([row([1.0], [2.0], "", "")])
    assert lines[1:] == [
        "fd: its files do not say which values are better; taken as lower",
        "no percentage of fd: its files do not say that it is a distance (value_kind)",
    ]


def test_there_is_no_ratio_of_zero() -> None:
    still = tuple(RunBatch(b.size, b.nfe, 0.0) for b in BATCHES)
    a = run("em", 0, batches=BATCHES)
    for b in (run("em", 0, nfe=0.0, seconds=0.0), run("em", 0, nfe=None, seconds=0.0, batches=still)):
        for pair in (Pair((a,), (b,)), Pair((b,), (a,)), Pair((a, a), (a, b))):
            assert pair_ratios(pair) == Ratios(None, None)


def test_ratios_are_geometric_means() -> None:
    slow = tuple(RunBatch(b.size, 40.0, b.seconds * f) for b, f in zip(BATCHES, (2, 4, 1), strict=True))
    a, b = run("em", 0, batches=BATCHES), run("em", 0, nfe=40.0, seconds=0.8, batches=slow)
    assert pair_ratios(Pair((a,), (b,))) == Ratios(near(2), near(0.5))
    assert pair_ratios(Pair((a,), (run("em", 0, seconds=0.8),))) == Ratios(near(1), near(0.25))
    pairs = [
        Pair((a,), (b,)),
        Pair((a,), (run("em", 0, seconds=0.8),)),
        Pair((a,), (run("em", 0, nfe=None),)),
    ]
    assert overall_ratios(pairs) == Ratios(near(math.sqrt(2)), near((0.5 * 0.25) ** (1 / 3)))


def test_metrics_of_other_reference_data_are_refused() -> None:
    a, b, c = (run("em", 0, values={"fd": RunValue(1.0, basis=Basis({}, {"d": x}))}) for x in "aba")
    with pytest.raises(BenchError, match=r"fd in B is of other data \(d b, not a\)"):
        metric_rows([Pair((a,), (b,))], "fd")
    assert len(metric_rows([Pair((a,), (c,))], "fd")) == 1
    with pytest.raises(BenchError, match=r"no metric is on both sides \(A: fd; B: is\)"):
        common_metrics([Pair((a,), (run("em", 0, values={"is": RunValue(1.0)}),))])


def rests_on(reference: str = OLD, **parameters: Any) -> dict[str, Any]:
    """A value's parameters and data."""
    return {"parameters": {"mode": "clean"} | parameters, "provenance": {"cifar10-train": reference}}


def two_runs(**changes: Any) -> tuple[list[Record], list[Record]]:
    """The record of one cell on both sides, with two metrics; B's first metric has the changes."""
    both = metric_record(3, **rests_on())
    other = metric_record(3, **(rests_on() | changes))
    return (
        [made_up.record(3, metrics={"fid": both, "kid": both})],
        [made_up.record(3, metrics={"fid": other, "kid": both})],
    )


def test_a_metric_of_another_basis_is_not_compared() -> None:
    sides = two_runs(**rests_on(NEW))
    reason = "in B {}of other data (cifar10-train 11111111…, not 00000000…)"
    comparison = compare_sides(*sides)
    assert comparison.b.notes == [
        f"fid is not compared: {reason.format('it is ')}; bench measure computes it anew"
    ]
    assert [row.metric for row in comparison.rows] == ["kid"]
    for names in ({"metrics": ["fid"]}, {"limits": ["fid:5%"]}, {"metrics": ["kid", "fid"]}):
        with pytest.raises(BenchError) as error:
            compare_sides(*sides, **names)  # type: ignore[arg-type]
        message = str(error.value)
        assert message.startswith(f"fid {reason.format('is ')}, and can't be compared with A's: ")
        assert len(message.splitlines()) == 1
    assert not compare_sides(*sides, metrics=["kid"], limits=["kid:5%"]).broken


def test_without_a_comparable_metric_nothing_is_compared() -> None:
    a, b = two_runs(**rests_on(mode="legacy"))
    first, second = (
        [record.model_copy(update={"metrics": {"fid": record.metrics["fid"]}}) for record in side]
        for side in (a, b)
    )
    with pytest.raises(BenchError, match=r"^fid in B is of other parameters \(mode legacy, not clean\)"):
        compare_sides(first, second)


def test_metrics_of_one_basis_are_compared() -> None:
    comparison = compare_sides(*two_runs())
    assert comparison.b.notes == []
    assert {row.metric for row in comparison.rows} == {"fid", "kid"}
    assert [row.verdict for row in comparison.rows] == ["no difference shown"] * 2


def test_a_comparison_is_plain_data_and_html() -> None:
    comparison = compare_sides(*two_runs(value=9.0), limits=["fid:5%"])
    assert comparison.broken
    plain = json.loads(json.dumps(comparison.plain(), allow_nan=False))
    assert [row["broken"] for row in plain["fail_on"]] == [True]
    assert plain["cells"][0]["digest_a"] == made_up.record(3).cell
    assert "<td>fid</td>" in comparison._repr_html_()


def test_a_side_is_a_name_or_records(tmp_path: Path) -> None:
    (record,), other = two_runs()
    path = tmp_path / "a.json"
    path.write_bytes(record.to_json())
    for source in (path, str(path)):
        comparison = compare_sides(source, other, out=tmp_path)
        assert (comparison.a.name, comparison.b.name) == (str(path), "B")
    with pytest.raises(BenchError, match="A has no finished or failed run"):
        compare_sides([], other)
