"""Classes, instances and networks in place of names."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import BenchError, Noise, Prediction, Predictor, Step, Tensor, Update, network, param
from bench.plan.fingerprint import IN_MEMORY
from bench.plan.objects import register_objects
from tests.support.plugins import installed


class Own(Predictor):
    """A predictor of this file."""

    name = "own"

    gain: float = param(default=1.0, help="a factor")

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x)


class Ancestral(Own):
    """Of the name of an installed predictor."""

    name = "ancestral"


class Nameless(Own):
    """Without a name of its own."""

    name = ""


def test_names_stay_and_objects_become_names() -> None:
    before = dict(installed().entries)
    selections = {"sde": "vp", "predictor": [Own(gain=2.0), "ancestral"], "corrector": ["none"]}
    registry, names, instances = register_objects(installed(), selections)
    assert names == {"sde": "vp", "predictor": ["own", "ancestral"], "corrector": ["none"]}
    assert registry.get("predictors", "own").thing is Own
    assert registry.get("predictors", "own").distribution == IN_MEMORY
    assert instances == {("predictors", "own"): Own(gain=2.0)}
    assert installed().entries == before
    assert register_objects(installed(), {"sde": "vp"})[0] is installed()


def test_an_object_takes_the_place_of_a_registered_plugin_for_one_call() -> None:
    registry, names, _ = register_objects(installed(), {"predictor": Ancestral})
    assert names == {"predictor": "ancestral"}
    assert registry.get("predictors", "ancestral").thing is Ancestral
    assert installed().get("predictors", "ancestral").thing is not Ancestral


@pytest.mark.parametrize("pair", [(Own, Own(gain=2.0)), (Own(gain=2.0), Own), (Own(gain=2.0), Own(gain=3.0))])
def test_two_objects_of_one_name_are_refused(pair: tuple[Any, Any]) -> None:
    with pytest.raises(BenchError, match="two objects are called own"):
        register_objects(installed(), {"predictor": list(pair)})


def test_objects_need_a_name() -> None:
    with pytest.raises(BenchError, match="needs a class attribute name"):
        register_objects(installed(), {"predictor": Nameless})
    with pytest.raises(BenchError):
        register_objects(installed(), {"predictor": torch.nn.Linear})


def test_a_network_stands_for_a_checkpoint() -> None:
    card = network(
        torch.nn.Identity(), predicts="noise", labels="999t", sde="vp", shape=(3, 8, 8), data_range=(0, 1)
    )
    registry, names, _ = register_objects(installed(), {"checkpoint": card})
    name = names["checkpoint"]
    assert isinstance(name, str)
    assert registry.get("checkpoints", name).thing.shape == card.shape
