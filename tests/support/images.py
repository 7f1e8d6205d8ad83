"""Images for tests, in every form, and the stores of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import BenchError, Images
from bench.data import sources
from bench.data.pixels import Bytes, to_uint8
from bench.plan.sources import open_images
from bench.results.identity import CheckpointIdentity, Identity, PluginIdentity
from bench.results.provenance import provenance
from bench.results.record import BatchFacts, BatchRecord, Cost, Record
from bench.results.store import Store
from tests.support.plugins import installed


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


def opened(name: str | Path, **more: Any) -> Images:
    """The images that a name stands for; data sets are the installed ones."""
    return sources.open_images(str(name), installed(), **more)


def back(images: Images, rounding: Any = "round") -> Bytes:
    """All of the images as bytes (n, H, W, C)."""
    content: Bytes = torch.cat([to_uint8(batch, rounding) for batch in images]).permute(0, 2, 3, 1).numpy()
    return content


def recorded(root: Path, batches: list[torch.Tensor], fingerprint: str = "0123456789abcdef") -> Store:
    """A store with one run of these batches."""
    store = Store(root)
    facts = BatchFacts(nfe=1, seconds=1.0, network_seconds=1.0, warm_seconds=0.0)
    for i, batch in enumerate(batches):
        store.write_batch("key" + fingerprint, i, len(batch), {"images": batch}, facts)
    store.write_record(record_of(batches, fingerprint))
    return store


def record_of(batches: list[torch.Tensor], fingerprint: str) -> Record:
    """A finished run's record, of made-up plugins."""
    plugin = PluginIdentity(name="made_up", distribution="test", version="1", code="0")
    checkpoint = CheckpointIdentity(
        name="made-up",
        format="gaussian",
        shape=(3, 8, 8),
        data_range=(0.0, 1.0),
        sha256="0",
        convention="exact",
    )
    return Record(
        fingerprint=fingerprint,
        key="key" + fingerprint,
        title="a run",
        status="finished",
        created="2024-01-01T00:00:00+00:00",
        samples=sum(map(len, batches)),
        outputs=("images",),
        identity=Identity(
            checkpoint=checkpoint,
            task=plugin,
            sde=plugin,
            denoise="none",
            batch_size=len(batches[0]),
            seed=0,
            precision="fp32",
            compile=False,
            device="cpu",
            torch="0",
            code="0",
        ),
        provenance=provenance(),
        cost=Cost(nfe=1.0, seconds=1.0, samples_per_second=1.0, network_share=1.0, warm_seconds=0.0),
        batches=tuple(
            BatchRecord(size=len(batch), nfe=1, seconds=1.0, network_seconds=1.0) for batch in batches
        ),
    )


def error_of(name: str | Path, **more: Any) -> str:
    """The line by which a source is refused, at the opening or while it is read."""
    with pytest.raises(BenchError) as caught:
        for _ in open_images(str(name), registry=installed(), **more):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)
