"""Made-up runs of a comparison."""

from __future__ import annotations

from typing import Any

import pytest

from bench.reporting.compare.comparison import metric_rows
from bench.reporting.compare.pairing import Pair, Run, RunBatch, RunValue
from bench.reporting.compare.rows import Row

BATCHES = (RunBatch(16, 20.0, 2.0), RunBatch(16, 20.0, 4.0), RunBatch(8, 20.0, 1.0))


def near(value: float) -> Any:
    """Equal but for rounding."""
    return pytest.approx(value, rel=1e-9)


def run(sampler: str, seed: int, value: float = 1.0, **changes: Any) -> Run:
    """A finished run of a sampler; cells differ in sampler and samples."""
    fields: dict[str, Any] = {"samples": 40, "values": {"fd": RunValue(value, "lower", "distance")}}
    fields |= {"batch_size": 16, "device": "cpu AVX2", "precision": "fp32"}
    fields |= {"nfe": 20.0, "seconds": 0.2, "title": f"net · vp · {sampler}"} | changes
    return Run(cell=f"{sampler}/{fields['samples']}", seed=seed, **fields)


def row(a: list[float], b: list[float], direction: Any = "lower", kind: Any = "distance") -> Row:
    """The row of one cell with these values per seed."""
    x, y = (
        tuple(run("em", s, values={"fd": RunValue(v, direction, kind)}) for s, v in enumerate(side))
        for side in (a, b)
    )
    return metric_rows([Pair(x, y)], "fd")[0]
