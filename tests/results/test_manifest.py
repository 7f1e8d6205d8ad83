"""The typed model of a planned suite."""

from __future__ import annotations

import json

import pytest

from bench.results.identity import with_checksum
from bench.results.manifest import PlannedRun, SuitePlan
from bench.types import JSONObject
from tests.support.made_up import suite_plan


def planned(column: str, seed: int, sampler: str = "s") -> PlannedRun:
    """A run at a place; its fingerprint follows from its sampler and seed."""
    return PlannedRun(
        sde="vp",
        row="r",
        column=column,
        seed=seed,
        title=column,
        fingerprint=f"{column}-{sampler}-{seed}",
        sampler=f"{column}-{sampler}",
    )


def plan(*runs: PlannedRun, metrics: tuple[str, ...] = ("fd",)) -> SuitePlan:
    """A plan of these runs."""
    return SuitePlan(
        suite="mine",
        name="net-8",
        checkpoint="net",
        samples=8,
        batch_size=4,
        precision="fp32",
        metrics=metrics,
        cells=runs,
    )


def test_a_plan_is_read_as_it_was_written() -> None:
    shipped = suite_plan("table1")
    assert SuitePlan.from_json(shipped.to_json()) == shipped
    assert shipped.published_of


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", r"another version of bench \(schema None, not 1\)"),
        (b'{"schema_version": 9}', r"another version of bench \(schema 9, not 1\)"),
        (b'{"schema_version": 1}', "suite: Field required"),
    ],
)
def test_what_is_no_plan_is_reported_in_a_line(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SuitePlan.from_json(content)


def test_a_plan_takes_in_the_other_seeds_of_an_earlier_one() -> None:
    merged, dropped = plan(planned("P", 1)).merged_with(plan(planned("P", 0), metrics=("fd", "fid")))
    assert [run.seed for run in merged.cells] == [0, 1]
    assert merged.metrics == ("fd", "fid")
    assert dropped == 0


def test_runs_of_other_settings_are_dropped_with_the_metrics_of_them_alone() -> None:
    previous = plan(planned("P", 0, "old"), planned("Q", 0), metrics=("fid",))
    merged, dropped = plan(planned("P", 0), planned("Q", 1)).merged_with(previous)
    assert [run.fingerprint for run in merged.cells] == ["P-s-0", "Q-s-0", "Q-s-1"]
    assert dropped == 1
    assert merged.metrics == ("fd", "fid")


def test_a_place_that_is_planned_no_more_is_dropped() -> None:
    merged, dropped = plan(planned("P", 0)).merged_with(plan(planned("P", 0), planned("gone", 0)))
    assert [run.column for run in merged.cells] == ["P"]
    assert dropped == 1
    assert merged.metrics == ("fd",)


def test_a_plan_of_earlier_versions_is_read_without_its_figures() -> None:
    """They held published figures by place, whatever the checkpoint and the metric."""
    figure: JSONObject = {"sde": "vp", "row": "ddim", "column": "P", "quantity": "fid", "value": 3.2}
    plain = json.loads(suite_plan("table1").to_json())
    del plain["published_of"]
    earlier = with_checksum({**plain, "published": [figure]})
    assert SuitePlan.from_json(earlier) == suite_plan("table1").model_copy(update={"published_of": ()})


@pytest.mark.parametrize("key", ["suite", "name", "x", "checkpoint", "metrics", "fingerprint"])
@pytest.mark.parametrize("name", ["../x", "/tmp/x", "..", "", "a\x1b[2J"])
def test_a_name_that_makes_no_safe_path_is_refused_in_a_line(key: str, name: str) -> None:
    plain = json.loads(plan(planned("c", 0)).to_json())
    if key == "fingerprint":
        plain["cells"][0][key] = name
    else:
        plain[key] = [name] if key == "metrics" else name
    with pytest.raises(ValueError, match=key) as caught:
        SuitePlan.from_json(json.dumps(plain).encode())
    assert "can't be a name" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_metric_that_a_run_cannot_have_stays_so_in_a_merged_plan() -> None:
    """A plan with another metric knows nothing of what the earlier one found."""
    run = planned("P", 0)
    previous = plan(run.model_copy(update={"unfit": ("flow_error",)}), metrics=("fd", "flow_error"))
    merged, _ = plan(run, metrics=("fid",)).merged_with(previous)
    assert merged.metrics == ("fid", "fd", "flow_error")
    assert [one.unfit for one in merged.cells] == [("flow_error",)]


@pytest.mark.parametrize("name", ["records", "samples", "Images", "logs", "suites", "runs.csv"])
def test_a_plan_called_as_the_store_s_own_folders_is_refused(name: str) -> None:
    plain = json.loads(suite_plan("nfe").to_json()) | {"suite": name}
    with pytest.raises(ValueError, match=f"a suite can't be called {name}: take none of samples, records"):
        SuitePlan.from_json(with_checksum(plain))
