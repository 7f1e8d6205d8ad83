"""The recipe of ``digits-tiny``, on a few steps."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import BenchError, Card
from bench.checkpoints.load import load_model
from bench.files import REGISTRY
from tests.support.plugins import installed


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The recipe's command: four steps of sixteen digits, and twelve samples judged."""
    monkeypatch.syspath_prepend(str(REGISTRY / "recipes"))

    import train_digits

    monkeypatch.setattr(train_digits, "JUDGED", 12)

    def run(out: Path, *arguments: str) -> None:
        sizes = ("--batch", "16", "--save", "2", "--steps", "4", "--decay", "2")
        monkeypatch.setattr(sys, "argv", ["recipe", "--out", str(out), *sizes, *arguments])
        train_digits.main()

    return run


def test_it_goes_on_where_it_was_killed(recipe: Callable[..., None], tmp_path: Path) -> None:
    """Stopped after its second step of four, it makes the same weights; and they load."""
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    recipe(through)

    import train_digits

    real = train_digits.Training.save

    def save(self: train_digits.Training) -> None:
        real(self)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_digits.Training, "save", save)
        with pytest.raises(KeyboardInterrupt):
            recipe(stopped)
    assert not (stopped / "my-digits.toml").exists()
    with pytest.raises(BenchError, match="is of other arguments"):
        recipe(stopped, "--seed", "1")
    recipe(stopped)

    weights = "my-digits.safetensors"
    assert (stopped / weights).read_bytes() == (through / weights).read_bytes()
    rows, again = (
        list(csv.DictReader((folder / "my-digits.loss.csv").read_text().splitlines()))
        for folder in (through, stopped)
    )
    assert [row["step"] for row in rows] == ["2", "4"]
    assert [row["held_out_loss_ema"] for row in again] == [row["held_out_loss_ema"] for row in rows]

    card = Card.read(stopped / "my-digits.toml")
    assert (card.name, card.dataset, card.shape) == ("my-digits", "digits", (1, 8, 8))
    model = load_model(card, installed().build("sdes", "vp", {}), torch.device("cpu"), installed())
    state = torch.load(through / "my-digits.state.pt", weights_only=True)
    parameters = dict(model._network.named_parameters())  # type: ignore[attr-defined]
    assert {f"network.{name}" for name in parameters} == state["average"].keys()
    for name, p in parameters.items():
        assert torch.equal(p, state["average"][f"network.{name}"].half().float())


@pytest.mark.usefixtures("recipe")
def test_the_judge_tells_copies_from_digits() -> None:
    """Training digits themselves are at no distance; test digits are as far as they are said to be."""
    import train_digits

    train, held_out = train_digits.load("train"), train_digits.load("test")
    assert train.min() == -1
    assert train.max() == 1
    copies: dict[str, Any] = train_digits.judge(train[:200], train, held_out)
    assert copies["sample_distance"] == 0
    labels = train_digits.classes()
    shares = labels[:200].bincount(minlength=10) / 200
    assert copies["class_shares"] == pytest.approx(shares.tolist(), abs=5e-4)
    others: dict[str, Any] = train_digits.judge(held_out, train, held_out)
    assert others["sample_distance"] == others["held_out_distance"] > copies["train_distance"]
    # a difference of one in every pixel, on [0, 1]
    far: dict[str, Any] = train_digits.judge(torch.full((1, 1, 8, 8), 3.0), -torch.ones_like(train), held_out)
    assert far["sample_distance"] == 2


@pytest.mark.usefixtures("recipe")
def test_heuns_method_draws_from_a_known_distribution() -> None:
    """Of N(1, 0.5^2), whose denoiser is affine: E[x0 | x] = (0.25 x + sigma^2) / (0.25 + sigma^2)."""
    import train_digits

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return (0.25 * x + sigma**2) / (0.25 + sigma**2)

    x = train_digits.draw(model, 500)  # type: ignore[arg-type]
    # 32,000 independent pixels; the flow's scale at 30 steps is off by less than a hundredth
    assert float(x.mean()) == pytest.approx(1, abs=5 * 0.5 / 32000**0.5 + 0.02)
    assert float(x.std()) == pytest.approx(0.5, abs=0.01)
