"""DINOv2's features: against the authors' network behind dgm-eval's steps; what is said without weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bench.download
from bench import BenchError, cache, silent
from bench_fid import dinov2
from bench_fid.dinov2 import DINOv2, resized
from tests.support.formula import parameter as by_formula
from tests.support.formula import recorded, relative, shapes
from tests.support.metrics import extractor_of
from tests.support.served import Served, Server

CPU = torch.device("cpu")
FILE = "dinov2_vitl14_pretrain.pth"
FLOAT = 2e-6
"""What float32 may make of the recorded features; 2.6e-7 was found in float64."""


class Small(DINOv2):
    """The recorded network: DINOv2 with 16 features."""

    name = "small"
    width = 16
    depth = 2
    heads = 2


def weights() -> dict[str, torch.Tensor]:
    """The recorded network's weights, by the names of the published file."""
    tensors = shapes("dinov2.npz", "small")
    return {name: by_formula(k, name, shape) for k, (name, shape) in enumerate(tensors.items())}


def images() -> torch.Tensor:
    """The recorded images (3, 3, 24, 32)."""
    return torch.from_numpy(recorded("dinov2.npz")["images"])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the weights belong, in an empty cache; no address answers."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(dinov2, "ADDRESS", f"http://127.0.0.1:1/{FILE}")
    monkeypatch.setattr(bench.download, "PAUSES", ())
    (tmp_path / "dinov2").mkdir()
    return tmp_path / "dinov2" / FILE


def test_features_are_those_of_dgm_eval(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From bytes to features, in whatever chunks."""
    torch.save(weights(), file)
    extract = Small().load(CPU)
    features = extract(images())
    assert features.probabilities is None
    expected = recorded("dinov2.npz")["features"]
    assert relative(features.rows, expected) < FLOAT
    # the recorded figures tell images apart, so that this is a test
    assert np.abs(expected - expected[0]).max() > 1000 * FLOAT * np.abs(expected).max()
    monkeypatch.setattr(dinov2, "CHUNK", 2)
    assert relative(extract(images()).rows, expected) < FLOAT
    assert Small().provenance() == {FILE: cache.sha256_of(file)}


def test_torch_fidelity_computes_other_features(file: Path) -> None:
    """Version 0.4.0 on the same network, recorded: the resizing changes as much as another image does."""
    torch.save(weights(), file)
    ours = Small().load(CPU)(images()).rows
    theirs = torch.from_numpy(recorded("dinov2.npz")["fidelity"])
    spread = float((ours - ours.mean(dim=0)).abs().max())
    assert float((theirs - ours).abs().max()) > 0.5 * spread


def test_images_are_resized_by_pillow_in_8_bits() -> None:
    resized_images = resized(images())
    assert (resized_images.shape, resized_images.dtype) == ((3, 3, 224, 224), torch.uint8)
    one = Image.fromarray(images()[1].permute(1, 2, 0).numpy(), "RGB").resize(
        (224, 224), Image.Resampling.BICUBIC
    )
    np.testing.assert_array_equal(resized_images[1].permute(1, 2, 0).numpy(), np.asarray(one))
    with pytest.raises(BenchError, match="3 channels, not 1"):
        resized(images()[:, :1])


def test_offline_one_line_says_what_goes_where(file: Path) -> None:
    for fail in (lambda: extractor_of("dinov2").check(silent), lambda: extractor_of("dinov2").load(CPU)):
        with pytest.raises(BenchError) as raised:
            fail()
        line = str(raised.value)
        assert f"bring http://127.0.0.1:1/{FILE} to {file}; fd_cifar10 needs no download" in line
        assert "\n" not in line


def test_weights_are_fetched_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(weights(), file)
    with Server() as server:
        served = server.files[FILE] = Served(file.read_bytes())
        file.unlink()
        monkeypatch.setattr(dinov2, "ADDRESS", server.url(FILE))
        Small().check(silent)
        Small().check(silent)
        assert len(served.requests) == 1
    assert Small().load(CPU)(images()).rows.shape == (3, 16)


def test_damaged_and_other_weights_are_one_line(file: Path) -> None:
    lacking = weights()
    del lacking["norm.bias"]
    wide = weights() | {"norm.bias": torch.zeros(17)}
    for content in (lacking, wide, [1, 2]):
        torch.save(content, file)
        with pytest.raises(BenchError, match="is damaged, or not the network dinov2_vitl14") as raised:
            Small().load(CPU)
        assert str(raised.value).startswith(str(file))
        assert "\n" not in str(raised.value)
    for damaged in (b"", b"no weights" * 99, file.read_bytes()[:200]):
        file.write_bytes(damaged)
        with pytest.raises(BenchError, match="is damaged, or not the network"):
            Small().load(CPU)
