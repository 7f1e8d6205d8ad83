"""What a process keeps between batches: one model, one further model, the images of one source."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench.engine.session as module
from bench import BenchError
from bench.checkpoints.load import load_model
from bench.engine.batch import run_batch
from bench.engine.session import Session
from tests.support.plans import quick_spec
from tests.support.plugins import installed


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints that are loaded, in order."""
    names: list[str] = []
    original = load_model

    def load(card: Any, *rest: Any, **options: Any) -> Any:
        names.append(card.name)
        return original(card, *rest, **options)

    monkeypatch.setattr(module, "load_model", load)
    return names


def test_a_second_model_replaces_the_first(loads: list[str]) -> None:
    session = Session(installed())
    gaussian, mixture = quick_spec(), quick_spec(checkpoint=["gmm-cifar10"])
    first = session.model(gaussian)
    assert session.model(quick_spec(seed=3, steps=40)) is first
    assert loads == ["gaussian-cifar10"]
    second = session.model(mixture)
    assert second is not first
    assert session.model(mixture) is second
    assert session.model(gaussian) is not first  # it was let go
    assert loads == ["gaussian-cifar10", "gmm-cifar10", "gaussian-cifar10"]


@pytest.mark.parametrize("changes", [{"sde": ["ve"]}, {"precision": "bf16"}])
def test_another_sde_or_precision_is_another_model(changes: dict[str, Any], loads: list[str]) -> None:
    session = Session(installed())
    tiny: dict[str, Any] = {"checkpoint": ["cifar10-tiny"], "metric": ["fd_cifar10"]}
    session.model(quick_spec(**tiny))
    session.model(quick_spec(**tiny, **changes))
    assert loads == ["cifar10-tiny", "cifar10-tiny"]


def test_a_further_checkpoint_does_not_replace_the_runs_own(loads: list[str]) -> None:
    session = Session(installed())
    spec = dataclasses.replace(quick_spec(), others=(installed().get("checkpoints", "gmm-cifar10").thing,))
    own, other = session.model(spec), session.other_model(spec, "gmm-cifar10")
    assert session.model(spec) is own
    assert session.other_model(spec, "gmm-cifar10") is other
    assert loads == ["gaussian-cifar10", "gmm-cifar10"]


def test_each_size_of_batch_is_warmed_up_once_on_a_loaded_model() -> None:
    session, spec = Session(installed()), quick_spec(samples=12)
    facts = [run_batch(spec, index, session).facts for index in (0, 0, 1, 1)]
    assert [batch.warm_seconds > 0 for batch in facts] == [True, False, True, False]
    session.model(quick_spec(checkpoint=["gmm-cifar10"]))
    assert run_batch(spec, 0, session).facts.warm_seconds > 0


def test_images_of_a_source_are_those_of_the_batchs_samples(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "eight.npz", images)
    spec = quick_spec(
        task="inpaint", metric=["known_error"], data=str(tmp_path / "eight.npz"), samples=24, batch_size=8
    )
    session = Session(installed())
    per_image = spec.task.per_image
    batch = session.images(spec, 1, 8, session.model(spec))
    assert batch is not None
    expected = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    numbers = [number // per_image for number in range(8, 16)]
    torch.testing.assert_close(batch, expected[numbers])


def test_draws_of_an_exact_checkpoint_are_those_of_seed_and_batch() -> None:
    session = Session(installed())
    spec = quick_spec(task="inpaint", metric=["known_error"])
    model = session.model(spec)
    first, again, other = (session.images(spec, index, 8, model) for index in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_task_without_images_gets_none_and_a_network_has_no_draws() -> None:
    session, spec = Session(installed()), quick_spec()
    assert session.images(spec, 0, 8, session.model(spec)) is None
    tiny = quick_spec(checkpoint=["cifar10-tiny"], metric=["fd_cifar10"])
    inpaint = dataclasses.replace(tiny, task=installed().build("tasks", "inpaint", {}))
    with pytest.raises(BenchError, match="cifar10-tiny is not an exact checkpoint: it has no distribution"):
        session.images(inpaint, 0, 8, session.model(inpaint))


class VP(installed().get("sdes", "vp").thing):  # type: ignore[misc]
    """Prints as the shipped SDE does."""

    name = "my_vp"


def test_models_of_sdes_and_cards_that_print_alike_are_told_apart(loads: list[str]) -> None:
    session = Session(installed())
    spec = quick_spec(sde=["vp"])
    mine = dataclasses.replace(spec, sampler=dataclasses.replace(spec.sampler, sde=VP()))
    renamed = dataclasses.replace(spec, card=spec.card.model_copy(update={"name": "another"}))
    assert str(VP()) == str(spec.sampler.sde)
    assert session.model(mine) is not session.model(spec)
    assert session.model(renamed) is not session.model(spec)
    assert len(loads) == 4
