"""Networks in memory: what they score, what their hashes cover, what they refuse."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bench
from bench import SDE, BenchError, Card, MemoryCheckpoint
from bench.checkpoints.load import load_model
from bench.checkpoints.networks.edm import EDMDenoiser
from tests.support.plugins import installed

CPU = torch.device("cpu")
SHAPE = (3, 8, 8)


class Noise(nn.Module):
    """Predicts the noise of data that is nearly zero: sigma near 1 for late times."""

    def __init__(self, gain: float = 0.9, *, act: Callable[[Tensor], Tensor] = torch.tanh) -> None:
        super().__init__()
        self.gain, self.act = gain, act
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        assert label.shape == (len(x),)  # one label per image
        y: Tensor = self.gain * x + 0.1 * self.act(self.layer(x)) + (label / 999)[:, None, None, None]
        return y


def build(module: nn.Module | None = None, **changes: Any) -> MemoryCheckpoint:
    torch.manual_seed(0)
    options: dict[str, Any] = {"predicts": "noise", "labels": "999t", "shape": SHAPE}
    return bench.network(Noise() if module is None else module, **options | changes)


def law(name: str = "vp") -> SDE:
    sde: SDE = installed().build("sdes", name, {})
    return sde


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_its_score_follows_from_what_it_predicts() -> None:
    torch.manual_seed(0)
    module = Noise()
    level, x = law().at(0.5), states(4, *SHAPE)
    with torch.no_grad():
        score = load_model(build(module), law(), CPU, installed()).score(x, level)
        expected = -module(x, torch.full((4,), 999 * 0.5)) / level.sigma
    assert torch.allclose(score, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["vp", "ve"])
def test_it_agrees_with_the_card_of_the_same_weights(name: str) -> None:
    card: Card = installed().get("checkpoints", "cifar10-tiny").thing
    shipped = load_model(card, law(name), CPU, installed())
    denoiser = shipped._network  # type: ignore[attr-defined]
    assert isinstance(denoiser, EDMDenoiser)
    checkpoint = build(
        denoiser.network, predicts="edm", labels="edm", shape=(3, 32, 32), sigma_data=denoiser.sigma_data
    )
    assert checkpoint.sde is None
    x, level = states(3, 3, 32, 32), law(name).at(0.4)
    with torch.no_grad():
        expected = shipped.score(x, level)
        score = load_model(checkpoint, law(name), CPU, installed()).score(x, level)
    assert torch.allclose(score, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_it_is_a_copy() -> None:
    module = Noise()
    checkpoint = build(module)
    before = checkpoint.digest()
    x, level = states(2, *SHAPE), law().at(0.5)
    with torch.no_grad():
        first = load_model(checkpoint, law(), CPU, installed()).score(x, level)
        load_model(checkpoint, law(), CPU, installed(), precision="bf16")  # casts its own copy
        module.layer.weight.zero_()
        assert torch.equal(first, load_model(checkpoint, law(), CPU, installed()).score(x, level))
    assert module.training
    assert checkpoint.digest() == before
    assert build(module).digest() != before


class Buffered(nn.Module):
    """Holds a table outside its state dict."""

    def __init__(self, entry: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("table", torch.full((2,), entry), persistent=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: Noise(0.9), lambda: Noise(0.8)),
        (lambda: Noise(act=torch.tanh), lambda: Noise(act=torch.sigmoid)),
        (lambda: Buffered(1.0), lambda: Buffered(2.0)),
        (lambda: nn.Sequential(nn.SiLU()), lambda: nn.Sequential(nn.ReLU())),
        (lambda: nn.Conv2d(3, 3, 3, padding=1), lambda: nn.Conv2d(3, 3, 3, padding=1).bfloat16()),
    ],
)
def test_all_state_is_hashed(one: Callable[[], nn.Module], other: Callable[[], nn.Module]) -> None:
    def digest(make: Callable[[], nn.Module]) -> str:
        torch.manual_seed(0)
        return build(make()).digest()

    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


def activation(x: Tensor) -> Tensor:
    return x * 2


def test_a_class_conditional_network_takes_classes() -> None:
    class Shifts(torch.nn.Module):
        def forward(self, x: Tensor, label: Tensor, classes: Tensor) -> Tensor:
            return x + classes[:, None, None, None] + label[:, None, None, None] * 0

    checkpoint = bench.network(Shifts(), predicts="score", labels="999t", shape=(3, 8, 8), classes=5)
    assert checkpoint.deciding()["classes"] == 5
    model = load_model(checkpoint, law(), CPU, installed())
    x, level = torch.zeros(3, 3, 8, 8), law().at(0.5)
    with pytest.raises(BenchError, match="network is class-conditional: give the classes"):
        model.score(x, level)
    scores = model.of_classes(torch.tensor([0, 4, 2])).score(x, level)
    assert scores[:, 0, 0, 0].tolist() == [0.0, 4.0, 2.0]
    unconditional = bench.network(Shifts(), predicts="score", labels="999t", shape=(3, 8, 8))
    with pytest.raises(BenchError, match="not class-conditional"):
        load_model(unconditional, law(), CPU, installed()).of_classes(torch.tensor([0]))


def test_its_code_is_that_of_all_of_its_classes_and_functions() -> None:
    inner = Noise(act=activation)
    checkpoint = build(nn.Sequential(inner, nn.SiLU()))
    assert checkpoint.code_objects == (Noise, activation)


def test_without_source_it_is_never_cached() -> None:
    checkpoint = build()
    assert not checkpoint.cacheable
    assert checkpoint.uncacheable_reason == "the source of the network is not available"
    coded = checkpoint.model_copy(update={"code": "0123"})
    assert coded.cacheable
    assert coded.uncacheable_reason == ""
    assert coded.deciding() == checkpoint.deciding() | {"code": "0123"}
    assert coded.copy_of_network() is not None


def test_an_attribute_that_cannot_be_hashed_is_named() -> None:
    module = nn.Sequential(Noise())
    vars(module[0])["helper"] = object()
    checkpoint = build(module).model_copy(update={"code": "0123"})
    assert not checkpoint.cacheable
    assert checkpoint.uncacheable_reason == "0.helper of the network can't be hashed"


def double(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    del module, inputs
    return output * 2


def test_a_hook_is_part_of_its_code() -> None:
    first, second = Noise(), Noise()
    for module in (first, second):
        torch.manual_seed(0)
        module.layer.reset_parameters()
        module.register_forward_hook(double)
    assert build(first).digest() == build(second).digest()
    assert build(first).code_objects == (Noise, double)


def test_it_has_the_attributes_of_a_card() -> None:
    checkpoint = build(
        scales=10, labels="index", name="mine", metric="fid", parameters={"sde": {"eps": 1e-2}}
    )
    assert (checkpoint.exact, checkpoint.needs_reader, checkpoint.discrete) == (False, False, True)
    assert (checkpoint.name, checkpoint.metric, checkpoint.shape) == ("mine", "fid", SHAPE)
    checkpoint.check()
    facts = checkpoint.deciding()
    assert (facts["labels"], facts["scales"], facts["sha256"]) == ("index", 10, checkpoint.digest())
    again = pickle.loads(pickle.dumps(checkpoint))
    assert again.digest() == checkpoint.digest()


def test_a_compiled_module_is_taken_apart() -> None:
    module = Noise()
    compiled: Any = torch.compile(module)
    assert build(compiled).digest() == build(module).digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predicts": "noises"}, "network network: predicts: input should be 'noise'"),
        ({"labels": "time"}, "network network: labels: input should be '999t'"),
        ({"labels": "index"}, "need scales"),
        ({"labels": "edm"}, "both edm, or neither"),
        ({"sde": None}, "needs its sde"),
        ({"data_range": (1, -1)}, "data_range must rise"),
        ({"name": "My Network"}, "network My Network: name: "),
        ({"shape": (3, 0, 8)}, "shape.1: "),
    ],
)
def test_contradictions_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        build(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_that_cannot_be_copied_is_refused(tmp_path: Path) -> None:
    module = Noise()
    with (tmp_path / "log").open("w") as handle:
        module.log = handle  # type: ignore[assignment]
        with pytest.raises(BenchError, match="the module can't be copied"):
            build(module)
