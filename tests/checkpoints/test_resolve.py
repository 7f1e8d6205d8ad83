"""The plugins that a card names."""

from __future__ import annotations

from typing import Any

import pytest

from bench import SDE, BenchError, Card
from bench.checkpoints.resolve import follows_convention, label_of, naming, own_sde, reader_of
from tests.support.plugins import empty_registry, installed


def card(name: str, **changes: Any) -> Card:
    result: Card = installed().get("checkpoints", name).thing
    return result.model_copy(update=changes)


def law(name: str, **parameters: float) -> SDE:
    sde: SDE = installed().build("sdes", name, parameters)
    return sde


def test_readers_are_built_with_the_cards_parameters() -> None:
    own = card("score-sde-vp-ddpm", parameters={"reader": {"weights": "raw"}})
    assert reader_of(own, installed()).values() == {"weights": "raw"}
    with pytest.raises(BenchError, match="closed-form"):
        reader_of(card("gaussian-cifar10"), installed())
    with pytest.raises(BenchError, match="unknown reader 'nothing'"):
        reader_of(card("cifar10-tiny", format="nothing"), installed())


def test_the_sde_has_the_cards_parameters() -> None:
    own = own_sde(card("score-sde-vp-ddpm", parameters={"sde": {"beta_max": 10}}), installed())
    assert own == law("vp", beta_max=10)
    assert own_sde(card("cifar10-tiny"), installed()) is None


def test_the_registry_is_the_given_one() -> None:
    with pytest.raises(BenchError, match=r"^checkpoint score-sde-vp-ddpm: unknown sde 'vp'"):
        own_sde(card("score-sde-vp-ddpm"), empty_registry())


def test_the_convention_belongs_to_the_own_sde() -> None:
    own = card("score-sde-vp-ddpm")
    assert follows_convention(own, law("vp"), installed())
    assert follows_convention(own, law("vp", eps=1e-4), installed())  # where sampling ends may differ
    assert not follows_convention(own, law("vp", beta_max=10), installed())
    assert not follows_convention(own, law("ve"), installed())
    assert not follows_convention(card("cifar10-tiny"), law("vp"), installed())
    assert not follows_convention(own.model_copy(update={"data_range": (0.0, 1.0)}), law("vp"), installed())


def test_the_checkpoint_is_named_once() -> None:
    with pytest.raises(BenchError, match=r"^checkpoint cifar10-tiny: oops$"), naming(card("cifar10-tiny")):
        raise BenchError("oops")


def test_a_reader_without_classes_refuses_a_class_conditional_card() -> None:
    own = card("score-sde-vp-ddpm", classes=10)
    with pytest.raises(BenchError, match="the format score_sde has no class-conditional networks"):
        reader_of(own, installed())


def test_a_velocity_of_discrete_scales_is_refused_before_a_run() -> None:
    own = card("score-sde-vp-ddpm", predicts="velocity", labels="index")
    with pytest.raises(BenchError, match="which discrete scales don't have: give labels of t") as caught:
        label_of(own, installed())
    assert str(caught.value).count("checkpoint score-sde-vp-ddpm: ") == 1
    assert label_of(own.model_copy(update={"labels": "t"}), installed()).name == "t"
    assert label_of(own.model_copy(update={"predicts": "v"}), installed()).name == "index"
