"""Limits of a comparison: by how much B may be worse than A."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from bench.errors import BenchError
from bench.reporting.compare.rows import Row


@dataclasses.dataclass(frozen=True)
class Limit:
    """By how much B may be worse: ``amount`` in the metric's units, or relative to a cost or distance A."""

    text: str
    metric: str
    amount: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Limit:
        """``METRIC:X%`` or ``METRIC:X``; `BenchError` for anything else."""
        metric, _, amount = text.rpartition(":")
        number = amount.strip().removesuffix("%")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not metric or not 0 <= value < math.inf:
            raise BenchError(
                f"--fail-on takes METRIC:X or METRIC:X% with X at least 0 (fd_dct:0.1, nfe:5%), not {text!r}"
            )
        relative = amount.strip().endswith("%")
        return cls(text, metric.strip(), value / 100 if relative else value, relative)

    def broken_by(self, row: Row) -> bool:
        """Whether B is worse by more than the limit, and not by chance alone: the cell's own interval,
        where it has one, excludes zero."""
        interval = row.estimate.interval
        return self.exceeded_by(row) and (interval is None or interval[0] > 0 or interval[1] < 0)

    def exceeded_by(self, row: Row) -> bool:
        """Whether B is worse by more than the limit, be it by chance."""
        if not self.relative:
            return row.worse_by > self.amount
        self.check((row,))
        return row.worse_by > self.amount * (row.percent_base or 0.0)

    def check(self, rows: Sequence[Row]) -> None:
        """`BenchError` for a percentage of values that have none."""
        row = next((row for row in rows if self.relative and row.why_no_percentage), None)
        if row is None:
            return
        # where A is 0 there is B, and where both are, B may not be worse at all
        size = self.amount * (max(abs(one.a) for one in rows) or max(abs(one.b) for one in rows))
        amount = f"{self.metric}:{size:.2g}"
        raise BenchError(
            f"--fail-on {self.text}: no percentage of {row.metric} in {row.pair.title} "
            f"(A: {row.a:.4g}): {row.why_no_percentage}; give an absolute amount, such as --fail-on {amount}"
        )


@dataclasses.dataclass(frozen=True)
class LimitCheck:
    """A limit and the rows of its metric."""

    limit: Limit
    rows: list[Row]

    @property
    def broken(self) -> list[Row]:
        """Rows that break the limit."""
        return [row for row in self.rows if self.limit.broken_by(row)]

    @property
    def exceeded_by_chance(self) -> list[Row]:
        """Rows that exceed the limit while their interval includes zero."""
        return [row for row in self.rows if self.limit.exceeded_by(row) and not self.limit.broken_by(row)]
