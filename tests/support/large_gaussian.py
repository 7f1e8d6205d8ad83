"""An exact checkpoint of images that are larger than those of the installed ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench import Card
from bench.plugins.registry import Registry
from tests.support.plugins import installed

SIDE = 64


def registry_with_large_gaussian(folder: Path) -> Registry:
    """What is installed, and ``gaussian-64``: a Gaussian of 3x64x64 images, whose files go into a folder."""
    shape = (1, 3, SIDE, SIDE)
    weights = folder / "gaussian-64.safetensors"
    tensors = {
        "weight": torch.ones(1, dtype=torch.float64),
        "mean": torch.zeros(shape, dtype=torch.float64),
        "variance": torch.full(shape, 0.01, dtype=torch.float64),
        "colour": torch.eye(3, dtype=torch.float64),
    }
    save_file(tensors, weights)
    content = weights.read_bytes()
    card = folder / "gaussian-64.toml"
    card.write_text(
        f"""
name = "gaussian-64"
summary = "a Gaussian of larger images"
format = "gaussian"
basis = "dct"
shape = [3, {SIDE}, {SIDE}]
data_range = [0.0, 1.0]
licence = "MIT"
data = "made up"
recipe = "a test"
author = "a test"
metric = "fd_dct"

[[files]]
name = "{weights.name}"
bytes = {len(content)}
sha256 = "{hashlib.sha256(content).hexdigest()}"
"""
    )
    registry = installed().copy()
    registry.add("checkpoints", Card.read(card), "test", "1")
    return registry
