"""From a card to a score: data ranges, preconditioning, the shipped architecture, bad tensors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from bench import BenchError, Card, Denoiser
from bench.checkpoints.exact import exact_data
from bench.checkpoints.load import load_model
from bench.checkpoints.networks.edm import EDMDenoiser
from bench.checkpoints.networks.tiny import TinyUNet
from bench.closed_form.dct import from_dct
from bench.closed_form.mixture import MixtureModel
from bench.diffusion.prediction import Prediction
from bench.diffusion.sampler import Sampler
from bench.diffusion.sde import SDE
from bench.files import REGISTRY
from tests.support.plugins import installed

CPU = torch.device("cpu")
RANGES = ("ve", "vp")
EXACT = [e.thing for e in installed().of_kind("checkpoints") if e.thing.exact]
EVERYWHERE = [card for card in EXACT if card.scales is None]
SMALL: dict[str, Any] = {"width": 16, "width_low": 64, "width_middle": 64, "blocks": 1, "embedding": 32}


def sde(name: str) -> SDE:
    result: SDE = installed().build("sdes", name, {})
    return result


def exact_model(card: Card, name: str) -> MixtureModel:
    """The card's model on an SDE, in float64."""
    model = load_model(card, sde(name), CPU, installed(), dtype=torch.float64)
    assert isinstance(model, MixtureModel)
    return model


def test_the_exact_checkpoints_are_there() -> None:
    toys = {"checkerboard", "eight-gaussians", "spiral", "swiss-roll", "two-moons"}
    assert {card.name for card in EVERYWHERE} == {"gaussian-cifar10", "gmm-cifar10"} | toys
    assert {card.name for card in EXACT} == {card.name for card in EVERYWHERE} | {"gaussian-cifar10-1000"}
    assert {card.name for card in EXACT if card.basis == "data"} == toys


@pytest.mark.parametrize("card", EXACT, ids=lambda card: card.name)
def test_states_are_the_same_images_on_every_data_range(card: Card) -> None:
    data, colour = exact_data(card)
    mean, sd = torch.from_numpy(data.mean), torch.from_numpy(data.variance).sqrt()
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in RANGES:
        model = exact_model(card, name)
        assert model.shape == card.shape
        centre, spread = torch.from_numpy(model.data.mean), torch.from_numpy(model.data.variance).sqrt()
        for z in (torch.zeros_like(noise), noise):
            item = mean + sd * z
            expected = item if colour is None else from_dct(item, colour)
            torch.testing.assert_close(model.images(centre + spread * z), expected, rtol=0, atol=1e-6)
    items = mean if colour is None else from_dct(mean, colour)
    average = torch.from_numpy(data.weight) @ items.flatten(1).mean(1)
    assert 0.3 < float(average) < 0.7  # on the unit range


@pytest.mark.parametrize("card", EVERYWHERE, ids=lambda card: card.name)
def test_the_exact_score_is_the_gradient_of_the_log_density(card: Card) -> None:
    model = exact_model(card, "vp")
    weight, mean, variance = (
        torch.from_numpy(a) for a in (model.data.weight, model.data.mean, model.data.variance)
    )
    noise = torch.randn((3, *card.shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for t in (0.01, 0.2, 0.9):
        level = sde("vp").at(t)
        v = level.alpha**2 * variance + level.sigma**2
        x = (level.alpha * mean[-1] + v[-1].sqrt() * noise).requires_grad_()
        log_each = -0.5 * (((x[:, None] - level.alpha * mean) ** 2) / v + v.log()).flatten(2).sum(2)
        (gradient,) = torch.autograd.grad((log_each + weight.log()).logsumexp(1).sum(), x)
        torch.testing.assert_close(model.score(x.detach(), level), gradient, rtol=1e-7, atol=1e-7)


class ExactGaussian(Denoiser):
    """E[x0 | x] of independent N(mean, variance) pixels on [-1, 1]."""

    def __init__(self, mean: Tensor, variance: Tensor, run_range: tuple[float, float]) -> None:
        super().__init__(tuple(mean.shape), (-1.0, 1.0), run_range)
        self.mean, self.variance = mean, variance
        self.seen: list[float] = []

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        self.seen.append(sigma)
        return (self.variance * x + sigma**2 * self.mean) / (self.variance + sigma**2)


@pytest.mark.parametrize("name", ["ve", "vp", "subvp"])
def test_one_denoiser_gives_the_score_of_every_sde(name: str) -> None:
    sde: SDE = installed().build("sdes", name, {})
    low, high = sde.data_range
    draws = torch.Generator().manual_seed(2)
    mean = torch.rand(3, 4, 4, generator=draws, dtype=torch.float64) * 1.6 - 0.8
    variance = torch.rand(3, 4, 4, generator=draws, dtype=torch.float64) * 0.3 + 0.01
    model = ExactGaussian(mean, variance, (low, high))
    score = Prediction(model, sde)
    # the data on the run's range: y = low + (x + 1) (high - low) / 2
    half = (high - low) / 2
    run_mean, run_variance = low + (mean + 1) * half, variance * half**2
    times = (0.1, 0.3, 0.6, 1.0)
    for t in times:
        level = sde.at(t)
        noise = torch.randn(5, 3, 4, 4, generator=draws, dtype=torch.float64)
        total = level.alpha**2 * run_variance + level.sigma**2
        x = level.alpha * run_mean + total.sqrt() * noise
        expected = (level.alpha * run_mean - x) / total
        torch.testing.assert_close(score.score(x, t), expected, rtol=1e-10, atol=1e-10)
    assert score.calls == len(times)
    # a network on [-1, 1] sees VE's sigma, in units of [0, 1], doubled
    levels = [sde.at(t) for t in times]
    assert model.seen == pytest.approx([level.sigma / level.alpha / half for level in levels], rel=1e-14)
    assert half == (0.5 if name == "ve" else 1.0)
    clean = torch.rand(2, 3, 4, 4, generator=draws, dtype=torch.float64)
    torch.testing.assert_close(model.images(low + clean * (high - low)), clean, rtol=0, atol=1e-14)


class Recorder(nn.Module):
    """A network that keeps what it was given and answers something of its own."""

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        self.x, self.noise = x, noise
        return (3 * x).sin() + noise[:, None, None, None]


def test_edm_preconditioning() -> None:
    network = Recorder()
    denoiser = EDMDenoiser(network, sigma_data=0.4)
    draws = torch.Generator().manual_seed(3)
    x = torch.randn(6, 3, 8, 8, generator=draws, dtype=torch.float64)
    sigma = torch.tensor([0.002, 0.02, 0.4, 1.0, 20.0, 80.0], dtype=torch.float64)
    result = denoiser(x, sigma)
    s = sigma[:, None, None, None]
    root = (s**2 + 0.4**2).sqrt()
    torch.testing.assert_close(network.x, x / root)
    torch.testing.assert_close(network.noise, sigma.log() / 4)
    answer = network(x / root, sigma.log() / 4)
    torch.testing.assert_close(result, 0.4**2 / root**2 * x + s * 0.4 / root * answer)


def test_edm_denoiser_leaves_clean_data_alone() -> None:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    result = EDMDenoiser(Recorder())(x, torch.full((2,), 1e-9, dtype=torch.float64))
    torch.testing.assert_close(result, x, rtol=0, atol=1e-7)


def small_unet(seed: int) -> TinyUNet:
    """A small network with random weights everywhere, those that begin at zero too."""
    network = TinyUNet(**SMALL).eval()
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.1)
    return network


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (4, 3, 32, 32), (2, 3, 16, 24)])
def test_the_unet_keeps_shapes_and_samples_apart(shape: tuple[int, ...]) -> None:
    network = small_unet(0)
    draws = torch.Generator().manual_seed(5)
    x, noise = torch.randn(shape, generator=draws), torch.linspace(-1.5, 1.0, shape[0])
    with torch.no_grad():
        result = network(x, noise)
        alone = network(x[-1:], noise[-1:])
        other = network(x, noise + 0.5)
    assert result.shape == shape
    assert bool(result.isfinite().all())
    torch.testing.assert_close(result[-1:], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(result, other, rtol=1e-2, atol=1e-3)  # it listens to the noise level


def _card(folder: Path, blob: bytes, **changes: Any) -> Card:
    """A card of its own on a file with that content, size and hash right."""
    (folder / "mine.bin").write_bytes(blob)
    fields = Card.read(REGISTRY / "cards" / "gaussian-cifar10.toml").model_dump(by_alias=True)
    file = {"name": "mine.bin", "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
    if changes.get("format") == "edm":
        file["name"] = "mine.safetensors"
    card = Card(**fields | {"name": "mine", "files": [file]} | changes)
    (folder / "mine.bin").rename(folder / str(file["name"]))
    card._home = folder
    return card


EDM: dict[str, Any] = {
    "format": "edm",
    "predicts": "edm",
    "labels": "edm",
    "data_range": (-1.0, 1.0),
    "network": SMALL | {"architecture": "tiny", "sigma_data": 0.4},
    "training": {"images": 10},
}


@pytest.mark.parametrize("stored", [torch.float32, torch.float16])
def test_a_unet_goes_through_its_file_and_card(tmp_path: Path, stored: torch.dtype) -> None:
    network = small_unet(1)
    state = {name: t.to(stored) for name, t in network.state_dict().items()}
    card = _card(tmp_path, save(state), **EDM)
    network.load_state_dict({name: t.float() for name, t in state.items()})
    vp = sde("vp")
    model = load_model(card, vp, CPU, installed())
    x = torch.randn(2, *card.shape, generator=torch.Generator().manual_seed(7))
    before = x.clone()
    level = vp.at(0.4)
    with torch.no_grad():
        ratio = torch.full((2,), level.sigma / level.alpha)
        denoised = EDMDenoiser(network, 0.4)(x / level.alpha, ratio)
    expected = (level.alpha * denoised - x) / level.sigma**2
    torch.testing.assert_close(model.score(x, level), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(x, before)
    assert not model.score(x, level).requires_grad
    # it samples too, to the end
    sampler = Sampler(vp, installed().build("predictors", "reverse_diffusion", {}), steps=25)
    draws = torch.Generator().manual_seed(8)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=draws)

    score = Prediction(model, vp)
    assert sampler.run(x, score, noise, noise).shape == x.shape
    assert score.calls == 25


def _exact_tensors() -> dict[str, Tensor]:
    return load_file(REGISTRY / "cards" / "gaussian-cifar10.safetensors")


def _wrong_blobs() -> dict[str, tuple[bytes, dict[str, Any]]]:
    state = small_unet(2).state_dict()
    name = next(iter(state))
    exact = _exact_tensors()
    return {
        "not safetensors": (b"anything but tensors", {}),
        "cut, hash right": (save(exact)[:-100], {}),
        "edm, not safetensors": (b"anything but tensors", EDM),
        "edm, a tensor missing": (save({k: v for k, v in state.items() if k != name}), EDM),
        "edm, a tensor too many": (save(state | {"extra": torch.zeros(1)}), EDM),
        "edm, a tensor's shape": (save(state | {name: torch.zeros(2, 3)}), EDM),
        "edm, another network": (save(state), EDM | {"network": EDM["network"] | {"width": 32}}),
        "edm, unknown option": (save(state), EDM | {"network": EDM["network"] | {"depth": 32}}),
        "edm, unknown architecture": (save(state), EDM | {"network": SMALL | {"architecture": "tin"}}),
        "edm, a tensor of integers": (save(state | {name: state[name].int()}), EDM),
        "edm, a tensor not finite": (save(state | {name: state[name] / 0}), EDM),
        "no such format": (save(state), EDM | {"format": "edn"}),
        "exact, a tensor missing": (save({k: v for k, v in exact.items() if k != "variance"}), {}),
        "exact, another shape": (save(exact | {"mean": torch.zeros(1, 3, 8, 8)}), {}),
        "exact, no distribution": (save(exact | {"variance": -exact["variance"]}), {}),
    }


@pytest.mark.parametrize("wrong", _wrong_blobs())
def test_wrong_tensors_with_the_right_hash_are_refused(tmp_path: Path, wrong: str) -> None:
    blob, changes = _wrong_blobs()[wrong]
    card = _card(tmp_path, blob, **changes)
    card.check()
    with pytest.raises(BenchError, match=r"checkpoint mine|unknown reader") as error:
        load_model(card, sde("vp"), CPU, installed())
    assert "\n" not in str(error.value)
