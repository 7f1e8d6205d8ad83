"""Types shared by all rooms. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor as Tensor
else:
    Tensor = Any
    """A PyTorch tensor. At run time the name stands for any object: this module does not import torch."""

Array = NDArray[np.float64]
"""A NumPy array of float64, of any shape."""

Precision = Literal["fp32", "tf32", "bf16"]
"""What a network computes in: float32, float32 with TensorFloat-32 products, or bfloat16."""

PrecisionChoice = Literal["auto", "fp32", "tf32", "bf16"]
"""What a user asks for: a precision, or ``auto``, which `bench.devices.choose_precision` decides."""

ClassLabels = Literal["seed", "turn"] | Annotated[int, Field(ge=0, lt=8192)]
"""The classes that a class-conditional network is given: drawn uniformly from a stream of the seed; sample
number i of class i mod their number; or one class, by its index."""

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"
"""What JSON can hold."""

JSONObject: TypeAlias = "dict[str, JSONValue]"
"""A JSON object."""


def several_texts(value: str | Sequence[str]) -> tuple[str, ...]:
    """Several texts; a single one stands for itself, not for its letters."""
    return (value,) if isinstance(value, str) else tuple(value)
