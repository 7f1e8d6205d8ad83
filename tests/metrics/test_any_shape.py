"""Every metric on samples of any shape, of every task that returns what it reads: refused at planning, or a
value."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from bench import BenchError, Metric, Task
from bench.metrics.features import check_metric
from tests.support.metrics import context_of
from tests.support.plugins import installed

SHAPES = [(2,), (1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)]
N = 24
ELSEWHERE = ("conditional_fd", *(f"{name}-pixels-them" for name in ("kid", "precision", "recall")))
"""Labels of metrics whose values at 3x32x32 take seconds and have other tests, as fd on pixels has."""
INCEPTION = ("fid", "inception_score")
"""Metrics whose weights would be fetched."""
ANY_SHAPE = {
    "flow_error",
    "known_error",
    "latent_correlation",
    "latent_difference",
    "latent_fd",
    "mmd",
    "bits_per_dim",
    "round_trip",
    "sliced_wasserstein",
}


def metrics() -> list[Metric]:
    """Every installed metric, those of features on each extractor that needs no download."""
    every = []
    for entry in installed().of_kind("metrics"):
        names = {parameter.name for parameter in entry.thing.parameters()}
        reference = {"reference": "them"} if "reference" in names else {}
        extractors = ["pixels", "cifar10-features"] if "extractor" in names else []
        for values in [{"extractor": one} for one in extractors] or [{}]:
            every.append(entry.thing.build(reference | values))
    return every


def outputs(shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Made-up outputs of all tasks."""
    generator = torch.Generator().manual_seed(0)
    items = torch.rand(4, N, *shape, generator=generator)
    channels = torch.eye(shape[0]).expand(N, -1, -1)
    return {
        "images": items[0],
        "original": items[0][::4].repeat_interleave(4, dim=0),
        "known": (items[1][:1] > 0.5).expand(N, *shape),
        "axes": channels,
        "labels": torch.arange(N) % 10,
        "latents": items[1],
        "other_latents": items[2],
        "bits_per_dim": torch.rand(N, generator=generator),
        "round_trip": torch.rand(N, generator=generator),
        "fine": items[2],
        "coarse": items[3],
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_metric_refuses_at_planning_or_has_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    context = context_of(torch.rand(40, *shape, generator=torch.Generator().manual_seed(1)))
    by_name = outputs(shape)
    every = metrics()
    if shape == (3, 32, 32):
        every = [one for one in every if one.label not in (*ELSEWHERE, "fd-them-pixels")]
    measured: set[str] = set()
    refused: dict[str, str] = {}
    for metric in every:
        for name in installed().names("tasks"):
            task: Task = installed().build("tasks", name, {})
            if not set(metric.inputs) <= set(task.outputs):
                continue
            try:
                check_metric(metric, task, shape, N, context)
                if metric.name not in INCEPTION:
                    metric.provenance(context)
            except BenchError as error:
                refused[metric.label] = str(error)
        if metric.label in refused or metric.name in INCEPTION:
            continue
        if metric.name == "known_error" and len(shape) != 3:
            continue  # the tasks that it reads take images alone
        state = metric.start(context)
        further = ("fine", "coarse") if metric.has_companions() else ()
        for part in (slice(0, 8), slice(8, N)):
            state.update(*(by_name[name][part] for name in (*metric.inputs, *further)))
        result = state.compute()
        assert math.isfinite(result.value), metric.label
        assert result.n == N, metric.label
        measured.add(metric.name)
    assert not any("\n" in line for line in refused.values())
    assert measured | ({"known_error"} if len(shape) == 1 else set()) >= ANY_SHAPE
    assert all(name in refused or len(shape) == 3 for name in ("fid-them", "inception_score"))
    assert ("fd" in measured) == (math.prod(shape) <= 4096)
    assert {"kid", "precision", "recall"} <= measured or math.prod(shape) > 4096
    assert ("fd_dct" in measured) == (len(shape) == 3)
    assert ("fd_cifar10" in measured) == (shape == (3, 32, 32))


def test_too_few_samples_are_refused_at_planning() -> None:
    context = context_of(torch.rand(40, 3, 32, 32))
    task: Task = installed().build("tasks", "generate", {})
    least = {"fd_cifar10": 2, "fd_dct": 2, "class_score": 20, "sliced_wasserstein": 2, "mmd": 2}
    for name, count in least.items():
        metric: Metric = installed().build("metrics", name, {})
        check_metric(metric, task, (3, 32, 32), count, context)
        with pytest.raises(
            BenchError, match=f"{name} needs at least {count} samples, not {count - 1}: raise"
        ):
            check_metric(metric, task, (3, 32, 32), count - 1, context)
