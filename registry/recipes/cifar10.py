"""CIFAR-10 for the recipes: images (N, 3, 32, 32) uint8 and labels (N,) int64.

``--data`` takes one of

* a folder: torchvision's CIFAR10 is used, and downloaded there where it is missing;
* an ``.npz`` of JPEG bytes: ``train_bytes`` cut by the running sum of ``train_lengths``,
  ``train_labels``, and the same for ``test`` (a re-encoded copy; the cards say so).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def describe(path: Path) -> str:
    """The provenance of the training images in one line, with their hash, for a card."""
    if path.is_dir():
        return "CIFAR-10 by torchvision"
    with np.load(path, allow_pickle=False) as archive:
        digest = hashlib.sha256(archive["train_bytes"].tobytes()).hexdigest()
    return f"CIFAR-10, re-encoded copy (JPEG, quality 75), sha256 of train_bytes {digest}"


def load(path: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images and labels of ``split`` ("train" or "test")."""
    if path.is_dir():
        from torchvision.datasets import CIFAR10

        data = CIFAR10(str(path), train=split == "train", download=True)
        return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)
    from PIL import Image

    with np.load(path, allow_pickle=False) as archive:
        blob, lengths = archive[f"{split}_bytes"].tobytes(), archive[f"{split}_lengths"].astype(np.int64)
        labels = torch.from_numpy(archive[f"{split}_labels"].astype(np.int64))
    ends = np.cumsum(lengths)
    images = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(blob[end - n : end])))
            for n, end in zip(lengths, ends, strict=True)
        ]
    )
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels


def augment(images: Tensor, generator: torch.Generator, most: int = 4) -> Tensor:
    """Flip half of a uint8 batch and shift each image by up to ``most`` pixels, edges reflected."""
    b = len(images)
    flip = torch.rand(b, generator=generator) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    padded = F.pad(images.float(), (most, most, most, most), mode="reflect")
    dy, dx = torch.randint(0, 2 * most + 1, (2, b), generator=generator)
    rows = (dy[:, None] + torch.arange(32))[:, None, :, None]
    columns = (dx[:, None] + torch.arange(32))[:, None, None, :]
    return padded[torch.arange(b)[:, None, None, None], torch.arange(3)[None, :, None, None], rows, columns]
