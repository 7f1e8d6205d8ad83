"""Folders of Hugging Face's diffusers: ``config.json`` of a ``UNet2DModel`` and its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench import BenchError, Card, Reader, printable

if TYPE_CHECKING:
    from torch import Tensor

    from bench import SDE, Attention, UNet, UNetConfig
    from bench_readers.layout import View

BLOCK = {
    "norm0": "norm1",
    "conv0": "conv1",
    "embed": "time_emb_proj",
    "norm1": "norm2",
    "conv1": "conv2",
    "skip": "conv_shortcut",
}

ATTENTION = (("to_q", "to_k", "to_v", "to_out.0"), ("query", "key", "value", "proj_attn"))
"""Names of an attention's matrices: today's, and those of 2022."""

DEFAULTS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", *["AttnDownBlock2D"] * 3],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": [*["AttnUpBlock2D"] * 3, "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
    "num_train_timesteps": None,
}
"""Defaults of the keys of config.json. Only ``dropout`` and ``num_train_timesteps`` don't affect sampling."""

ONLY: dict[str, tuple[Any, ...]] = {
    "time_embedding_type": ("positional", "fourier"),
    "mid_block_type": ("UNetMidBlock2D",),
    "downsample_type": ("conv",),
    "upsample_type": ("conv",),
    "act_fn": ("silu", "swish"),
    "attn_norm_num_groups": (None,),
    "resnet_time_scale_shift": ("default",),
    "add_attention": (True,),
    "center_input_sample": (False, True),
    "flip_sin_to_cos": (False, True),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
}
"""Supported values of the keys that support no others."""

EMBEDDINGS = {(False, 1): "positional", (True, 0): "cosine_first"}
"""By ``flip_sin_to_cos`` and ``freq_shift``."""


class Diffusers(Reader):
    """``config.json`` of a ``UNet2DModel`` and its ``.safetensors`` or ``.bin``, of two families.

    DDPM's (``DownBlock2D``, ``AttnDownBlock2D``; Ho et al. 2020) and NCSN++'s (``SkipDownBlock2D``,
    ``AttnSkipDownBlock2D``; Song et al. 2021). diffusers divides NCSN++'s output by sigma; this network
    returns the scaled score, and the division follows from the card's ``predicts``.
    """

    name = "diffusers"

    def read(self, card: Card, folder: Path, sde: SDE | None) -> UNet:
        del sde
        from bench import UNet
        from bench_readers.files import safetensors_file, torch_file
        from bench_readers.layout import load, tensors

        if card.network != {"architecture": "unet"}:
            raise BenchError(
                "its card's [network] must say architecture = 'unet' alone: config.json has the rest"
            )
        config = configuration(_config(folder / _file(card, ".json")), card)
        weights = folder / _file(card, ".safetensors", ".bin")
        content = safetensors_file(weights) if weights.suffix == ".safetensors" else torch_file(weights)
        published = tensors(content)
        try:
            network = UNet(config)
        except ValueError as error:
            raise BenchError(f"its config.json makes no network: {printable(str(error))}") from error
        old = any(name.endswith(".query.weight") for name in published)
        load(views(network, ATTENTION[old]), *_without_copies(published))
        return network

    def example(self, folder: Path) -> Card:
        from safetensors.torch import save_file

        from bench import UNet
        from bench_readers.example import example_card, random_weights
        from bench_readers.layout import published

        files = ["config.json", "example.safetensors"]
        table = {"architecture": "unet"}
        card = example_card(self, files, network=table, predicts="noise", labels="index", scales=1000)
        content = {
            "sample_size": card.shape[1],
            "block_out_channels": [32, 64],
            "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
            "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        }
        (folder / files[0]).write_text(json.dumps({"_class_name": "UNet2DModel"} | content))
        network = random_weights(UNet(configuration(DEFAULTS | content, card)))
        save_file(published(views(network)), folder / files[1])
        return card


def _file(card: Card, *suffixes: str) -> str:
    """The one file of a card with such a suffix; ``config.json`` takes precedence."""
    names = [file.name for file in card.files if Path(file.name).suffix in suffixes]
    names = ["config.json"] if "config.json" in names else names
    if len(names) != 1:
        raise BenchError(f"its card must name one {' or '.join(suffixes)} file, and names {len(names)}")
    return names[0]


def _without_copies(published: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under today's names, and the names of copies that some versions wrote besides."""
    old, new = "time_proj.W", "time_proj.weight"
    if old in published:
        published = {new: published[old], **published}
    return published, [old]


def _config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise BenchError(f"{path.name} is missing") from error
    except OSError as error:
        raise BenchError(f"{path.name} can't be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise BenchError(f"{path.name} is not JSON, or damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise BenchError(f"{path.name} is not JSON, or damaged: it is not text") from error
    except ValueError as error:
        raise BenchError(f"{path.name} is not JSON, or damaged: a number in it is too long") from error
    except RecursionError as error:
        raise BenchError(f"{path.name} is not JSON, or damaged: it is nested too deep") from error
    kind = content.get("_class_name") if isinstance(content, dict) else None
    if kind != "UNet2DModel":
        subject = f"of a {printable(str(kind))}" if kind else "of no model"
        raise BenchError(f"{path.name} is {subject}, not of a UNet2DModel")
    return {key: value for key, value in content.items() if not key.startswith("_")}


def _refuse(key: str, value: Any, why: str) -> NoReturn:
    setting = f"{printable(key)} = {printable(json.dumps(value))}"
    raise BenchError(f"its config.json has {setting}: {printable(why)}")


def configuration(table: Mapping[str, Any], card: Card) -> UNetConfig:
    """The `UNetConfig` of the network that config.json describes; `BenchError` where there is none."""
    from bench import UNetConfig

    for key, value in table.items():
        if key not in DEFAULTS:
            _refuse(key, value, "an unknown key")
    c = DEFAULTS | dict(table)
    for key, known in ONLY.items():
        if not any(type(c[key]) is type(value) and c[key] == value for value in known):
            _refuse(key, c[key], f"known: {', '.join(map(json.dumps, known))}")
    channels = c["block_out_channels"]
    if not isinstance(channels, list) or not channels or not all(_whole(n) for n in channels):
        _refuse("block_out_channels", channels, "not a list of numbers of channels")
    for key in ("in_channels", "out_channels", "layers_per_block"):
        if not _whole(c[key]):
            _refuse(key, c[key], "not a whole number")
    width, size = channels[0], _size(c["sample_size"])
    if any(n % width for n in channels):
        _refuse("block_out_channels", channels, "not multiples of the first")
    if c["time_embedding_dim"] not in (None, 4 * width):
        _refuse("time_embedding_dim", c["time_embedding_dim"], f"known: null, {4 * width}")
    if not _number(c["norm_eps"]) or not 0 < c["norm_eps"] < 1:
        _refuse("norm_eps", c["norm_eps"], "not a number between 0 and 1")
    skip, attended = _blocks(c, len(channels))
    heads = _heads(
        c["attention_head_dim"], {n for n, a in zip(channels, attended, strict=True) if a} | {channels[-1]}
    )
    _agree(card, c, size, skip=skip)
    family = _skip(c, attended) if skip else _plain(c)
    try:
        return UNetConfig(
            size=size,
            channels=c["in_channels"],
            outputs=c["out_channels"],
            width=width,
            multipliers=tuple(n // width for n in channels),
            blocks=c["layers_per_block"],
            attention=tuple(size >> i for i, a in enumerate(attended) if a),
            heads=heads,
            eps=float(c["norm_eps"]),
            centre=c["center_input_sample"],
            **family,
        )
    except BenchError as error:
        raise BenchError(f"its config.json makes no network: {error}") from error


def _whole(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _size(value: Any) -> int:
    """Height and width of the square images."""
    sizes = value if isinstance(value, list) else [value, value]
    if len(sizes) != 2 or sizes[0] != sizes[1] or not _whole(sizes[0]):
        _refuse("sample_size", value, "not the size of square images")
    size: int = sizes[0]
    return size


def _blocks(c: Mapping[str, Any], levels: int) -> tuple[bool, list[bool]]:
    """Whether the levels are NCSN++'s, and which have attention, from the largest image down."""
    kinds: dict[str, list[tuple[bool, bool]]] = {}
    for way in ("Down", "Up"):
        key = f"{way.lower()}_block_types"
        known = {f"{a}{s}{way}Block2D": (bool(s), bool(a)) for s in ("", "Skip") for a in ("", "Attn")}
        if not isinstance(c[key], list) or len(c[key]) != levels:
            _refuse(key, c[key], f"not a list of {levels} blocks, as many as block_out_channels has")
        for block in c[key]:
            if not isinstance(block, str) or block not in known:
                _refuse(key, block, f"known: {', '.join(known)}")
        kinds[way] = [known[block] for block in c[key]]
    if kinds["Up"][::-1] != kinds["Down"]:
        _refuse("up_block_types", c["up_block_types"], "not down_block_types backwards")
    if len({skip for skip, _ in kinds["Down"]}) > 1:
        _refuse("down_block_types", c["down_block_types"], "blocks of two families")
    return kinds["Down"][0][0], [attention for _, attention in kinds["Down"]]


def _heads(dim: Any, channels: set[int]) -> int:
    """Number of heads where each has ``dim`` channels; one where ``dim`` is None."""
    if dim is None:
        return 1
    if not _whole(dim) or any(n % dim for n in channels):
        _refuse(
            "attention_head_dim", dim, f"not a divisor of {sorted(channels)}, the channels with attention"
        )
    heads: set[int] = {n // dim for n in channels}
    if len(heads) > 1:
        _refuse(
            "attention_head_dim", dim, f"{sorted(heads)} heads in one network: known is one number of them"
        )
    return heads.pop()


def _plain(c: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of DDPM's blocks."""
    groups, scale, padding = c["norm_num_groups"], c["mid_block_scale_factor"], c["downsample_padding"]
    if not _whole(groups) or any(n % groups for n in c["block_out_channels"]):
        _refuse("norm_num_groups", groups, "not a divisor of block_out_channels")
    if not _number(scale) or scale != 1:
        _refuse("mid_block_scale_factor", scale, "known: 1")
    if type(padding) is not int or padding not in (0, 1):
        _refuse("downsample_padding", padding, "known: 0, 1")
    if c["time_embedding_type"] != "positional":
        _refuse("time_embedding_type", c["time_embedding_type"], "known of these blocks: positional")
    order = (c["flip_sin_to_cos"], c["freq_shift"])
    if not _number(order[1]) or order not in EMBEDDINGS:
        known = " or ".join(str(shift) for flip, shift in EMBEDDINGS if flip == order[0])
        _refuse("freq_shift", order[1], f"known with flip_sin_to_cos = {json.dumps(order[0])}: {known}")
    return {
        "attention_up": "each",
        "embedding": EMBEDDINGS[order],
        "group_size": 1,
        "most_groups": groups,
        "even": padding == 1,
    }


def _skip(c: Mapping[str, Any], attended: list[bool]) -> dict[str, Any]:
    """The settings of NCSN++'s blocks."""
    channels, groups, scale = c["block_out_channels"], c["norm_num_groups"], c["mid_block_scale_factor"]
    # in these blocks diffusers gives attention 32 groups, other norms a quarter as many as channels
    if any(a and n < 128 for n, a in zip(channels, attended, strict=True)):
        _refuse("block_out_channels", channels, "known with attention in these blocks: 128 channels and more")
    if groups is not None and any(groups != min(32, n // 4) for n in (channels[0], channels[-1])):
        _refuse("norm_num_groups", groups, "known of these blocks: null")
    if not isinstance(scale, float) or not abs(scale - math.sqrt(2)) <= 1e-6:
        _refuse("mid_block_scale_factor", scale, "known of these blocks: 1.41421356237")
    if c["time_embedding_type"] != "fourier":
        _refuse("time_embedding_type", c["time_embedding_type"], "known of these blocks: fourier")
    if (c["in_channels"], c["out_channels"]) != (3, 3):
        _refuse("in_channels", c["in_channels"], "known of these blocks: 3, and so of out_channels")
    return {
        "attention_up": "last",
        "embedding": "fourier_log",
        "group_size": 4,
        "biggan": True,
        "fir": True,
        "rescale": True,
        "pyramid_in": "skip",
        "pyramid_out": "skip",
    }


def _agree(card: Card, c: Mapping[str, Any], size: int, *, skip: bool) -> None:
    """`BenchError` where the card describes another network than config.json."""
    shape = (c["in_channels"], size, size)
    if tuple(card.shape) != shape:
        raise BenchError(f"its config.json is of images {list(shape)}, its card of {list(card.shape)}")
    outputs = c["in_channels"] * (2 if card.learned_variance else 1)
    if c["out_channels"] != outputs:
        _refuse("out_channels", c["out_channels"], f"its card's network has {outputs}")
    if skip and (card.predicts, card.labels) != ("scaled_score", "sigma"):
        raise BenchError("its config.json is of an NCSN++: the card must say scaled_score and sigma")


def views(network: UNet, attention: tuple[str, ...] = ATTENTION[0]) -> Iterator[View]:
    """Every parameter of ``network`` under its published name; ``attention`` names the matrices of one."""
    from bench import FourierFeatures, ResidualBlock
    from bench_readers.layout import block, named

    def level(prefix: str, ours: Any) -> Iterator[View]:
        for j, layer in enumerate(ours.blocks):
            yield from block(f"{prefix}.resnets.{j}", layer, BLOCK)
        for j, layer in enumerate(ours.attention):
            yield from _attention(f"{prefix}.attentions.{j}", layer, attention)

    def resample(prefix: str, way: str, ours: Any) -> Iterator[View]:
        if isinstance(ours, ResidualBlock):
            yield from block(f"{prefix}.resnet_{way}", ours, BLOCK)
        elif ours is not None:
            yield from named(f"{prefix}.{way}samplers.0.conv", ours.conv)

    yield from named("conv_in", network.stem)
    if isinstance(network.noise, FourierFeatures):
        yield "time_proj.weight", network.noise.weight.detach()
    yield from named("time_embedding.linear_1", network.embed0)
    yield from named("time_embedding.linear_2", network.embed1)
    for i, down in enumerate(network.down):
        yield from level(f"down_blocks.{i}", down)
        yield from resample(f"down_blocks.{i}", "down", down.shrink)
        if down.pyramid is not None:
            yield from named(f"down_blocks.{i}.skip_conv", down.pyramid)  # type: ignore[arg-type]
    for j, layer in enumerate(network.middle):
        yield from block(f"mid_block.resnets.{j}", layer, BLOCK)  # type: ignore[arg-type]
    yield from _attention("mid_block.attentions.0", network.middle_attention, attention)
    norm: Any = network.norm
    out: Any = network.out
    for i, up in enumerate(network.up):
        yield from level(f"up_blocks.{i}", up)
        yield from resample(f"up_blocks.{i}", "up", up.grow)
        if up.grow is None and up.pyramid is not None:
            norm, out = up.pyramid_norm, up.pyramid  # the pyramid's last step makes the output
        elif up.pyramid is not None:
            yield from named(f"up_blocks.{i}.skip_norm", up.pyramid_norm)  # type: ignore[arg-type]
            yield from named(f"up_blocks.{i}.skip_conv", up.pyramid)  # type: ignore[arg-type]
    yield from named("conv_norm_out", norm)
    yield from named("conv_out", out)


def _attention(prefix: str, ours: Attention, names: tuple[str, ...]) -> Iterator[View]:
    from bench_readers.layout import named, thirds

    yield from named(f"{prefix}.group_norm", ours.norm)
    layers = [*thirds(ours), (ours.proj.weight.detach(), ours.proj.bias.detach())]
    for name, (weight, bias) in zip(names, layers, strict=True):
        yield f"{prefix}.{name}.weight", weight
        yield f"{prefix}.{name}.bias", bias
