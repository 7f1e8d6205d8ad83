"""The recipe of ``cifar10-tiny``, on noise and with a narrow network."""

from __future__ import annotations

import importlib
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench import Card, TinyUNet
from bench.files import REGISTRY
from bench_readers.edm import build

NARROW = partial(TinyUNet, width=16, width_low=64, width_middle=64, embedding=8)


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """`train_tiny` and `export_tiny`."""
    monkeypatch.syspath_prepend(str(REGISTRY / "recipes"))
    train, export = (importlib.import_module(name) for name in ("train_tiny", "export_tiny"))
    images = torch.randint(
        256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    monkeypatch.setattr(train, "load", lambda *_: (images, torch.zeros(16)))
    monkeypatch.setattr(train, "describe", lambda _: "noise")
    for module in (train, export):
        monkeypatch.setattr(module, "TinyUNet", NARROW)
    monkeypatch.setattr(torch, "compile", lambda model: model)
    return train, export


def call(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", *words])
    module.main()


def test_a_resumed_run_is_the_same_run(
    recipes: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = recipes
    words = ("--data", "none", "--batch", "4", "--decay", "1", "--save", "1", "--steps", "4")
    call(train, monkeypatch, *words, "--work", str(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        stop_after(train, 2, patch)
        with pytest.raises(KeyboardInterrupt):
            call(train, patch, *words, "--work", str(tmp_path / "resumed"))
    call(train, monkeypatch, *words, "--work", str(tmp_path / "resumed"))
    states: list[dict[str, Any]] = [
        torch.load(tmp_path / folder / "state.pt", weights_only=True) for folder in ("whole", "resumed")
    ]
    for part in ("model", "average"):
        assert all(torch.equal(states[0][part][name], states[1][part][name]) for name in states[0][part])


def stop_after(train: ModuleType, steps: int, patch: pytest.MonkeyPatch) -> None:
    """Interrupt the training when so many steps are saved and another has begun."""
    count, original = 0, train.Optimizer.step

    def step(self: Any, rate: float) -> None:
        nonlocal count
        count += 1
        if count > steps:
            raise KeyboardInterrupt
        original(self, rate)

    patch.setattr(train.Optimizer, "step", step)


def test_what_is_trained_is_exported_and_read(
    recipes: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, export = recipes
    words = ("--data", "none", "--batch", "4", "--decay", "1", "--save", "1", "--steps", "1")
    call(train, monkeypatch, *words, "--work", str(tmp_path))
    call(export, monkeypatch, "--work", str(tmp_path), "--out", str(tmp_path / "cards"))
    card = Card.read(tmp_path / "cards" / "cifar10-tiny.toml")
    assert card.training["images"] == 4
    weights = load_file(tmp_path / "cards" / "cifar10-tiny.safetensors")
    build(card).load_state_dict({name: value.float() for name, value in weights.items()})


def test_a_step_of_muon_is_orthogonal(recipes: tuple[ModuleType, ModuleType]) -> None:
    """A matrix moves by rate * 0.2 * sqrt(larger side) times a nearly orthogonal matrix (Liu et al. 2025)."""
    train, _ = recipes
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    before = train.flat(layer.weight.detach()).clone()
    optimizer = train.Optimizer(layer)
    layer(torch.randn(2, 4, 8, 8)).square().sum().backward()
    optimizer.step(0.1)
    moved = (train.flat(layer.weight.detach()) - before) / (0.1 * 0.2 * 36**0.5)
    # the five iterations of Newton-Schulz leave singular values between 0.7 and 1.2 (Jordan et al. 2024)
    values = torch.linalg.svdvals(moved)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
