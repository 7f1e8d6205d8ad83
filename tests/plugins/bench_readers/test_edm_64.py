"""EDM's and EDM2's networks for 64x64 images: recorded outputs in small, names and sizes in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import BenchError, EDM2UNet, UNet
from bench.checkpoints.cards import Card
from bench.checkpoints.networks.edm import EDMDenoiser
from bench.files import REGISTRY
from bench_readers.edm import EDM, build, edm2_views, views
from tests.plugins.bench_readers.test_edm import SongUNet
from tests.plugins.bench_readers.test_pickles import EDMPrecond, Persistent, written
from tests.support.formula import RECORDING, parameter, recorded, relative, scattered, shapes

FILE = "edm64.npz"

SMALL: dict[str, dict[str, Any]] = {
    "ffhq_vp": {"configuration": "edm_vp_64", "width": 16, "blocks": 1, "attention": [4]},
    "ffhq_ve": {"configuration": "edm_ve_64", "width": 16, "blocks": 1, "attention": [4]},
    "adm": {"configuration": "edm_adm_64", "width": 64, "multipliers": [1, 2], "blocks": 2, "attention": [8]},
    "edm2": {"configuration": "img64_s", "width": 64, "multipliers": [1, 2], "blocks": 1, "attention": [8]},
}
CLASSES = {"ffhq_vp": 0, "ffhq_ve": 0, "adm": 10, "edm2": 10}

FULL = {
    "edm-ffhq-64-uncond-vp": "ffhq_vp",
    "edm-ffhq-64-uncond-ve": "ffhq_ve",
    "edm-afhqv2-64-uncond-vp": "ffhq_vp",
    "edm-afhqv2-64-uncond-ve": "ffhq_ve",
    "edm-imagenet-64-cond-adm": "adm",
    "edm2-img64-s": "img64_s",
    "edm2-img64-m": "img64_m",
    "edm2-img64-l": "img64_l",
    "edm2-img64-xl": "img64_xl",
    "edm2-img64-s-guided": "img64_s",
    "edm2-img64-xs-guide": "img64_xs",
}

MILLIONS = {"edm-imagenet-64-cond-adm": 296}
MILLIONS |= {"edm2-img64-s": 280, "edm2-img64-m": 498, "edm2-img64-l": 777, "edm2-img64-xl": 1119}
MILLIONS |= {"edm2-img64-s-guided": 280, "edm2-img64-xs-guide": 125}
"""Trainable parameters by the papers (Karras et al. 2024, table 3)."""


class DhariwalUNet(SongUNet):
    pass


class UNetOfEDM2(SongUNet):
    pass


UNetOfEDM2.__name__ = "UNet"


class Precond(Persistent, nn.Module):
    """EDM2's network, with the estimate of the loss beside it."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        inner = {k.removeprefix("unet."): t for k, t in tensors.items() if k.startswith("unet.")}
        self.unet = UNetOfEDM2(inner)
        self.logvar_fourier, self.logvar_linear = nn.Module(), nn.Module()
        for name in ("freqs", "phases"):
            self.logvar_fourier.register_buffer(name, tensors[f"logvar_fourier.{name}"])
        self.logvar_linear.weight = nn.Parameter(tensors["logvar_linear.weight"])
        self.record(img_resolution=16, label_dim=10)


def card(name: str, **changes: Any) -> Card:
    architecture = "edm2" if name == "edm2" else "unet"
    facts: dict[str, Any] = {
        **{"name": "small", "summary": "s", "licence": "l", "author": "a", "data": "d", "metric": "m"},
        **{"format": "edm", "predicts": "edm", "labels": "edm", "classes": CLASSES[name]},
        **{"shape": (3, 16, 16), "data_range": (-1, 1), "files": [{"name": "small.pkl"}]},
        "network": {"architecture": architecture, "size": 16, **SMALL[name]},
    }
    return Card(**facts | changes)


def weights(name: str) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    k = 0
    for tensor, shape in shapes(FILE, name).items():
        numbers = torch.arange(1, (shape or (1,))[0] + 1, dtype=torch.float64)
        if tensor.endswith(".resample_filter"):
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0] if name == "ffhq_ve" else [1.0, 1.0])
            result[tensor] = (torch.outer(taps, taps) / taps.sum() ** 2)[None, None]
        elif tensor.endswith(".freqs"):
            result[tensor] = ((4 if name == "edm2" else 16) * numbers.sin()).float()
        elif tensor.endswith(".phases"):
            result[tensor] = (2 * numbers.cos()).float()
        else:
            make = scattered if name == "edm2" else parameter
            result[tensor] = make(k, tensor, shape)
            k += 1
    return result


def install(name: str, folder: Path, tensors: dict[str, Tensor], **changes: Any) -> nn.Module:
    """From a pickle as the authors write it to our network, as an installation goes."""
    network: nn.Module
    if name == "edm2":
        network = Precond(tensors)
    else:
        kind = DhariwalUNet if name == "adm" else SongUNet
        network = EDMPrecond(kind({k.removeprefix("model."): t for k, t in tensors.items()}))
    (folder / "small.pkl").write_bytes(written({"ema": network.eval().requires_grad_(False)}))
    EDM().prepare(card(name, **changes), folder)
    assert [path.name for path in folder.iterdir()] == ["small.safetensors"]
    return EDM().read(card(name, **changes), folder, None)


@pytest.mark.parametrize("name", SMALL)
def test_denoisers_are_those_of_the_public_networks(name: str, tmp_path: Path) -> None:
    """Of a class-conditional network with the classes 7 and 2, and without a class."""
    denoiser = EDMDenoiser(install(name, tmp_path, weights(name))).eval()
    x, sigma = torch.tensor(recorded(FILE)["x"]).float(), torch.tensor(recorded(FILE)["sigma"])
    cases: list[tuple[str, tuple[Tensor, ...]]] = [("D", ())]
    if CLASSES[name]:
        cases = [("D", (torch.tensor([7, 2]),)), ("D_null", (torch.tensor([-1, -1]),))]
    for key, classes in cases:
        expected = recorded(FILE)[f"{name}/{key}"]
        with torch.no_grad():
            assert relative(denoiser.float()(x, sigma, *classes), expected) < 1e-4
            assert relative(denoiser.double()(x.double(), sigma.double(), *classes), expected) < RECORDING


def test_half_precision_files_load(tmp_path: Path) -> None:
    """As EDM2's are: each number is off by 2^-11 of itself at most."""
    halves = {name: tensor.half() for name, tensor in weights("edm2").items()}
    denoiser = EDMDenoiser(install("edm2", tmp_path, halves)).eval()
    assert all(p.dtype == torch.float32 for p in denoiser.parameters())
    x, sigma = torch.tensor(recorded(FILE)["x"]).float(), torch.tensor(recorded(FILE)["sigma"])
    with torch.no_grad():
        result = denoiser(x, sigma, torch.tensor([7, 2]))
    assert relative(result, recorded(FILE)["edm2/D"]) < 2**-10


@pytest.mark.parametrize("name", sorted(FULL))
def test_full_size_networks_have_the_published_names_and_sizes(name: str) -> None:
    checkpoint = Card.read(REGISTRY / "cards" / f"{name}.toml")
    with torch.device("meta"):
        network = build(checkpoint)
    assert isinstance(network, UNet | EDM2UNet)
    pairs = edm2_views(network) if isinstance(network, EDM2UNet) else views(network)
    ours = {tensor: tuple(view.shape) for tensor, view in pairs}
    published = shapes(FILE, f"full/{FULL[name]}")
    beside = {k for k in published if k.startswith(("logvar_", "model.map_augment"))}
    beside |= {k for k in published if k.endswith(".resample_filter")}
    assert ours == {k: shape for k, shape in published.items() if k not in beside}
    count = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert count == checkpoint.published["parameters"]
    if name in MILLIONS:
        assert int(count / 1e6 + 0.5) == MILLIONS[name]


@pytest.mark.parametrize(
    ("name", "changes", "report"),
    [
        ("edm2", {"classes": 0}, "has 'unet.emb_label.weight'"),
        ("adm", {"classes": 0}, "has 'model.map_label.weight'"),
        ("edm2", {"classes": 7}, "'unet.emb_label.weight' has shape (128, 10), not (128, 7)"),
        ("adm", {"network": {"architecture": "tiny"}}, "'tiny' can't be class-conditional"),
        ("adm", {"network": {"architecture": "unet", "classes": 3}}, "classes belong at the top"),
        ("edm2", {"network": {"architecture": "edm2", "configuration": "img64"}}, "did you mean 'img64_"),
    ],
)
def test_cards_of_other_networks(name: str, changes: dict[str, Any], report: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        install(name, tmp_path, weights(name), **changes)
    assert report in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["small.pkl"]
