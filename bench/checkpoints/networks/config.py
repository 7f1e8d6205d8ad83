"""What the configurations of networks share: bounds, checks, and reading from a card."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from bench.errors import BenchError, did_you_mean, first_problem

MOST, MOST_PARAMETERS = 8192, 4_000_000_000
"""Bounds on sizes and channels, and on the parameters of a network; only damaged files exceed them."""

Count = Annotated[int, Field(ge=1, le=MOST)]


class Config(Protocol):
    """A configuration: a dataclass whose annotations bound its values."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


_Config = TypeVar("_Config", bound=Config)


def check_values(config: Config) -> None:
    """Check every value against its field's annotation; `BenchError` where one is out of range."""
    for name, adapter in _adapters(type(config)).items():
        try:
            adapter.validate_python(getattr(config, name), strict=True)
        except ValidationError as error:
            raise BenchError(first_problem(error, name)) from error


@functools.cache
def _adapters(cls: type[Config]) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: TypeAdapter(hints[field.name]) for field in dataclasses.fields(cls)}


def check_sizes(size: int, widths: Sequence[int], blocks: int) -> None:
    """Check the levels of a U-Net.

    Args:
        size: Height and width of the images.
        widths: Channels of each level; each has half the size of the previous one.
        blocks: Residual blocks per level.

    Raises:
        BenchError: The size can't be halved so often, or the network is too large.
    """
    halvings = len(widths) - 1
    if size >> halvings << halvings != size or size >> halvings < 1:
        raise BenchError(f"a size of {size} can't be halved {halvings} times")
    if max(widths) > MOST:
        raise BenchError(f"{max(widths)} channels are more than {MOST}")
    # at least two 3x3 convolutions per block
    count = sum(18 * blocks * width**2 for width in widths)
    if count > MOST_PARAMETERS:
        raise BenchError(f"a network of over {count:.0e} parameters is more than {MOST_PARAMETERS:.0e}")


def read_config(
    cls: type[_Config], table: Mapping[str, Any], published: Mapping[str, _Config], what: str
) -> _Config:
    """Read the [network] table of a card.

    Args:
        cls: The class of the configuration.
        table: ``configuration`` names a published configuration; other keys override its values.
        published: The published configurations by name.
        what: What the configuration is of, for errors.

    Returns:
        The configuration.

    Raises:
        BenchError: A key or a name is unknown, or a value is wrong.
    """
    values = dict(table)
    base = values.pop("configuration", None)
    if base is not None and (not isinstance(base, str) or base not in published):
        raise BenchError(f"unknown configuration {base!r}{did_you_mean(str(base), published)}")
    known = {field.name for field in dataclasses.fields(cls)}
    for key in values:
        if key not in known:
            raise BenchError(f"unknown key {key!r} of {what}{did_you_mean(key, known)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return dataclasses.replace(published[base] if base else cls(), **values)
