"""Parameters of plugins: typed dataclass fields with help text.

A plugin is a frozen dataclass. From its fields come the command-line options, the validation, the
listing and the record, so that a parameter is written down once.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar, dataclass_transform

from bench.errors import BenchError, did_you_mean

T = TypeVar("T")


def param(
    *,
    default: T,
    help: str,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
) -> T:
    """A dataclass field with help text and an allowed range: ``low <= v <= high``, ``v > above``."""
    metadata = {"help": help, "low": low, "high": high, "above": above}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What is known of one parameter: its name, type as text, default, help and range."""

    name: str
    type: str
    default: Any
    help: str
    range: str


@dataclass_transform(frozen_default=True, field_specifiers=(param,))
class Plugin(ABC):
    """Base of every role: subclasses become frozen dataclasses of their annotated fields.

    ``name`` is what users type. Field values are checked on construction; a wrong one raises
    `BenchError` naming the parameter.
    """

    name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose version decides the numbers; they go into the fingerprint."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in _fields(type(self)):
            value = _checked(field, hints[field.name], getattr(self, field.name), self.name)
            object.__setattr__(self, field.name, value)

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """The parameters in the order of their definition."""
        hints = _hints(cls)
        return [
            Parameter(f.name, _type_name(hints[f.name]), f.default, f.metadata.get("help", ""), _range(f))
            for f in _fields(cls)
        ]

    @classmethod
    def member(cls, name: str) -> type[Self]:
        """The plugin called ``family:name``, of a class that is registered as ``family:<…>``.

        `BenchError` where there is no such member, or what it needs is not installed.
        """
        raise BenchError(f"{cls.name} has no member {name!r}")

    @classmethod
    def build(cls, given: Mapping[str, Any]) -> Self:
        """Make the plugin from ``given``; texts (from the command line) are read by the field's type."""
        known = {p.name for p in cls.parameters()}
        for key in given:
            if key not in known:
                raise BenchError(f"{cls.name} has no parameter {key!r}{did_you_mean(key, known)}")
        return cls(**given)

    def values(self) -> dict[str, Any]:
        """The parameters' values by name: what goes into the record and the fingerprint."""
        return {f.name: getattr(self, f.name) for f in _fields(type(self))}


def _fields(cls: type[Plugin]) -> list[dataclasses.Field[Any]]:
    return list(dataclasses.fields(cls))  # type: ignore[arg-type]


@functools.cache
def _hints(cls: type[Plugin]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "|".join(str(a) for a in typing.get_args(hint))
    if _is_union(hint):
        return " or ".join(_type_name(a) for a in typing.get_args(hint))
    return "none" if hint is types.NoneType else str(getattr(hint, "__name__", hint))


def _is_union(hint: Any) -> bool:
    """``int | None``, and ``int | Literal["all"]``, which Python makes a `typing.Union` of."""
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _range(field: dataclasses.Field[Any]) -> str:
    bounds = {"low": ">=", "above": ">", "high": "<="}
    return ", ".join(
        f"{sign} {field.metadata[key]:g}"
        for key, sign in bounds.items()
        if field.metadata.get(key) is not None
    )


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any, owner: str) -> Any:
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    for option in options:
        converted = _convert(option, value)
        if converted is not _WRONG:
            break
    else:
        raise BenchError(f"{owner}.{field.name} must be {_type_name(hint)}, not {value!r}")
    if isinstance(converted, int | float) and not isinstance(converted, bool):
        low, high, above = (field.metadata.get(k) for k in ("low", "high", "above"))
        finite = converted == converted and abs(converted) != float("inf")
        if (
            not finite
            or (low is not None and converted < low)
            or (high is not None and converted > high)
            or (above is not None and converted <= above)
        ):
            raise BenchError(f"{owner}.{field.name} must be {_range(field) or 'finite'}, not {value!r}")
    return converted


_WRONG = object()


def _convert(hint: Any, value: Any) -> Any:
    """``value`` as the type ``hint``, read from text where it is text; `_WRONG` where it can't be."""
    if typing.get_origin(hint) is Literal:
        return value if value in typing.get_args(hint) else _WRONG
    if hint is types.NoneType:
        return None if value is None or value == "none" else _WRONG
    if hint is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False}.get(str(value).lower(), _WRONG)
    if hint is str:
        return value if isinstance(value, str) else _WRONG
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _WRONG
    try:
        if hint is int:
            return int(value) if isinstance(value, str) or float(value).is_integer() else _WRONG
        if hint is float:
            return float(value)
    except (ValueError, OverflowError):
        pass
    return _WRONG


def slug(value: Any) -> str:
    """A parameter's value as part of a file name: letters, digits, dot, underscore."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")
