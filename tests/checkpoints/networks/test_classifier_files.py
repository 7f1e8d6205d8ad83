"""Damaged files of the classifier of noisy images, and the recipe that makes it, on made-up images."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import BenchError
from bench.checkpoints.networks.classifier import CARD, load_noisy_classifier
from bench.files import REGISTRY

Change = Callable[[bytes], bytes]


def instead(old: bytes, new: bytes) -> Change:
    """Replaces what must be there."""

    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return change


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A copy of the shipped card, its weights beside it."""
    shutil.copy(CARD.with_suffix(".safetensors"), tmp_path)
    return Path(shutil.copy(CARD, tmp_path))


def complaint(card: Path) -> str:
    """What loading says."""
    with pytest.raises(BenchError) as caught:
        load_noisy_classifier("cpu", card)
    report = str(caught.value)
    assert "\n" not in report
    assert str(card.parent) in report
    return report


@pytest.mark.parametrize("suffix", [".toml", ".safetensors"])
def test_a_missing_file_is_told_in_one_line(card: Path, suffix: str) -> None:
    card.with_suffix(suffix).unlink()
    assert "is missing; restore it from the project" in complaint(card)


@pytest.mark.parametrize(
    ("suffix", "change", "report"),
    [
        (".safetensors", lambda content: content[:-1], "is truncated"),
        (".safetensors", lambda content: content[:-1] + bytes([content[-1] ^ 1]), "has the wrong hash"),
        (".toml", instead(b"widths = [64, 128, 192]", b"widths = [64, 128, 160]"), "not hold the network"),
        (".toml", instead(b"widths = [64, 128, 192]", b"widths = [64, 128]"), "not hold the network"),
        (".toml", instead(b"widths", b"depths"), "not hold the network"),
        (".toml", instead(b"[[files]]", b"[[others]]"), "is damaged"),
        (".toml", instead(b"bytes = ", b"size = "), "is damaged"),
        (".toml", lambda content: content[:9], "is damaged"),
        (".toml", lambda content: b"\xff" + content, "is damaged"),
    ],
)
def test_a_damaged_file_is_told_in_one_line(card: Path, suffix: str, change: Change, report: str) -> None:
    path = card.with_suffix(suffix)
    path.write_bytes(change(path.read_bytes()))
    assert report in complaint(card)


def test_weights_that_are_no_safetensors_are_told_in_one_line(card: Path) -> None:
    content = b"not safetensors"
    card.with_suffix(".safetensors").write_bytes(content)
    text = re.sub(r"bytes = \d+", f"bytes = {len(content)}", card.read_text())
    card.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{hashlib.sha256(content).hexdigest()}"', text))
    assert "does not hold the network" in complaint(card)


def made_up(path: Path, images: int) -> None:
    """Colored noise and ten labels, filed as the recipes read CIFAR-10."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        blobs = []
        for image in rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8):
            out = io.BytesIO()
            Image.fromarray(image).save(out, "JPEG")
            blobs.append(out.getvalue())
        arrays[f"{split}_bytes"] = np.frombuffer(b"".join(blobs), dtype=np.uint8)
        arrays[f"{split}_lengths"] = np.array([len(blob) for blob in blobs])
        arrays[f"{split}_labels"] = np.arange(images) % 10
    np.savez(path, **arrays)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """The recipe's command on made-up images, with its results in the folder ``out``."""
    made_up(tmp_path / "data.npz", 12)
    monkeypatch.syspath_prepend(str(REGISTRY / "recipes"))

    import train_noisy_classifier

    monkeypatch.setattr(train_noisy_classifier, "LEVELS", (0.1, 10.0))

    def run(out: Path, *arguments: str) -> None:
        report = ["--data", tmp_path / "data.npz", "--out", out, "--figures", out, *arguments]
        monkeypatch.setattr(sys, "argv", ["recipe", *map(str, report)])
        train_noisy_classifier.main()

    return run


def test_the_recipe_goes_on_where_it_was_killed(recipe: Callable[..., None], tmp_path: Path) -> None:
    """Stopped after its second step of four, it makes the same weights; and they load."""
    size = ("--batch", "4", "--save", "2", "--steps", "4", "--decay", "2")
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    recipe(through, "--work", str(through), *size)

    state = torch.load(through / "state.pt", weights_only=True)
    assert state["step"] == 4
    import train_noisy_classifier

    real = train_noisy_classifier.Training.save

    def save(self: train_noisy_classifier.Training) -> None:
        real(self)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_noisy_classifier.Training, "save", save)
        with pytest.raises(KeyboardInterrupt):
            recipe(stopped, "--work", str(stopped), *size)
    assert not (stopped / CARD.name).exists()
    recipe(stopped, "--work", str(stopped), *size)

    for name in (CARD.name, f"{CARD.stem}.safetensors", "noisy-classifier.csv"):
        assert (stopped / name).read_bytes() == (through / name).read_bytes()
    rows = list(csv.DictReader((through / "noisy-classifier.csv").read_text().splitlines()))
    assert [row["sigma"] for row in rows] == ["0.1", "10.0"]
    classifier = load_noisy_classifier("cpu", through / CARD.name)
    for name, weights in classifier.named_parameters():
        assert torch.equal(weights, state["average"][name].half().float())


def test_the_recipe_evaluates_what_is_shipped(recipe: Callable[..., None], tmp_path: Path) -> None:
    recipe(tmp_path / "out", "--evaluate")
    rows = list(csv.DictReader((tmp_path / "out" / "noisy-classifier.csv").read_text().splitlines()))
    assert {row["n"] for row in rows} == {"12"}
    # labels 0 and 1 are there twice
    assert {float(row["guess"]) for row in rows} == {round(2 / 12, 4)}
    with Image.open(tmp_path / "out" / "noisy-classifier.png") as picture:
        assert picture.size[0] > 400


def test_training_needs_a_folder_for_its_state(recipe: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        recipe(tmp_path)
    assert stopped.value.code == 2
