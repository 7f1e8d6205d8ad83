"""One pass of metrics over batches: records, values that are not finite, options that decide nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench import (
    BatchContext,
    BenchError,
    Card,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Sampler,
    Task,
    Tensor,
    param,
)
from bench.engine.measuring import measure_batches, with_parts
from bench.plan.measured import has_metric
from tests.support import made_up
from tests.support.metrics import metric_context
from tests.support.plugins import installed


class _Mean(MetricState):
    def __init__(self, metric: Mean) -> None:
        self.metric = metric
        self.values: list[float] = []

    def update(self, images: Tensor, weights: Tensor) -> None:  # type: ignore[override]
        self.values += (images.flatten(1).mean(dim=1) * weights).tolist()

    def compute(self) -> MetricResult:
        n = len(self.values)
        value = self.metric.scale * math.fsum(self.values) / n
        details: dict[str, Any] = {"worst": math.inf, "pairs": [(1, math.nan)]}
        return MetricResult(value, n, math.nan, details=details)

    def leave_one_out(self) -> list[float]:
        return [1.0, math.nan]


class Mean(Metric):
    """The weighted mean."""

    name = "mean"
    inputs = ("images", "weights")
    min_samples = 5
    bias = "none"
    axis = "linear"

    scale: float = param(default=1.0, help="a factor")
    replicates: int = param(default=0, help="replicates of an interval", decides=False)

    def start(self, context: MetricContext) -> MetricState:
        return _Mean(self)

    def provenance(self, context: MetricContext) -> dict[str, str]:
        return {"data": "0123"}


def batches(value: float = 1.0) -> Iterator[dict[str, Tensor]]:
    """Batches of two and of one sample."""
    for n in (2, 1):
        yield {
            "images": torch.full((n, 1, 2, 2), value),
            "weights": torch.full((n,), 2.0),
            "more": torch.ones(n),
        }


def test_a_record_holds_what_decides_the_value() -> None:
    metric = Mean(scale=3.0, replicates=40)
    sizes: list[int] = []
    records = measure_batches(
        [metric, Mean()], batches(), metric_context(), lambda batch: sizes.append(len(batch["more"]))
    )
    assert sizes == [2, 1]
    assert list(records) == [metric.label, "mean"]
    record = records[metric.label]
    assert (record.metric, record.value, record.n) == ("mean", 6.0, 3)
    assert record.parameters == {"scale": 3.0}
    assert record.provenance == {"data": "0123"}
    assert (record.note, record.direction, record.bias) == ("n below 5", "lower", "none")
    assert record.axis == "linear"
    # strict JSON has no NaN and no infinity
    assert (record.error, record.leave_one_out) == (None, ())
    assert record.details == {"worst": None, "pairs": [[1, None]], "options": {"replicates": 40}}
    assert "options" not in records["mean"].details


def test_a_record_is_current_for_the_same_parameters_options_and_data() -> None:
    context = metric_context()
    record = measure_batches([Mean(replicates=40)], batches(), context)[Mean(replicates=40).label]
    assert has_metric(record, Mean(replicates=40), context)
    assert not has_metric(record, Mean(), context)
    assert not has_metric(record, Mean(scale=2.0, replicates=40), context)
    assert not has_metric(record.model_copy(update={"provenance": {}}), Mean(replicates=40), context)
    assert not has_metric(None, Mean(), context)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_one_line_that_names_the_metric(value: float) -> None:
    with pytest.raises(BenchError, match=rf"^mean is {value:g} on 3 samples: not a finite number$"):
        measure_batches([Mean()], batches(value), metric_context())


class Immeasurable(Metric):
    """NaN, or an error of the metric's own, of any samples."""

    name = "immeasurable"

    raises: bool = param(default=False, help="whether it raises")

    def start(self, context: MetricContext) -> MetricState:
        return _Immeasurable(self)


class _Immeasurable(MetricState):
    def __init__(self, metric: Immeasurable) -> None:
        self.metric, self.n = metric, 0

    def update(self, images: Tensor) -> None:
        self.n += len(images)

    def compute(self) -> MetricResult:
        if self.metric.raises:
            raise ZeroDivisionError("no samples\nleft")
        return MetricResult(math.nan, self.n)


class Unbounded(Task):
    """Its exact value is infinite."""

    name = "unbounded"

    def exact(self, card: Card, sampler: Sampler) -> dict[str, float]:
        return {"fd_dct": math.inf}

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        return {"images": batch.sample()}


def strict_json(text: str) -> Any:
    """JSON without NaN and infinities."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


QUICK: dict[str, Any] = {"checkpoint": "gaussian-cifar10", "steps": 30, "samples": 8, "batch_size": 4}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": Immeasurable}, "immeasurable is nan on 8 samples: not a finite number"),
        ({"metric": Immeasurable(raises=True)}, "ZeroDivisionError: no samples left (metric immeasurable"),
        ({"task": Unbounded}, "not JSON compliant"),
    ],
)
def test_what_json_cannot_hold_fails_its_run_and_is_in_no_record(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    for seed, selection in enumerate(({}, changes)):
        bench.run(**QUICK, **selection, seed=seed, device="cpu", out=tmp_path, registry=installed())
    contents = [strict_json(path.read_text()) for path in (tmp_path / "records").iterdir()]
    failed, finished = sorted(contents, key=lambda content: str(content["status"]))
    assert (failed["status"], finished["status"]) == ("failed", "finished")
    assert reason in failed["reason"]
    assert "\n" not in failed["reason"]
    assert Path(failed["log"]).read_text().startswith("Traceback")


def test_values_of_divided_calls_are_marked() -> None:
    records = {"fd": made_up.metric_record(note="few samples"), "kid": made_up.metric_record(note="")}
    assert with_parts(records, [None, None]) == records
    marked = with_parts(records, [None, 8, 4])
    note = "the network was called for 4 samples at a time, for want of memory: equal to rounding"
    assert [one.note for one in marked.values()] == [f"few samples; {note}", note]
