"""Handwritten digits of 8x8 pixels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench import Dataset, Emit, WeightsCard, registry_path

TRAINING = 1500


class Digits(Dataset):
    """Handwritten digits of 8x8 pixels, each an integer from 0 to 16 (Alpaydin and Kaynak 1998).

    Of ten classes. They ship with the project: the first 1500 of the file are ``train``, the others ``test``.
    """

    name = "digits"
    shape: ClassVar[tuple[int, ...]] = (1, 8, 8)
    data_range = (0.0, 16.0)
    splits = {"train": TRAINING, "test": 297}
    licence = "CC BY 4.0"
    source = "doi:10.24432/C50P49, the test set as scikit-learn ships it; carried by the project"
    at_hand = True

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        path = WeightsCard.read(registry_path("data", "digits.toml")).weights()
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays["images"][:, None]
        return np.asarray(images[:TRAINING] if split == "train" else images[TRAINING:])
