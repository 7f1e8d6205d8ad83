"""EDM's pickles, from the file to the denoiser: a recorded network's outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import BenchError, ResidualMLP
from bench.checkpoints.cards import Card
from bench.checkpoints.networks.edm import EDMDenoiser
from bench.checkpoints.networks.unet import UNet, UNetConfig
from bench_readers.edm import EDM, build, views
from tests.plugins.bench_readers.test_pickles import MODEL, EDMPrecond, Persistent, written
from tests.support.formula import RECORDING, parameter, recorded, relative, shapes

FILE = "edm.npz"
CLASSES = {"vp": 10, "ve": 0}
TAPS = {"vp": [1.0, 1.0], "ve": [1.0, 3.0, 3.0, 1.0]}


def card(arch: str, **network: Any) -> Card:
    report = {"architecture": "unet", "configuration": f"edm_{arch}", "width": 32, "blocks": 1}
    classes = network.pop("classes", CLASSES[arch])
    report |= network
    return Card(
        classes=classes,
        **{"name": "small", "summary": "s", "licence": "l", "author": "a", "data": "d", "metric": "m"},
        **{"format": "edm", "predicts": "edm", "labels": "edm", "network": report},
        **{"shape": (3, 32, 32), "data_range": (-1, 1)},
        files=[{"name": "small.pkl"}],
    )


def weights(arch: str) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    k = 0
    for name, shape in shapes(FILE, arch).items():
        if name.endswith(".resample_filter"):
            taps = torch.tensor(TAPS[arch])
            result[name] = (torch.outer(taps, taps) / taps.sum() ** 2)[None, None]
        elif name.endswith(".freqs"):
            result[name] = 16 * torch.arange(1, shape[0] + 1, dtype=torch.float64).sin().float()
        else:
            result[name] = parameter(k, name, shape)
            k += 1
    return result


class SongUNet(Persistent, nn.Module):
    """A network that consists of its tensors."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            *path, last = name.split(".")
            here: nn.Module = self
            for part in path:
                if part not in here._modules:
                    here.add_module(part, nn.Module())
                here = here.get_submodule(part)
            if last in ("freqs", "resample_filter"):
                here.register_buffer(last, tensor)
            else:
                here.register_parameter(last, nn.Parameter(tensor))
        self.record(**MODEL)


def install(arch: str, folder: Path, tensors: dict[str, Tensor], **network: Any) -> UNet:
    """From EDM's pickle to our network, as an installation goes."""
    model = SongUNet({name.removeprefix("model."): tensor for name, tensor in tensors.items()})
    (folder / "small.pkl").write_bytes(written({"ema": EDMPrecond(model).eval().requires_grad_(False)}))
    EDM().prepare(card(arch, **network), folder)
    assert [path.name for path in folder.iterdir()] == ["small.safetensors"]
    result = EDM().read(card(arch, **network), folder, None)
    assert isinstance(result, UNet)
    return result


@pytest.mark.parametrize("arch", ["vp", "ve"])
def test_denoisers_are_those_of_the_public_networks(arch: str, tmp_path: Path) -> None:
    denoiser = EDMDenoiser(install(arch, tmp_path, weights(arch))).eval()
    x, sigma = torch.tensor(recorded(FILE)["x"]).float(), torch.tensor(recorded(FILE)["sigma"])
    expected = recorded(FILE)[f"{arch}/D"]
    classes = (torch.tensor([0, 1]),) if CLASSES[arch] else ()
    with torch.no_grad():
        assert relative(denoiser(x, sigma, *classes), expected) < 1e-4
        assert relative(denoiser.double()(x.double(), sigma.double(), *classes), expected) < RECORDING


@pytest.mark.parametrize("arch", ["vp", "ve"])
def test_names_are_the_published_ones(arch: str) -> None:
    network = UNet(UNetConfig.read(card(arch).network | {"classes": CLASSES[arch]}))
    result = {name: tuple(view.shape) for name, view in views(network)}
    beside = {"model.map_augment.weight": (64 if arch == "ve" else 32, 9)}
    report = {n: s for n, s in shapes(FILE, arch).items() if not n.endswith(".resample_filter")}
    assert result | beside == report
    assert len(result) == len(list(network.parameters()))


@pytest.mark.parametrize(
    ("network", "report"),
    [
        ({"classes": 0}, "has 'model.map_label.weight' and 1 more"),
        ({"classes": 7}, "'model.map_label.weight' has shape (32, 10), not (32, 7)"),
        ({"configuration": "edm_ve"}, "_down.conv0.resample_filter' resamples by 2 taps, not 4"),
        ({"blocks": 2}, "lacks 'model.enc.32x32_block1.norm0.weight'"),
        ({"architecture": "vit"}, "architecture 'vit', not 'unet', 'edm2', 'tiny' or 'mlp'"),
    ],
)
def test_cards_of_other_networks(network: dict[str, Any], report: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError) as caught:
        install("vp", tmp_path, weights("vp"), **network)
    assert report in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["small.pkl"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"width": 10**6}, "has width 1000000: an integer from 1 to 512 is meant"),
        ({"blocks": 10**9}, "has blocks 1000000000: an integer from 1 to 8 is meant"),
        ({"width_low": "64"}, "has width_low '64': an integer from 1 to 512 is meant"),
        ({"embedding": -1}, "has embedding -1: "),
        ({"width": 8}, "its card's \\[network\\] does not fit: "),
        ({"depth": 3}, "its card's \\[network\\] does not fit: "),
    ],
)
def test_a_tiny_network_is_bounded(network: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message) as caught:
        build(card("vp").model_copy(update={"classes": 0, "network": {"architecture": "tiny"} | network}))
    assert "\n" not in str(caught.value)


def test_an_mlp_takes_its_size_from_the_shape() -> None:
    mlp = card("vp").model_copy(
        update={"classes": 0, "shape": (1, 8, 8), "network": {"architecture": "mlp", "width": 16}}
    )
    network = build(mlp)
    assert isinstance(network, ResidualMLP)
    assert (network.stem.in_features, network.config) == (64, {"width": 16, "blocks": 4})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"architecture": "mlp", "width": 1000}}, "has width 1000: an integer from 1 to 512"),
        ({"network": {"architecture": "mlp", "size": 3}}, "its card's \\[network\\] does not fit: "),
        (
            {"network": {"architecture": "mlp"}, "shape": (3, 256, 256)},
            "takes up to 65536 values, not 196608",
        ),
        ({"network": {"architecture": "mlp"}, "classes": 3}, "'mlp' can't be class-conditional"),
    ],
)
def test_an_mlp_is_bounded(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message) as caught:
        build(card("vp").model_copy(update={"classes": 0} | changes))
    assert "\n" not in str(caught.value)
