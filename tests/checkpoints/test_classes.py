"""Number of classes, and the classifier's hash, of checkpoints that can be guided."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import BenchError, Card
from bench.cache import cached_sha256
from bench.checkpoints.classes import class_count, classifier_path, classifier_sha256
from bench.checkpoints.load import load_model
from tests.support.analytic import sde
from tests.support.plugins import installed


def card(name: str) -> Card:
    shipped: Card = installed().get("checkpoints", name).thing
    return shipped


@pytest.mark.parametrize(("name", "count"), [("gmm-cifar10", 10), ("cifar10-tiny", 10)])
def test_the_count_is_that_of_the_loaded_model(name: str, count: int) -> None:
    assert class_count(card(name)) == count
    assert load_model(card(name), sde("vp"), torch.device("cpu"), installed()).classes == count


def test_without_a_classifier_there_are_no_classes() -> None:
    assert class_count(card("gaussian-cifar10")) == 0
    with pytest.raises(BenchError, match="checkpoint gaussian-cifar10 has no classifier"):
        classifier_sha256(card("gaussian-cifar10"))


def test_the_hash_is_that_of_the_weights() -> None:
    tiny = card("cifar10-tiny")
    assert classifier_sha256(tiny) == cached_sha256(classifier_path(tiny).with_suffix(".safetensors"))


def test_a_damaged_classifier_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = classifier_path(card("cifar10-tiny"))
    copy = tmp_path / shipped.name
    copy.write_text(shipped.read_text())
    monkeypatch.setattr("bench.checkpoints.classes.classifier_path", lambda _: copy)
    with pytest.raises(BenchError, match="is missing"):
        class_count(card("cifar10-tiny"))
    weights = shipped.with_suffix(".safetensors")
    (tmp_path / weights.name).write_bytes(weights.read_bytes())
    assert class_count(card("cifar10-tiny")) == 10
    copy.write_text(shipped.read_text().replace("classes = 10", "groups = 10"))
    with pytest.raises(BenchError, match=r"network\.classes must be a number"):
        class_count(card("cifar10-tiny"))
