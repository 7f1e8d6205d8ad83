"""Which runs of two sides are paired."""

from __future__ import annotations

import pytest

from bench import BenchError
from bench.metrics.blocks import jackknife_groups
from bench.reporting.basis import Basis
from bench.reporting.compare.pairing import Pair, Run, RunBatch, RunValue, Side, incomparable_metrics, pair
from tests.support.compared import near, run


def test_runs_are_paired_by_cell_and_seed() -> None:
    a = [run("em", s, s) for s in (2, 0, 1)] + [run("rd", 0), run("rk45", 0), run("em", 0, samples=99)]
    b = [run("em", s, 10 + s) for s in (1, 2, 3)]
    b += [run("rd", 1), run("heun", 0), run("rk45", 0, status="failed", reason="NaN")]
    pairing = pair(Side("a", a), Side("b", b))
    (both,) = pairing.pairs
    assert [r.seed for r in both.a] == [r.seed for r in both.b] == [1, 2]
    assert [r.values["fd"].value for r in (*both.a, *both.b)] == [1, 2, 11, 12]
    assert pairing.only_a == ["net · vp · em · 99 samples"]
    assert pairing.only_b == ["net · vp · heun · 40 samples"]
    assert pairing.failed_a == []
    assert [r.failure for r in pairing.failed_b] == ["net · vp · rk45 · seed 0: NaN"]
    assert pairing.newly_failed == pairing.failed_b
    assert pairing.other_seeds == ["net · vp · rd · 40 samples (A: 0; B: 1)"]


def test_titles_pair_nothing() -> None:
    """Two cells of one title stay apart; a cell of two titles is one."""
    a = [run("em", 0, title="one"), run("rd", 0, title="two")]
    b = [run("em", 0, title="two"), run("heun", 0, title="one")]
    pairing = pair(Side("a", a), Side("b", b))
    assert [(p.a[0].cell, p.b[0].cell) for p in pairing.pairs] == [("em/40", "em/40")]
    assert (pairing.only_a, pairing.only_b) == (["two · 40 samples"], ["one · 40 samples"])


def test_one_cell_on_each_side_is_a_pair_whatever_the_samplers() -> None:
    (both,) = pair(Side("a", [run("em", 0), run("em", 1)]), Side("b", [run("rd", 1)])).pairs
    assert (both.title, both.a[0].seed) == ("net · vp · em → net · vp · rd", 1)


@pytest.mark.parametrize(
    ("a", "b", "message"),
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
def test_nothing_to_pair_says_why(a: list[Run], b: list[Run], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        pair(Side("a", a), Side("b", b))


def test_a_failure_on_both_sides_is_not_new() -> None:
    a = [run("em", 0), run("rd", 0, status="failed", reason="NaN at 7")]
    b = [run("em", 0), run("rd", 0, status="failed", reason="NaN at 9")]
    assert pair(Side("a", a), Side("b", b)).newly_failed == []


def test_groups_of_batches_and_costs_without_them() -> None:
    batches = tuple(RunBatch(16, 20.0 + i % 3, 1.0 + i) for i in range(40))
    whole = run("em", 0, batches=batches)
    assert whole.group_sizes() == [16 * len(g) for g in jackknife_groups(40)]
    rest = [b for i, b in enumerate(batches) if i not in jackknife_groups(40)[5]]
    for cost, expected in (("nfe", sum(b.nfe for b in rest)), ("seconds", sum(b.seconds for b in rest) / 16)):
        figure = whole.value(cost)
        assert figure is not None
        assert figure.without[5] == near(expected / len(rest))


def test_metrics_of_other_reference_data_do_not_compare() -> None:
    a, b, unknown = (
        run("em", 0, values={"fd": RunValue(1.0, basis=basis)})
        for basis in (Basis({}, {"d": "a"}), Basis({}, {"d": "b"}), None)
    )
    assert incomparable_metrics([Pair((a,), (b,))]) == {"fd": "other data (d b, not a)"}
    assert incomparable_metrics([Pair((a,), (a,)), Pair((a,), (unknown,))]) == {}
