"""Handwritten digits of 8x8 pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from bench import Dataset, Emit, Images, Tensor, WeightsCard, registry_path


class Digits(Dataset):
    """Handwritten digits of 8x8 pixels, each an integer from 0 to 16, of ten classes (Alpaydin and Kaynak
    1998). They ship with the project."""

    name = "digits"
    shape = (1, 8, 8)
    data_range = (0.0, 16.0)
    splits: ClassVar[Mapping[str, int]] = {"train": 1500, "test": 297}
    licence = "CC BY 4.0"
    source = "doi:10.24432/C50P49, the test set as scikit-learn ships it; carried by the project"

    def open(self, split: str, batch: int, emit: Emit) -> Images:
        return DigitImages(split, batch)


class DigitImages(Images):
    """The digits of a split: the first 1500 of the file, or the others."""

    kind = "dataset"

    def __init__(self, split: str, batch: int) -> None:
        card = WeightsCard.read(registry_path("data", "digits.toml"))
        self._path, self._sha256 = card.weights(), card.sha256
        self._start, self._end = (0, 1500) if split == "train" else (1500, 1797)
        decoder = f"numpy {np.__version__}"
        super().__init__(f"{Digits.name}-{split}", self._end - self._start, Digits.shape, decoder, batch)

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        with np.load(self._path, allow_pickle=False) as arrays:
            images = arrays["images"][self._start : self._end]
        for start in range(0, self.n, self.batch):
            yield torch.from_numpy(images[start : start + self.batch, None]).float() / 16

    def compute_hash(self, emit: Emit) -> str:
        return self._sha256
