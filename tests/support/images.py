"""Images for tests, in every form, and the stores of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import BenchError, Images
from bench.data.pixels import Bytes, to_uint8
from bench.plan.sources import open_images
from bench.results.store import Store


def pixels(n: int, size: int = 8) -> Bytes:
    """Random images (n, size, size, 3)."""
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def folder(path: Path, images: Bytes, form: str = "png") -> Path:
    """Images as files, in folders of three as EDM writes them."""
    for i, image in enumerate(images):
        file = path / f"{i // 3:03d}" / f"{i:06d}.{form}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file, lossless=True)
    return path


def back(images: Images, rounding: Any = "round") -> Bytes:
    """All of the images as bytes (n, H, W, 3)."""
    found: Bytes = torch.cat([to_uint8(batch, rounding) for batch in images]).permute(0, 2, 3, 1).numpy()
    return found


def recorded(root: Path, batches: list[torch.Tensor], fingerprint: str = "0123456789abcdef") -> Store:
    """A store with one run of these batches."""
    store = Store(root)
    for i, batch in enumerate(batches):
        store.write_batch("key" + fingerprint, i, len(batch), {"images": batch}, {})
    record = {
        "fingerprint": fingerprint,
        "key": "key" + fingerprint,
        "title": "a run · seed 0",
        "status": "finished",
        "samples": sum(map(len, batches)),
        "batches": [{"size": len(batch)} for batch in batches],
    }
    store.write_record(record)
    return store


def refused(name: str | Path, **more: Any) -> str:
    """The line by which a source is refused, at the opening or while it is read."""
    with pytest.raises(BenchError) as told:
        for _ in open_images(str(name), **more):
            pass
    assert "\n" not in str(told.value)
    return str(told.value)
