"""Folders of diffusers against diffusers itself, and folders that are refused."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench import BenchError
from bench.checkpoints.cards import Card
from bench.checkpoints.convention import NetworkModel
from bench.checkpoints.networks.unet import UNet
from bench.checkpoints.resolve import label_of, parametrisation_of
from bench.files import REGISTRY
from bench_readers.diffusers import ATTENTION, DEFAULTS, Diffusers, configuration, views
from tests.support.plugins import installed

WEIGHTS = "diffusion_pytorch_model.safetensors"

DDPM: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": [32, 64],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
    "attention_head_dim": None,
    "norm_eps": 1e-6,
}
NCSNPP: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": [64, 128],
    "layers_per_block": 1,
    "down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D"],
    "up_block_types": ["AttnSkipUpBlock2D", "SkipUpBlock2D"],
    "time_embedding_type": "fourier",
    "center_input_sample": True,
    "mid_block_scale_factor": 1.41421356237,
    "attention_head_dim": None,
    "norm_num_groups": None,
    "norm_eps": 1e-6,
}
SMALL: dict[str, dict[str, Any]] = {
    "ddpm": DDPM,
    "ddpm, otherwise": DDPM
    | {
        "block_out_channels": [32, 64, 64],
        "layers_per_block": 2,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        "norm_num_groups": 8,
        "attention_head_dim": 16,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "downsample_padding": 1,
        "norm_eps": 1e-5,
        "center_input_sample": True,
        "out_channels": 6,
        "dropout": 0.3,
    },
    "ncsnpp": NCSNPP,
    "ncsnpp, deeper": NCSNPP
    | {
        "block_out_channels": [32, 128, 64],
        "layers_per_block": 2,
        "down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D"],
        "up_block_types": ["SkipUpBlock2D", "AttnSkipUpBlock2D", "SkipUpBlock2D"],
        "attention_head_dim": None,
        "center_input_sample": False,
    },
}

CIFAR10 = {
    **{"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu"},
    **{"attention_head_dim": None, "block_out_channels": [128, 256, 256, 256], "center_input_sample": False},
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    **{"downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3},
    **{"layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-06, "norm_num_groups": 32},
    **{"out_channels": 3, "sample_size": 32, "time_embedding_type": "positional"},
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}
"""google/ddpm-cifar10-32's."""

BEDROOM = {
    **{"act_fn": "silu", "attention_head_dim": None, "center_input_sample": True, "downsample_padding": 1},
    "block_out_channels": [128, 128, 256, 256, 256, 256, 256],
    "down_block_types": [*["SkipDownBlock2D"] * 4, "AttnSkipDownBlock2D", *["SkipDownBlock2D"] * 2],
    "up_block_types": [*["SkipUpBlock2D"] * 2, "AttnSkipUpBlock2D", *["SkipUpBlock2D"] * 4],
    **{"flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 3, "layers_per_block": 2, "norm_eps": 1e-06},
    **{"mid_block_scale_factor": 1.41421356237, "norm_num_groups": None, "out_channels": 3},
    **{"sample_size": 256, "time_embedding_type": "fourier"},
}
"""google/ncsnpp-bedroom-256's."""


def card(config: dict[str, Any], weights: str = WEIGHTS, **arguments: Any) -> Card:
    ve = config.get("time_embedding_type") == "fourier"
    size = config.get("sample_size", 16)
    report: dict[str, Any] = {
        **{"name": "small", "summary": "s", "licence": "l", "author": "a", "data": "d", "metric": "m"},
        **{"format": "diffusers", "scales": 1000, "network": {"architecture": "unet"}},
        **{"predicts": "scaled_score" if ve else "noise", "labels": "sigma" if ve else "index"},
        **{"sde": "ve" if ve else "vp", "data_range": (0, 1) if ve else (-1, 1)},
        **{"shape": (3, size, size), "learned_variance": config.get("out_channels") == 6},
        "files": [{"name": "config.json"}, {"name": weights}],
    }
    return Card(**report | arguments)


@pytest.fixture(scope="module")
def reference() -> Callable[..., nn.Module]:
    """``UNet2DModel``."""
    result = pytest.importorskip("diffusers", reason="diffusers is what its reader is compared with")
    instance: Callable[..., nn.Module] = result.UNet2DModel
    return instance


def random(network: nn.Module) -> nn.Module:
    """Every parameter drawn anew, also those that begin as zeros."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name == "time_proj.weight":
                continue
            scale = 1.0 if p.ndim == 1 else float(p[0].numel()) ** -0.5
            p.copy_(scale * torch.randn(p.shape, generator=generator))
            if p.ndim == 1:
                p.mul_(0.2).add_(1.0 if name.endswith("weight") else 0.0)
    return network.eval()


def relative(result: Tensor, expected: Tensor) -> float:
    assert result.shape == expected.shape
    return float((result - expected).abs().max() / expected.abs().max())


def old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the files of 2022 call them."""
    result = {}
    for name, tensor in tensors.items():
        for new, old in zip(*ATTENTION, strict=True):
            name = name.replace(f".{new}.", f".{old}.")
        result[name] = tensor
    if "time_proj.weight" in result:
        result["time_proj.W"] = result["time_proj.weight"].clone()
    return result


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_those_of_diffusers(
    name: str, tmp_path: Path, reference: Callable[..., nn.Module]
) -> None:
    theirs: Any = random(reference(**SMALL[name]))
    theirs.save_pretrained(tmp_path)
    ours = Diffusers().read(card(SMALL[name]), tmp_path, None).eval()
    ve = "ncsnpp" in name
    labels = torch.tensor([0.01, 0.7, 13.0, 50.0] if ve else [0.0, 0.5, 123.0, 999.0])
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(x, labels, return_dict=False)[0]
        result = ours(x, labels)
    if ve:
        expected = expected * labels[:, None, None, None]
    for i in range(len(labels)):
        assert relative(result[i], expected[i]) < 2e-5
    torch.save(old_names(theirs.state_dict()), tmp_path / "old.bin")
    again = Diffusers().read(card(SMALL[name], "old.bin"), tmp_path, None).eval()
    for mine, other in zip(ours.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_scores_are_those_of_diffusers(tmp_path: Path, reference: Callable[..., nn.Module]) -> None:
    theirs: Any = random(reference(**NCSNPP))
    theirs.save_pretrained(tmp_path)
    report = card(NCSNPP)
    ours = Diffusers().read(report, tmp_path, None).eval().requires_grad_(False)
    ve = installed().build("sdes", "ve", {})
    own = installed().build("sdes", "ve", {})
    convention = parametrisation_of(report, installed()), label_of(report, installed())
    model = NetworkModel(ours, report, *convention, ve, own, bf16=False)
    assert model.native
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for t in (0.05, 0.5, 1.0):
        level = ve.at(t)
        with torch.no_grad():
            expected = theirs(x, torch.full((2,), level.sigma), return_dict=False)[0]
        assert relative(model.score(x, level), expected) < 2e-5


@pytest.mark.parametrize("arguments", [CIFAR10, BEDROOM], ids=["ddpm-cifar10-32", "ncsnpp-bedroom-256"])
def test_published_networks(arguments: dict[str, Any], reference: Callable[..., nn.Module]) -> None:
    config = {key: value for key, value in arguments.items() if not key.startswith("_")}
    with torch.device("meta"):
        ours, theirs = UNet(configuration(config, card(config))), reference(**config)
    expected = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    assert {name: tuple(view.shape) for name, view in views(ours)} == expected
    counts = [sum(p.numel() for p in net.parameters() if p.requires_grad) for net in (ours, theirs)]
    assert counts[0] == counts[1]
    assert arguments is not CIFAR10 or counts[0] == 35_746_307


def test_the_published_configuration_is_the_one_the_card_names() -> None:
    file = Card.read(REGISTRY / "cards" / "ddpm-cifar10-32.toml").files[0]
    written = (json.dumps(CIFAR10, indent=2, sort_keys=True) + "\n").encode()
    assert (len(written), hashlib.sha256(written).hexdigest()) == (file.size, file.sha256)


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        DDPM,
        {"down_block_types": ["DownBlock2D", "KDownBlock2D"]},
        'down_block_types = "KDownBlock2D": known: ',
    ),
    (DDPM, {"up_block_types": ["UpBlock2D", ["UpBlock2D"]]}, 'up_block_types = ["UpBlock2D"]: known: '),
    (DDPM, {"up_block_types": ["UpBlock2D", "AttnUpBlock2D"]}, "not down_block_types backwards"),
    (DDPM, {"down_block_types": ["DownBlock2D"]}, "not a list of 2 blocks"),
    (
        DDPM,
        {
            "down_block_types": ["DownBlock2D", "SkipDownBlock2D"],
            "up_block_types": ["SkipUpBlock2D", "UpBlock2D"],
        },
        "blocks of two families",
    ),
    (DDPM, {"brand_new": 1}, "brand_new = 1: an unknown key"),
    (DDPM, {"act_fn": "relu"}, 'act_fn = "relu": known: "silu", "swish"'),
    (DDPM, {"time_embedding_type": "learned"}, 'time_embedding_type = "learned"'),
    (DDPM, {"time_embedding_type": "fourier"}, "known of these blocks: positional"),
    (NCSNPP, {"time_embedding_type": "positional"}, "known of these blocks: fourier"),
    (DDPM, {"freq_shift": 0}, "freq_shift = 0: known with flip_sin_to_cos = false: 1"),
    (DDPM, {"flip_sin_to_cos": 0}, "flip_sin_to_cos = 0: known: false, true"),
    (DDPM, {"downsample_padding": 2}, "downsample_padding = 2: known: 0, 1"),
    (DDPM, {"downsample_type": "resnet"}, 'downsample_type = "resnet": known: "conv"'),
    (DDPM, {"upsample_type": "resnet"}, 'upsample_type = "resnet"'),
    (DDPM, {"mid_block_type": None}, "mid_block_type = null"),
    (DDPM, {"mid_block_scale_factor": 2}, "mid_block_scale_factor = 2: known: 1"),
    (NCSNPP, {"mid_block_scale_factor": 1}, "mid_block_scale_factor = 1: known of these blocks"),
    (DDPM, {"attn_norm_num_groups": 8}, "attn_norm_num_groups = 8: known: null"),
    (DDPM, {"resnet_time_scale_shift": "scale_shift"}, 'resnet_time_scale_shift = "scale_shift"'),
    (DDPM, {"add_attention": False}, "add_attention = false: known: true"),
    (DDPM, {"class_embed_type": "timestep"}, 'class_embed_type = "timestep": known: null'),
    (DDPM, {"num_class_embeds": 10}, "num_class_embeds = 10: known: null"),
    (DDPM, {"time_embedding_dim": 64}, "time_embedding_dim = 64: known: null, 128"),
    (DDPM, {"norm_num_groups": 24}, "norm_num_groups = 24: not a divisor"),
    (DDPM, {"norm_num_groups": None}, "norm_num_groups = null: not a divisor"),
    (NCSNPP, {"norm_num_groups": 32}, "norm_num_groups = 32: known of these blocks: null"),
    (DDPM, {"norm_eps": 0}, "norm_eps = 0: not a number between 0 and 1"),
    (DDPM, {"layers_per_block": 1.5}, "layers_per_block = 1.5: not a whole number"),
    (DDPM, {"block_out_channels": [64, 96]}, "not multiples of the first"),
    (DDPM, {"block_out_channels": []}, "not a list of numbers of channels"),
    (NCSNPP, {"block_out_channels": [64, 64]}, "known with attention in these blocks: 128"),
    (DDPM, {"attention_head_dim": 7}, "attention_head_dim = 7: not a divisor of [64]"),
    (DDPM, {"sample_size": None}, "sample_size = null: not the size of square images"),
    (DDPM, {"sample_size": [16, 8]}, "sample_size = [16, 8]"),
    (DDPM, {"sample_size": 32}, "config.json is of images [3, 32, 32], its card of [3, 16, 16]"),
    (DDPM, {"sample_size": [15, 15]}, "its config.json is of images [3, 15, 15]"),
    (DDPM, {"out_channels": 6}, "out_channels = 6: its card's network has 3"),
]


@pytest.mark.parametrize(("base", "change", "report"), REFUSED)
def test_networks_that_are_not_ours(base: dict[str, Any], change: dict[str, Any], report: str) -> None:
    with pytest.raises(BenchError) as caught:
        configuration(base | change, card(base))
    line = str(caught.value)
    assert report in line
    assert line.isprintable()


def test_heads_of_unlike_numbers() -> None:
    types = {"down_block_types": ["AttnDownBlock2D"] * 2, "up_block_types": ["AttnUpBlock2D"] * 2}
    with pytest.raises(BenchError, match=r"attention_head_dim = 8: \[4, 8\] heads in one network"):
        configuration(DDPM | types | {"attention_head_dim": 8}, card(DDPM))


def test_cards_of_another_convention() -> None:
    with pytest.raises(BenchError, match="the card must say scaled_score and sigma"):
        configuration(NCSNPP, card(NCSNPP, predicts="score"))
    with pytest.raises(BenchError, match="in_channels = 1: known of these blocks: 3"):
        configuration(NCSNPP | {"in_channels": 1, "out_channels": 1}, card(NCSNPP, shape=(1, 16, 16)))


def test_left_out_keys_are_as_in_diffusers(reference: Callable[..., nn.Module]) -> None:
    arguments = inspect.signature(reference.__init__).parameters
    # keys come and go between versions of diffusers: those that this one has
    theirs = {name: arguments[name].default for name in DEFAULTS if name in arguments}
    assert len(theirs) > 20
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in theirs.items()} == {
        k: DEFAULTS[k] for k in theirs
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small network's, without diffusers' help."""
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **DDPM}))
    tensors = views(UNet(configuration(DDPM, card(DDPM))))
    save_file({name: v.contiguous() for name, v in tensors if isinstance(v, Tensor)}, tmp_path / WEIGHTS)
    return tmp_path


def refusal(folder: Path, report: Card | None = None) -> str:
    with pytest.raises(BenchError) as caught:
        Diffusers().read(report or card(DDPM), folder, None)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 300
    return line


def test_a_folder_is_read_without_diffusers(folder: Path) -> None:
    network = Diffusers().read(card(DDPM), folder, None)
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 16, 16), torch.tensor([3.0])).shape == (2, 3, 16, 16)


def test_weights_of_another_network(folder: Path) -> None:
    whole = load_file(folder / WEIGHTS)
    name = "up_blocks.0.attentions.1.to_k.bias"
    save_file({k: t for k, t in whole.items() if k != name}, folder / WEIGHTS)
    assert f"it lacks {name!r}" in refusal(folder)
    save_file(whole | {"time_proj.W": torch.zeros(3)}, folder / WEIGHTS)
    assert "it has 'time_proj.weight'" in refusal(folder)
    save_file(whole | {name: torch.zeros(63)}, folder / WEIGHTS)
    assert refusal(folder) == f"tensor {name!r} has shape (63,), not (64,)"
    save_file(whole | {name: torch.full((64,), np.nan)}, folder / WEIGHTS)
    assert refusal(folder) == f"tensor {name!r} has values that are not finite"


def test_files_of_another_kind(folder: Path) -> None:
    config = folder / "config.json"
    good = config.read_bytes()
    for content, report in [
        (b"{", "config.json is not JSON, or damaged: "),
        (b"\xff\xfe\x00", "config.json is not JSON, or damaged: "),
        (b"[" * 100_000, "config.json is not JSON, or damaged: "),
        (b"[1]", "config.json is of no model, not of a UNet2DModel"),
        (b'{"_class_name": "DDPMScheduler"}', "config.json is of a DDPMScheduler, not of a UNet2DModel"),
    ]:
        config.write_bytes(content)
        assert refusal(folder).startswith(report)
    config.unlink()
    assert refusal(folder) == "config.json is missing"
    config.write_bytes(good)
    (folder / WEIGHTS).write_bytes(b"damaged")
    assert "not a safetensors file, or damaged" in refusal(folder)
    torch.save([1], folder / "old.bin")
    assert "it is not a bare state dict" in refusal(folder, card(DDPM, "old.bin"))


def test_cards_that_name_other_files(folder: Path) -> None:
    assert refusal(folder, card(DDPM, "model.onnx")) == (
        "its card must name one .safetensors or .bin file, and names 0"
    )
    two = card(DDPM, files=[{"name": "a.json"}, {"name": "b.json"}, {"name": WEIGHTS}])
    assert refusal(folder, two) == "its card must name one .json file, and names 2"
    report = refusal(folder, card(DDPM, network={"architecture": "unet", "width": 32}))
    assert report.startswith("its card's [network] must say architecture = 'unet' alone")
    Diffusers().read(
        card(DDPM, files=[{"name": n} for n in ("scheduler_config.json", "config.json", WEIGHTS)]),
        folder,
        None,
    )
