"""The conformance kit passes the built-in tasks and catches planted mistakes in others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from bench import BatchContext, BenchError, Card, Sampler, Task, Tensor, assert_conforms
from tests.support.checks import failures
from tests.support.plugins import installed


class Halves(Task):
    """Images half as bright."""

    name = "halves"
    takes_data = True

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        x = work.states()
        score = work.prediction.score(x, work.sampler.sde.eps)
        return {"images": 0.5 * work.model.images(x + 0 * score)}


class Forgets(Halves):
    """Returns another output than it declares."""

    name = "forgets"
    outputs = ("images", "labels")


class Undeclared(Halves):
    """Returns more than it declares."""

    name = "undeclared"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return super().run(work) | {"noise": work.prior()}


class TooFew(Halves):
    """Returns one row less."""

    name = "too_few"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return {name: t[1:] for name, t in super().run(work).items()}


class NotFinite(Halves):
    """Divides by zero."""

    name = "not_finite"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return {name: t / 0 for name, t in super().run(work).items()}


class NeverCalls(Halves):
    """Asks the network for nothing."""

    name = "never_calls"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return {"images": work.model.images(work.states())}


class InPlace(Halves):
    """Changes its images in place."""

    name = "in_place"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        assert work.images is not None
        return {"images": work.images.mul_(0.5)}


class GlobalNoise(Halves):
    """Draws from torch's global generator."""

    name = "global_noise"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return {name: t + torch.randn_like(t) for name, t in super().run(work).items()}


class OnTheHost(Halves):
    """Makes a tensor on torch's default device."""

    name = "on_the_host"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return {name: t * torch.ones(3, 1, 1) for name, t in super().run(work).items()}


class Unread(Halves):
    """Has a metric of what it does not return."""

    name = "unread"
    metrics = ("bits_per_dim",)


class NoRows(Halves):
    """Has a preview of eight rows, however few samples there are."""

    name = "no_rows"

    def preview(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        return outputs["images"][:64].unflatten(0, (8, -1)).flatten(0, 1), 8


class Peeks(installed().get("tasks", "inpaint").thing):  # type: ignore[misc]
    """Mixes the original into its completions."""

    name = "peeks"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = super().run(work)
        return outputs | {"images": 0.9 * outputs["images"] + 0.1 * outputs["original"]}


class Shifted(Halves):
    """Returns each image's neighbor as its original."""

    name = "shifted"
    outputs = ("images", "original")

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        assert work.images is not None
        return super().run(work) | {"original": work.images.roll(1, 0)}


class Blind(Halves):
    """Takes images, and starts from noise."""

    name = "blind"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        return {"images": 0.5 * work.prediction.denoised(work.prior(), work.sampler.sde.end)}


class Straight(Shifted):
    """Sound: the original itself."""

    name = "straight"

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        assert work.images is not None
        return super().run(work) | {"original": work.images.clone()}


class Unfit(Halves):
    """Works on networks alone."""

    name = "unfit"

    def check(self, card: Card, sampler: Sampler) -> None:
        raise BenchError("unfit takes networks")


@pytest.mark.parametrize("name", installed().names("tasks"))
def test_the_built_in_tasks_pass(name: str) -> None:
    assert_conforms(name, registry=installed())


@pytest.mark.parametrize("task", [Halves, Straight])
def test_a_sound_task_passes(task: type[Task]) -> None:
    assert_conforms(task, registry=installed())


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (Forgets, {"rows"}),
        (Undeclared, {"rows"}),
        (TooFew, {"rows", "own rows"}),
        (NotFinite, {"rows"}),
        (NeverCalls, {"rows"}),
        (InPlace, {"rows"}),
        (GlobalNoise, {"same seed, same bits"}),
        (OnTheHost, {"device"}),
        (Unread, {"metrics"}),
        (NoRows, {"preview"}),
        (Peeks, {"unknown part"}),
        (Shifted, {"own rows"}),
        (Blind, {"own rows"}),
    ],
)
def test_a_mistaken_task_is_caught(mistaken: type[Task], caught: set[str]) -> None:
    assert failures(mistaken) == caught


def test_a_task_without_an_exact_checkpoint_is_an_error() -> None:
    with pytest.raises(BenchError, match=r"works on no exact checkpoint.*unfit takes networks"):
        failures(Unfit)
