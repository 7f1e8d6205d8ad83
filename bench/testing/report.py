"""The report of a conformance check."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar

from bench.errors import one_line
from bench.types import JSONObject, JSONValue

Status = Literal["pass", "fail", "info"]
Numbers = Mapping[str, float | Sequence[float] | None]
"""Measured figures by name."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        name: Name of the check.
        status: ``pass``, ``fail``, or ``info`` for a check that requires nothing.
        measured: The measured result, in words.
        required: The required result, in words; empty with ``info``.
        numbers: The measured numbers by name; None for one that could not be measured.
        power: The size of mistake that the check finds, in words; empty where it has none.
    """

    name: str
    status: Status
    measured: str
    required: str = ""
    numbers: Numbers = dataclasses.field(default_factory=dict)
    power: str = ""


@dataclasses.dataclass(frozen=True)
class Point:
    """A sampler's relative error after a number of network calls on one SDE: a point of the plot.

    Args:
        sampler: Name of the sampler.
        sde: Name of the SDE.
        steps: Number of steps.
        nfe: Network calls per sample.
        error: Relative error of the result.
    """

    sampler: str
    sde: str
    steps: int
    nfe: int
    error: float


@dataclasses.dataclass
class Report:
    """The findings on one plugin, and the curves of its plot.

    Args:
        role: The plugin's role, ``predictor`` and so on.
        name: The plugin's name.
        parameters: Values of its parameters by name.
        findings: One finding per check, in order.
        points: Errors against network calls, of the sampler and of built-in ones; empty for other roles.
    """

    role: str
    name: str
    parameters: JSONObject = dataclasses.field(default_factory=dict)
    findings: list[Finding] = dataclasses.field(default_factory=list)
    points: list[Point] = dataclasses.field(default_factory=list)

    @property
    def failures(self) -> list[Finding]:
        """The checks that failed."""
        return [finding for finding in self.findings if finding.status == "fail"]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    def plain(self) -> JSONObject:
        """The report as JSON data.

        Returns:
            The fields and ``passed``; numbers that are NaN or infinite become null.
        """
        return {
            "role": self.role,
            "name": self.name,
            "passed": self.passed,
            "parameters": _json(self.parameters),
            "findings": [_json(dataclasses.asdict(finding)) for finding in self.findings],
            "points": [_json(dataclasses.asdict(point)) for point in self.points],
        }

    def __str__(self) -> str:
        """A line for the plugin and one for each finding."""
        lines = [
            f"  {finding.status:4} {finding.name}: {finding.measured}"
            + (f" (required: {finding.required})" if finding.required else "")
            for finding in self.findings
        ]
        return "\n".join([f"{self.role} {self.name}", *lines])


def _json(value: object) -> JSONValue:
    if isinstance(value, Mapping):
        return {str(key): _json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{value!r} is not JSON")


def verdict(
    name: str, good: bool, measured: str, required: str, **numbers: float | Sequence[float] | None
) -> Finding:
    """A finding that passes or fails."""
    return Finding(name, "pass" if good else "fail", measured, required, numbers)


def error_text(error: BaseException) -> str:
    """An error's type and message in a line."""
    return f"{type(error).__name__}: {one_line(error)}"


T = TypeVar("T", Finding, Finding | Point)


def guard(name: str, check: Callable[[], Iterator[T]]) -> Iterator[T | Finding]:
    """The findings of ``check``; an exception in it is the plugin's failure under that name."""
    try:
        yield from check()
    except Exception as error:
        yield Finding(name, "fail", error_text(error), "no error")
