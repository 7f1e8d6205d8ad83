"""Data sets for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import Array, Dataset, Emit, Toy

COLUMNS = {"many": 90, "few": 7}


class Columns(Dataset):
    """Points (i, 10 i) for i = 0, 1, …; the split few has seven of them."""

    name = "columns"
    shape = (2,)
    data_range = (10.0, 20.0)
    splits = COLUMNS
    licence = "none"
    source = "made up"
    at_hand = True

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        return np.asarray(np.arange(COLUMNS[split])[:, None] * np.array([1, 10]))


class Numbers(Toy):
    """Uniform numbers on [-1, 1]."""

    name = "numbers"
    shape = (1,)
    splits = {"a": 2500, "b": 2500}
    source = "made up"

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        return rng.uniform(-1, 1, (n, 1))
