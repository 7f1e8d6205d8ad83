"""DINOv2's features: resizing, position code, a small network of its kind, what is said without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bench import BenchError, silent
from bench_fid.dinov2 import DINOv2, position_code, read, resized
from tests.support.metrics import extractor_of


def pictures(n: int = 3, side: int = 32) -> torch.Tensor:
    """Random uint8 images."""
    return torch.randint(
        0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_images_are_resized_by_pillow_in_8_bits() -> None:
    images = pictures()
    resized_images = resized(images)
    assert (resized_images.shape, resized_images.dtype) == ((3, 3, 224, 224), torch.uint8)
    one = Image.fromarray(images[1].permute(1, 2, 0).numpy(), "RGB").resize(
        (224, 224), Image.Resampling.BICUBIC
    )
    np.testing.assert_array_equal(resized_images[1].permute(1, 2, 0).numpy(), np.asarray(one))
    with pytest.raises(BenchError, match="3 channels, not 1"):
        resized(images[:, :1])


def keys(t: float) -> float:
    """Keys' cubic (1981) with a = -0.75, torch's."""
    t = abs(t)
    if t <= 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def test_the_position_code_is_sampled_where_the_published_network_samples_it() -> None:
    p, side = 37, 16
    code = torch.randn(1, 1 + p * p, 2, generator=torch.Generator().manual_seed(0))
    enlarged = position_code(code, side)
    assert torch.equal(enlarged[:, 0], code[:, 0])
    grid = code[0, 1:].reshape(p, p, 2).double()
    for row, column in ((0, 0), (7, 3), (15, 15)):
        # a step of p / (side + 0.1), not of p / side
        y, x = ((i + 0.5) * p / (side + 0.1) - 0.5 for i in (row, column))
        total = torch.zeros(2, dtype=torch.float64)
        for i in range(int(np.floor(y)) - 1, int(np.floor(y)) + 3):
            for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
                at = grid[min(max(i, 0), p - 1), min(max(j, 0), p - 1)]
                total += keys(y - i) * keys(x - j) * at
        # float32, sixteen terms of order one
        torch.testing.assert_close(enlarged[0, 1 + row * side + column].double(), total, rtol=0, atol=1e-4)
    assert torch.equal(position_code(enlarged, side), enlarged)


def test_absent_weights_and_an_absent_package_are_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    extractor = extractor_of("dinov2")
    assert extractor.width == 1024
    with pytest.raises(
        BenchError, match=r"put config\.json and model\.safetensors of facebook/dinov2-large"
    ) as caught:
        extractor.check(silent)
    assert str(tmp_path / "dinov2-large") in str(caught.value)
    assert "fd_cifar10" in str(caught.value)
    (tmp_path / "dinov2-large").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "dinov2-large" / name).write_bytes(b"{}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    remedy = r"transformers is missing: in a clone of .*, pip install -e '\.\[dinov2\]'"
    with pytest.raises(BenchError, match=remedy):
        extractor.load(torch.device("cpu"))


def save(folder: Path, image_size: int = 518) -> torch.nn.Module:
    """A random small network of DINOv2's kind, in the folder; the package is an optional extra."""
    transformers = pytest.importorskip("transformers", reason="the optional extra dinov2 is not installed")
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=image_size, patch_size=14
    )
    torch.manual_seed(0)
    network: torch.nn.Module = transformers.Dinov2Model(config).eval()
    folder.mkdir(exist_ok=True)
    network.save_pretrained(folder)  # type: ignore[operator]
    return network


class Small(DINOv2):
    """DINOv2 with 32 features."""

    name = "small"
    width = 32


def test_a_network_of_its_kind_gives_the_normalised_class_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    network = save(tmp_path / "dinov2-large", image_size=224)
    images = pictures(35)
    features = Small().load(torch.device("cpu"))(images)
    assert features.rows.shape == (35, 32)
    assert features.probabilities is None
    mean, sd = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (resized(images[33:]).float() / 255 - mean.view(3, 1, 1)) / sd.view(3, 1, 1)
    with torch.no_grad():
        token = network(x).last_hidden_state[:, 0]
    torch.testing.assert_close(features.rows[33:], token, rtol=1e-4, atol=1e-5)
    assert set(Small().provenance()) == {"small/config.json", "small/model.safetensors"}


def test_a_code_of_the_published_size_is_resized_and_other_networks_are_refused(tmp_path: Path) -> None:
    network = save(tmp_path / "net")
    code = dict(network.named_parameters())["embeddings.position_embeddings"]
    assert code.shape == (1, 1 + 37 * 37, 32)
    stored_code = dict(read(tmp_path / "net", 32).named_parameters())["embeddings.position_embeddings"]
    assert torch.equal(stored_code, position_code(code.detach(), 16))
    with pytest.raises(BenchError, match="32 features and patches of 14, not 1024 and 14"):
        read(tmp_path / "net", 1024)
    save_file({"layernorm.bias": torch.zeros(32)}, tmp_path / "net" / "model.safetensors")
    with pytest.raises(BenchError, match=r"lacks the tensor embeddings\."):
        read(tmp_path / "net", 32)
    (tmp_path / "net" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BenchError, match="can't be read as a DINOv2 network") as caught:
        read(tmp_path / "net", 32)
    assert "\n" not in str(caught.value)
