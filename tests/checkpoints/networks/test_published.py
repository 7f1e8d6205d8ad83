"""The published networks: recorded scores, sizes, layouts there and back, compiled and in bfloat16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bench.checkpoints.cards import Card
from bench.checkpoints.load import load_model, read_network
from bench.checkpoints.networks.layers import Attention, ConvDown, ConvUp, Fir, GroupNorm, ResidualBlock
from bench.checkpoints.networks.unet import PUBLISHED, UNet, UNetConfig
from bench.files import REGISTRY
from bench_readers import score_sde
from bench_readers.layout import Merged
from tests.support import score_sde_files as files
from tests.support.analytic import sde
from tests.support.plugins import installed

CPU = torch.device("cpu")
SMALL = {"width": 32, "multipliers": (1, 1), "blocks": 1}


def scores(card: Card) -> np.ndarray:
    """The model's score at the recorded inputs, each at its own time."""
    assert card.sde is not None
    law = sde(card.sde)
    model = load_model(card, law, CPU, installed())
    x = torch.from_numpy(files.recorded()["x"]).float()
    t = files.recorded()["t"]
    with torch.no_grad():
        result = [model.score(x[i : i + 1], law.at(float(t[i]))) for i in range(len(x))]
    return torch.cat(result).double().numpy()


def worst(result: np.ndarray, expected: np.ndarray) -> float:
    """The largest error of any image, relative to its largest value."""
    largest = np.abs(expected).reshape(len(expected), -1).max(1)
    return float((np.abs(result - expected).reshape(len(expected), -1).max(1) / largest).max())


@pytest.mark.parametrize("weights", ["raw", "ema"])
@pytest.mark.parametrize("name", files.networks())
def test_recorded_scores(name: str, weights: str, tmp_path: Path) -> None:
    torch.save(files.published(name), tmp_path / "small.pth")
    card = files.card(name, tmp_path, "small.pth", parameters={"reader": {"weights": weights}})
    # float32 sums over some thirty layers: 1e-5 seen, 1e-4 asked for
    assert worst(scores(card), files.recorded()[f"{name}/{weights}"]) < 3e-5


@pytest.mark.parametrize("name", ["ddpm_vp", "ncsnpp_ve_continuous"])
def test_recorded_files_load(name: str) -> None:
    card = files.card(name, files.FOLDER, f"{name}.pth")
    assert worst(scores(card), files.recorded()[f"{name}/ema"]) < 3e-5


@pytest.mark.parametrize(
    ("configuration", "count"),
    [
        ("ddpm", 35_218_947),
        ("ddpmpp", 61_804_419),
        ("ncsnpp", 62_693_251),
        ("ncsnpp_continuous", 62_758_787),
        ("ncsnpp_deep_continuous", 107_586_947),
        # as the continuous one, but for the first layer of the embedding: 512 x 128, not 512 x 256
        ("ncsnpp_deep", 107_586_947 - 512 * 128),
    ],
)
def test_published_sizes(configuration: str, count: int) -> None:
    """Trainable parameters of the reference's full-size networks."""
    with torch.device("meta"):
        network = UNet(PUBLISHED[configuration])
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == count


@pytest.mark.parametrize("path", sorted((REGISTRY / "cards").glob("*.toml")), ids=lambda path: path.stem)
def test_every_card_builds_its_network(path: Path) -> None:
    card = Card.read(path)
    if card.network.get("architecture") != "unet" or card.format == "diffusers":
        return
    values = {k: v for k, v in card.network.items() if k != "sigma_data"}
    config = UNetConfig.read(values | {"classes": card.classes})
    assert (config.channels, config.size) == (card.shape[0], card.shape[1])
    assert config.outputs == card.shape[0] * (2 if card.learned_variance else 1)
    assert config.centre == (card.data_range == (0.0, 1.0))


def random_network(**changes: Any) -> UNet:
    """A network whose every tensor is drawn, so that none hides behind a zero."""
    torch.manual_seed(3)
    network = UNet(UNetConfig.read(changes))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            plain = "norm" in name and name.endswith("weight")
            parameter.copy_(torch.randn_like(parameter) * 0.1 + plain)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("configuration", [c for c in PUBLISHED if c.startswith(("ddpm", "ncsnpp"))])
def test_there_and_back(configuration: str, tmp_path: Path) -> None:
    """Our network, written in the published layout and read again, answers the same to the bit."""
    ours = random_network(configuration=configuration, **SMALL | {"blocks": 2})
    views = dict(score_sde.views(ours))
    assert sum(v.shape.numel() for v in views.values()) == sum(p.numel() for p in ours.parameters())
    tensors: dict[str, Tensor] = {}
    for name, view in views.items():
        assert not isinstance(view, Merged)
        tensors[name] = view.contiguous()
    average = [tensor for name, tensor in tensors.items() if name not in score_sde.frozen(ours)]
    stored = {"model": {f"module.{k}": t for k, t in tensors.items()}, "ema": {"shadow_params": average}}
    torch.save(stored, tmp_path / "ours.pth")
    card = files.card(
        "ncsnpp_ve",
        tmp_path,
        "ours.pth",
        network={"architecture": "unet", "configuration": configuration, **SMALL, "blocks": 2},
    )
    there = read_network(card, installed())
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([3.0])
    with torch.no_grad():
        assert torch.equal(ours(x, label), there(x, label))


def test_one_label_stands_for_the_batch() -> None:
    network = random_network(configuration="ncsnpp_continuous", **SMALL)
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one, three = network(x, torch.tensor([0.5])), network(x, torch.full((3,), 0.5))
    torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("class_features", ["noise", "embedding"])
def test_each_image_is_of_its_own_class(class_features: str) -> None:
    network = random_network(configuration="edm_vp", classes=3, class_features=class_features, **SMALL)
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).repeat(5, 1, 1, 1)
    y = network(x, torch.tensor([0.5]), torch.tensor([2, 0, -1, 2, 0]))
    torch.testing.assert_close(y[3:], y[:2], rtol=1e-4, atol=1e-5)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float((y[i] - y[j]).abs().max()) > 1e-3


VARIANTS: dict[str, dict[str, Any]] = {
    "skips": {"pyramid_in": "skip", "pyramid_out": "skip", "fir": True, "biggan": True},
    "skips, plain": {"pyramid_in": "skip", "pyramid_out": "skip", "biggan": True, "rescale": True},
    "joined": {"pyramid_in": "skip", "combine": "cat", "biggan": True},
    "residuals": {"pyramid_in": "residual", "pyramid_out": "residual", "fir": True, "biggan": True},
    "residuals, plain": {"pyramid_in": "residual", "pyramid_out": "residual"},
    "convolutions": {"fir": True},
}


TRACED = ("ddpm", "ncsnpp_continuous", "iddpm", "skips", "joined", "residuals, plain", "convolutions")


@pytest.mark.parametrize("configuration", TRACED)
def test_traced_whole(configuration: str) -> None:
    """No graph breaks: the whole network is one graph, which computes the same."""
    arguments: dict[str, Any] = VARIANTS.get(configuration, {"configuration": configuration})
    network = random_network(**arguments, **SMALL)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    label = torch.tensor([3.0])
    whole = torch.compile(network, fullgraph=True, dynamic=False, backend="eager")
    with torch.no_grad():
        expected = network(x, label)
        torch.testing.assert_close(whole(x, label), expected, rtol=1e-4, atol=1e-4)
    assert expected.shape == (2, network.config.outputs, 32, 32)
    torch._dynamo.reset()


@pytest.mark.parametrize("configuration", ["ddpm", "ncsnpp_continuous", "iddpm", "edm_vp"])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_one_memory_format_throughout_and_nothing_made_per_call(
    configuration: str, memory: torch.memory_format
) -> None:
    """No layer changes the memory format; no table or index is made in a call."""
    network = random_network(configuration=configuration, **SMALL).to(memory_format=memory)
    fell: list[str] = []
    seen: set[str] = set()

    def look(layer: torch.nn.Module, arguments: tuple[Any, ...], y: Tensor) -> None:
        images = [t for t in (*arguments, y) if isinstance(t, Tensor) and t.ndim == 4]
        if not all(t.is_contiguous(memory_format=memory) for t in images):
            fell.append(type(layer).__name__)

    class Ops(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.add(func.overloadpacket.__name__)
            return func(*args, **kwargs or {})

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | GroupNorm | ResidualBlock | Attention | Fir):
            layer.register_forward_hook(look)
    x = torch.randn(2, 3, 32, 32).contiguous(memory_format=memory)
    label = torch.tensor([3.0])
    with torch.no_grad(), Ops():  # type: ignore[no-untyped-call]
        network(x, label)
    assert fell == []
    assert "convolution" in seen  # it saw the network
    instance = {"arange", "linspace", "zeros", "ones", "full", "eye", "scalar_tensor", "lift_fresh", "empty"}
    assert not instance & seen


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_group_norm_adds_up_in_float32(layout: torch.memory_format) -> None:
    """Of numbers far from zero: sums in bfloat16 would be off by their mean's rounding, 30 * 2^-9 here."""
    torch.manual_seed(0)
    norm = GroupNorm(16, 64, eps=1e-6)
    x = (torch.randn(2, 64, 32, 32) + 30).bfloat16().contiguous(memory_format=layout)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    expected = F.group_norm(x.double(), 16, eps=1e-6)
    assert y.dtype == torch.bfloat16
    # bfloat16 rounds the result, and up to three terms on the way to it, by 2^-9
    assert float((y - expected).abs().max() / expected.abs().max()) < 4 * 2**-9


@pytest.mark.parametrize("configuration", ["ddpm", "ncsnpp_continuous"])
def test_bfloat16_stays_near(configuration: str) -> None:
    name = {"ddpm": "ddpm_vp", "ncsnpp_continuous": "ncsnpp_ve_continuous"}[configuration]
    card = files.card(name, files.FOLDER, f"{name}.pth")
    assert card.sde is not None
    law = sde(card.sde)
    x = torch.from_numpy(files.recorded()["x"]).float()
    with torch.no_grad():
        full, half = (
            load_model(card, law, CPU, installed(), precision=p).score(x, law.at(0.5))
            for p in ("fp32", "bf16")
        )
    assert not torch.equal(full, half)
    # bf16 keeps 8 bits: 2^-8 a layer, some thirty layers adding up as their root
    assert float((full - half).norm() / full.norm()) < 30**0.5 * 2**-8


class Halving(nn.Module):
    """A network that is compiled in no time."""

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return x / 2 + label


def test_every_size_of_batch_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past 8 compilations torch goes on uncompiled, with a warning; a run must not."""
    sizes: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        sizes.append(max(len(x) for x in inputs))
        return graph.forward

    compiled = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda network, **arguments: compiled(network, backend=backend, **arguments)
    )
    monkeypatch.setattr("bench.checkpoints.load.read_network", lambda *_: Halving())
    torch._dynamo.reset()
    card = files.card("ddpm_vp", files.FOLDER, "ddpm_vp.pth")
    model = load_model(card, sde("vp"), CPU, installed(), compile=True)
    with torch.no_grad():
        for size in (*range(1, 11), 1, 10):
            model.score(torch.zeros(size, 3, 32, 32), sde("vp").at(0.5))
    torch._dynamo.reset()
    assert sizes == list(range(1, 11))


def test_compiled_agrees(tmp_path: Path) -> None:
    """Compiled and not, within 1e-3, as a model is run."""
    arguments = {"width": 32, "multipliers": [1], "blocks": 1, "attention": []}
    save_file(random_network(**arguments).state_dict(), tmp_path / "small.safetensors")
    card = files.card(
        "ddpm_vp",
        tmp_path,
        "small.safetensors",
        format="edm",
        sde=None,
        predicts="edm",
        labels="edm",
        network={"architecture": "unet", **arguments},
    )
    law = sde("vp")
    x = torch.from_numpy(files.recorded()["x"]).float()
    with torch.no_grad():
        plain, compiled = (
            load_model(card, law, CPU, installed(), compile=on).score(x, law.at(0.5)) for on in (False, True)
        )
    torch._dynamo.reset()
    assert float((plain - compiled).abs().max()) < 1e-3 * float(plain.abs().max())


TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def doubled(image: np.ndarray) -> np.ndarray:
    """Zeros between the pixels, then the filter: the whole of it, of which pixel (0, 0) is at (2, 2)."""
    spread = np.zeros((2 * len(image), 2 * len(image)))
    spread[::2, ::2] = image
    whole: np.ndarray = signal.convolve2d(spread, 4 * TAPS)
    return whole


def test_filters_on_the_whole_plane() -> None:
    """FIR resampling, alone and with a convolution, as sums over an image in a plane of zeros."""
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(8, 8)), rng.normal(size=(3, 3))
    x = torch.from_numpy(image)[None, None]

    down = Fir(1, "down").double()(x)[0, 0].numpy()
    np.testing.assert_allclose(down, signal.convolve2d(image, TAPS)[2:-1:2, 2:-1:2], atol=1e-6)
    up = Fir(1, "up").double()(x)[0, 0].numpy()
    np.testing.assert_allclose(up, doubled(image)[1:17, 1:17], atol=1e-6)

    alpha_ratio, grow = ConvDown(1, 1, fir=True).double(), ConvUp(1, 1, fir=True).double()
    with torch.no_grad():
        for layer in (alpha_ratio, grow):
            layer.conv.weight.copy_(torch.from_numpy(kernel)[None, None])
            layer.conv.bias.zero_()  # type: ignore[union-attr]
        less, more = alpha_ratio(x)[0, 0].numpy(), grow(x)[0, 0].numpy()
    # the network's convolutions are correlations; both operations commute on the plane
    blurred = signal.correlate2d(signal.convolve2d(image, TAPS), kernel)
    np.testing.assert_allclose(less, blurred[3:-2:2, 3:-2:2][:4, :4], atol=1e-6)
    np.testing.assert_allclose(more, signal.correlate2d(doubled(image), kernel)[2:18, 2:18], atol=1e-6)
