"""What a conformance check finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

Status = Literal["pass", "fail", "info"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check: what was measured, what is required (nothing where it only informs), and the figures."""

    name: str
    status: Status
    measured: str
    required: str = ""
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Point:
    """A sampler's error after so many network calls, on one SDE: a point of the plot."""

    sampler: str
    sde: str
    steps: int
    nfe: int
    error: float


@dataclasses.dataclass
class Report:
    """All findings on one plugin, and the curves of its plot."""

    role: str
    name: str
    findings: list[Finding] = dataclasses.field(default_factory=list)
    points: list[Point] = dataclasses.field(default_factory=list)

    @property
    def failures(self) -> list[Finding]:
        """What did not pass."""
        return [one for one in self.findings if one.status == "fail"]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "role": self.role,
            "name": self.name,
            "passed": self.passed,
            "findings": [dataclasses.asdict(one) for one in self.findings],
            "points": [dataclasses.asdict(one) for one in self.points],
        }


Check = Callable[[], Iterator[Finding]]


def judged(name: str, good: bool, measured: str, required: str, **numbers: Any) -> Finding:
    """A finding that passes or fails."""
    return Finding(name, "pass" if good else "fail", measured, required, numbers)


def guarded(name: str, check: Check) -> Iterator[Finding]:
    """The findings of ``check``; what it raises is the plugin's failure, in a line."""
    try:
        yield from check()
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        yield Finding(name, "fail", said, "no error")
