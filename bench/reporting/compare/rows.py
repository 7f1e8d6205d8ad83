"""A row of a comparison: a metric of one pair of runs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from bench.metrics.role import ValueKind
from bench.reporting.compare.pairing import Pair
from bench.reporting.compare.statistics import Estimate

if TYPE_CHECKING:
    from bench.types import JSONObject

NO_INTERVAL = "–"
"""The verdict where there is no interval."""
NO_PERCENTAGE = {
    "estimate": "it is an estimate that can be negative",
    "share": "it is a share already",
    "score": "it is a score, whose zero means nothing",
    "": "its files do not say that it is a distance (value_kind)",
}
"""Why a percentage of a value of each kind has no meaning."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A metric of one pair: the means over the common seeds and their difference B - A.

    ``kind`` is what the values are, empty where the sources do not know it. ``percent_base`` is ``a`` where a
    percentage of it has a meaning: a cost, or a distance that is more than its 95 % error from zero; else
    None. ``p_holm`` is the p value adjusted over all rows of the metric; None where there is no test.
    """

    pair: Pair
    metric: str
    direction: Literal["lower", "higher"]
    seeds: list[int]
    a: float
    b: float
    estimate: Estimate
    p_holm: float | None
    note: str
    kind: ValueKind | Literal["cost", ""] = ""
    percent_base: float | None = None

    @property
    def relative(self) -> float | None:
        """(B - A) / A; None where a percentage of A has no meaning."""
        return None if self.percent_base is None else self.estimate.difference / self.percent_base

    @property
    def why_no_percentage(self) -> str:
        """Why a percentage of A has no meaning; empty where it has one."""
        if self.percent_base is not None:
            return ""
        return NO_PERCENTAGE.get(self.kind, "A's value lies within its error of zero")

    @property
    def worse_by(self) -> float:
        """By how much B is worse than A; negative where it is better."""
        return -self.estimate.difference if self.direction == "higher" else self.estimate.difference

    @property
    def verdict(self) -> str:
        """At 5 %, over all rows of the metric (Holm)."""
        if self.p_holm is None:
            return NO_INTERVAL
        if self.p_holm >= 0.05:
            return "no difference shown"
        return "B worse" if self.worse_by > 0 else "B better"

    def plain(self) -> JSONObject:
        """The row as plain data."""
        interval = self.estimate.interval
        return {
            "cell": self.pair.title,
            "samples": self.pair.samples,
            "metric": self.metric,
            "direction": self.direction,
            "value_kind": self.kind or None,
            "seeds": list(self.seeds),
            "a": self.a,
            "b": self.b,
            "relative": self.relative,
            "p_holm": self.p_holm,
            "verdict": self.verdict,
            "note": self.note,
            "difference": self.estimate.difference,
            "n": self.estimate.n,
            "over": self.estimate.over or None,
            "paired": self.estimate.paired,
            "error": self.estimate.error,
            "interval": None if interval is None else list(interval),
            "p": self.estimate.p,
        }
