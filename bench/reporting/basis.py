"""What a metric's value rests on, and how two of them differ: values of different bases do not compare."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

    from bench.results.record import MetricRecord


@dataclasses.dataclass(frozen=True)
class Basis:
    """The parameters of a metric that decide its value, and the hashes of the data it was computed from."""

    parameters: Mapping[str, JsonValue] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, record: MetricRecord) -> Basis:
        """The basis of a recorded value."""
        return cls(record.parameters, record.provenance)

    @property
    def key(self) -> str:
        """Text that is equal for equal bases, for counting."""
        return json.dumps([dict(self.parameters), dict(self.provenance)], sort_keys=True)


def difference(one: Basis | None, other: Basis | None) -> str:
    """How one basis differs from another, in words; empty where they are equal or one is unknown (None)."""
    if one is None or other is None:
        return ""
    parts = [
        _difference("other parameters", one.parameters, other.parameters),
        _difference("other data", one.provenance, other.provenance),
    ]
    return " and ".join(part for part in parts if part)


def _difference(label: str, one: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> str:
    names = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    texts = [f"{name} {_short(one.get(name))}, not {_short(other.get(name))}" for name in names]
    return f"{label} ({'; '.join(texts)})" if texts else ""


def _short(value: JsonValue) -> str:
    text = "unknown" if value is None else str(value)
    return f"{text[:8]}…" if re.fullmatch("[0-9a-f]{32,}", text) else text
