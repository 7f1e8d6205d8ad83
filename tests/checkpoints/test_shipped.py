"""The networks and the classifier that come with the project."""

from __future__ import annotations

import csv
import json
import tomllib
from functools import cache
from pathlib import Path

import pytest
import torch

from bench import SDE, Card, NoiseLevel, Prediction, Sampler
from bench.checkpoints.load import load_model
from bench.cli import main
from bench.files import REGISTRY
from tests.support.analytic import Replay
from tests.support.pages import page_says
from tests.support.plugins import installed

CPU = torch.device("cpu")


def card() -> Card:
    result: Card = installed().get("checkpoints", "cifar10-tiny").thing
    return result


def sde(name: str) -> SDE:
    result: SDE = installed().build("sdes", name, {})
    return result


def test_card_tells_size_data_steps_seed_and_loss() -> None:
    result = card()
    assert (result.files[0].size or 0) in range(1, 24_000_001)
    result.check()
    assert "re-encoded copy" in result.data
    assert {"steps", "images", "seed", "held_out_loss", "curve"} <= set(result.training)
    curve = list(csv.DictReader((result.folder / result.training["curve"]).read_text().splitlines()))
    assert int(curve[-1]["step"]) == result.training["steps"]
    assert float(curve[-1]["held_out_loss_ema"]) == pytest.approx(result.training["held_out_loss"])


def test_classifier_is_good_enough() -> None:
    result = tomllib.loads((REGISTRY / "features" / "cifar10-features.toml").read_text())
    assert result["test_accuracy"] >= 0.85
    curve = list(
        csv.DictReader((REGISTRY / "features" / "cifar10-features.loss.csv").read_text().splitlines())
    )
    # the card's figure is of the float16 weights, the curve's of the float32 ones: a few images differ
    assert float(curve[-1]["test_accuracy"]) == pytest.approx(result["test_accuracy"], abs=0.003)


@pytest.mark.parametrize("ratio", [0.05, 0.5, 5.0])
def test_one_network_serves_every_sde(ratio: float) -> None:
    """The same noisy image at sigma / alpha = ratio, moved to each SDE's scale and range, has one score."""
    y = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = y + ratio * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    reference = load_model(card(), sde("vp"), CPU, installed()).score(y, NoiseLevel(0.0, 1.0, ratio))
    for name, alpha in (("vp", 0.7), ("subvp", 0.3), ("ve", 1.0)):
        low, high = sde(name).data_range
        gain = (high - low) / 2
        x = alpha * ((y + 1) * gain + low)
        level = NoiseLevel(0.0, alpha, alpha * ratio * gain)
        score = load_model(card(), sde(name), CPU, installed()).score(x, level)
        # float32 in an ill-conditioned difference: alpha D - x over sigma^2
        error = (score * (alpha * gain) - reference).abs().max()
        assert error < 1e-4 * reference.abs().max()


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0])
def test_network_denoises(sigma: float) -> None:
    """It takes out more than half of the noise's power, on images drawn from the mixture."""
    mixture = load_model(installed().get("checkpoints", "gmm-cifar10").thing, sde("vp"), CPU, installed())
    tables = mixture.data  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(0)
    draws = torch.from_numpy(tables.mean[:8]).float()
    draws = draws + torch.from_numpy(tables.variance[:8]).float().sqrt() * torch.randn(
        draws.shape, generator=generator
    )
    clean = mixture.images(draws) * 2 - 1
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    score = load_model(card(), sde("vp"), CPU, installed()).score(noisy, NoiseLevel(0.0, 1.0, sigma))
    denoised = noisy + sigma**2 * score
    assert float((denoised - clean).square().mean()) < 0.5 * sigma**2


def test_quick_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = "run --sde vp --predictor reverse_diffusion --corrector langevin --steps 3 --samples 4"
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code == 0
    message = capsys.readouterr().out
    assert "profile quick" in message
    assert "--profile paper" in message
    record = json.loads(next((tmp_path / "results" / "records").glob("*.json")).read_text())
    assert record["cost"]["nfe"] == 6
    assert record["metrics"]["fd_cifar10"]["n"] == 4
    assert "below" in record["metrics"]["fd_cifar10"]["note"]


def test_bf16_stays_near_fp32() -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    level = NoiseLevel(0.0, 0.8, 0.6)
    full, half = (
        load_model(card(), sde("vp"), CPU, installed(), precision=p).score(x, level) for p in ("fp32", "bf16")
    )
    assert not torch.equal(full, half)
    # bf16 keeps 8 bits: 2^-8 a layer, some thirty layers adding up as their root
    assert float((full - half).norm() / full.norm()) < 30**0.5 * 2**-8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_agrees_with_cpu() -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    level = NoiseLevel(0.0, 0.8, 0.6)
    host = load_model(card(), sde("vp"), CPU, installed()).score(x, level)
    there = load_model(card(), sde("vp"), torch.device("cuda"), installed()).score(x.cuda(), level).cpu()
    assert float((host - there).abs().max()) < 1e-3 * float(host.abs().max())


@cache
def digits() -> Card:
    result: Card = installed().get("checkpoints", "digits-tiny").thing
    return result


def test_card_of_the_digits_tells_its_training_and_its_judge() -> None:
    digits().check()
    facts = digits().training
    assert (digits().files[0].size or 0) in range(1, 1_000_001)
    assert (digits().dataset, digits().metric) == ("digits", "fd")
    assert facts["cpu_seconds"] <= 150
    curve = list(csv.DictReader((digits().folder / facts["curve"]).read_text().splitlines()))
    assert int(curve[-1]["step"]) == facts["steps"]
    assert float(curve[-1]["held_out_loss_ema"]) == facts["held_out_loss"] < 0.4
    # five standard errors of a share of a tenth among 1,000
    assert all(abs(share - 0.1) < 5 * (0.1 * 0.9 / 1000) ** 0.5 for share in facts["class_shares"])
    # samples are no copies: they are farther from training digits than those are from each other
    assert facts["sample_distance"] > facts["train_distance"]
    assert facts["nearest_sample"] > 0
    for text in (
        f"took {facts['cpu_seconds']} seconds of one core",
        f"as a median {facts['sample_distance']}, where a training digit has its nearest other one at "
        f"{facts['train_distance']}:",
    ):
        assert page_says("docs/guide/train.md", text)


def test_samples_of_the_digits_are_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 samples by DDIM: of all ten classes, as far from training digits as the card has it.

    The judge finds the nearest training digit; white noise and the mean digit are far from all of them.
    """
    monkeypatch.syspath_prepend(str(REGISTRY / "recipes"))
    import train_digits

    law = sde("vp")
    sampler = Sampler(sde=law, predictor=installed().build("predictors", "ddim", {}), steps=50)
    model, noise = load_model(digits(), law, CPU, installed()), Replay(torch.empty(0, 1))
    prior = torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    samples = sampler.run(prior, Prediction(model, law), noise, noise)
    facts = train_digits.judge(samples, train_digits.load("train"), train_digits.load("test"))
    assert all(abs(share - 0.1) < 5 * (0.1 * 0.9 / 200) ** 0.5 for share in facts["class_shares"])
    # a median of 200 is known to some 4 % here
    assert facts["sample_distance"] == pytest.approx(digits().training["sample_distance"], rel=0.15)
    noisy = train_digits.judge(prior.clamp(-1, 1), train_digits.load("train"), train_digits.load("test"))
    assert noisy["sample_distance"] > 2 * facts["sample_distance"]


def test_the_digits_are_shown_with_their_data_and_training(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["show", "digits-tiny"])
    assert stopped.value.code == 0
    output = capsys.readouterr().out
    facts = digits().training
    for line in (
        "  dataset                     digits",
        f"    cpu_seconds = {facts['cpu_seconds']}",
        f"    held_out_loss = {facts['held_out_loss']}",
        f"    judge = {facts['judge']}",
    ):
        assert f"\n{line}\n" in output
