"""The conformance kit passes sound data sets and catches planted mistakes in others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import Dataset, Emit, Images, Tensor, assert_conforms
from bench.data.dataset import LoadedImages
from tests.support.checks import failures
from tests.support.made_up_data import Columns, Numbers
from tests.support.plugins import installed


class Halves(Columns):
    """Sound: numbers on [0, 1]."""

    name = "halves"
    data_range = (0.0, 1.0)
    splits = {"many": 300, "few": 40}

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        return np.random.default_rng(len(split)).uniform(0, 1, (self.splits[split] or 0, 2))


class WrongCount(Halves):
    name = "wrong_count"

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        return super().load(split, emit)[1:]


class WrongRange(Halves):
    """Bytes that are left as they are."""

    name = "wrong_range"

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        return 255 * super().load(split, emit)


class DividedTwice(Halves):
    name = "divided_twice"
    data_range = (0.0, 255.0)


class NotFinite(Halves):
    name = "not_finite"

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        items = super().load(split, emit)
        items[3] = np.nan
        return items


class OneForAll(Halves):
    """Its splits are the same items."""

    name = "one_for_all"
    splits = {"a": 300, "b": 300}


class Leaks(Halves):
    """Half of the items to judge by are those to learn from."""

    name = "leaks"
    splits = {"train": 300, "test": 40}
    shared = 20

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        items = super().load(split, emit)
        if split == "test":
            items[: self.shared] = super().load("train", emit)[: self.shared]
        return items


class FewTwice(Leaks):
    """Sound, but for a few."""

    name = "few_twice"
    shared = 4


class Hyphen(Halves):
    name = "hyphen"
    splits = {"so-so": 300}
    licence = ""


class Random(Halves):
    """Other items at each opening."""

    name = "random"

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        return np.random.default_rng().uniform(0, 1, (self.splits[split] or 0, 2))


class Shuffled(LoadedImages):
    """Another order at each reading."""

    def __iter__(self) -> Iterator[Tensor]:
        for batch in super().__iter__():
            yield batch[np.random.default_rng().permutation(len(batch))]


class Restless(Halves):
    name = "restless"

    def open(self, split: str, batch: int, emit: Emit) -> Images:
        return Shuffled(self, split, batch, emit)


class Laden(LoadedImages):
    """Carries its items to other processes."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


class Heavy(Halves):
    name = "heavy"
    splits = {"many": 5000}

    def open(self, split: str, batch: int, emit: Emit) -> Images:
        return Laden(self, split, batch, emit)


@pytest.mark.parametrize("thing", [Halves, FewTwice, Numbers, "digits"])
def test_sound_data_sets_pass(thing: Any) -> None:
    assert_conforms(thing, registry=installed())


UNSTABLE = {
    f"{split}: {check}" for split in ("many", "few") for check in ("read again", "to another process")
}


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (WrongCount, {"many: items", "few: items"}),
        (WrongRange, {"many: range", "few: range"}),
        (DividedTwice, {"many: range", "few: range"}),
        (NotFinite, {"many: range", "few: range"}),
        (OneForAll, {"splits differ"}),
        (Hyphen, {"names"}),
        (Random, UNSTABLE),
        (Restless, UNSTABLE),
        (Heavy, {"many: to another process"}),
        (Leaks, {"test apart from train"}),
    ],
)
def test_a_mistake_is_caught(mistaken: type[Dataset], caught: set[str]) -> None:
    assert failures(mistaken) == caught
