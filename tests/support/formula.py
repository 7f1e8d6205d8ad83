"""Weights by a formula: what `fixtures/` recorded of a public network needs no weights beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.support.paths import FIXTURES_PATH

FIXTURES = FIXTURES_PATH

RECORDING = 1e-5
"""What float32 may make of a recorded network, by `relative`; 2.4e-6 at most was found in float64. A network
of ours that is computed in float64 has no other error, and these weights are hard on float32."""


@cache
def recorded(name: str) -> Mapping[str, NDArray[np.float32]]:
    """The arrays of a fixture."""
    with np.load(FIXTURES / name) as result:
        return dict(result)


def shapes(name: str, network: str) -> dict[str, tuple[int, ...]]:
    """The tensors of a recorded network, in its own order."""
    report: dict[str, list[int]] = json.loads(str(recorded(name)[f"{network}/tensors"]))
    return {tensor: tuple(shape) for tensor, shape in report.items()}


def parameter(k: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """The k-th parameter: element j is ``0.1 sin(k + 0.7 j)``, and one more in the weight of a norm."""
    values = 0.1 * np.sin(k + 0.7 * np.arange(int(np.prod(shape))))
    if len(shape) == 1 and name.endswith("weight"):
        values += 1
    return torch.tensor(values.reshape(shape), dtype=torch.float32)


def scattered(k: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """The k-th parameter of a magnitude-preserving network: residues, whose matrices have full rank.

    Element j is ``((31 j^2 + 7919 j + 104729 k) mod 2003) / 1001 - 1``; a scalar is 1 and a tenth of that.
    Low rank would leave pixels of almost nothing, which the network's norms would blow up.
    """
    del name
    j = np.arange(int(np.prod(shape)), dtype=np.int64)
    values = ((31 * j * j + 7919 * j + 104729 * k) % 2003) / 1001 - 1
    values = values if shape else 1 + values / 10
    return torch.tensor(values.reshape(shape), dtype=torch.float32)


def relative(result: Tensor, expected: NDArray[np.float32]) -> float:
    """Largest difference in units of the largest value wanted."""
    assert result.shape == expected.shape
    return float(np.abs(result.numpy() - expected).max() / np.abs(expected).max())
