"""The role Dataset: items in memory and draws, on the unit range, the same however they are read."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench import BenchError, Dataset, Emit, silent
from tests.support.images import back, pixels
from tests.support.made_up_data import Columns, Numbers


def test_items_in_memory_come_on_the_unit_range() -> None:
    images = Columns().open("few", 3, silent)
    assert (images.name, images.kind, images.n, images.shape, images.sizes()) == (
        *("columns-few", "dataset", 7, (2,)),
        [3, 3, 1],
    )
    expected = (torch.arange(7.0)[:, None] * torch.tensor([1, 10]) - 10) / 10
    assert torch.equal(torch.cat(list(images)), expected)
    assert torch.equal(torch.cat(list(images)), expected)  # what was read is not changed


@pytest.mark.parametrize("source", [Columns().open("many", 40, silent), Numbers().open("a", 700, silent)])
def test_items_travel_as_names(source: Any) -> None:
    content = pickle.dumps(source)
    assert len(content) < 1000
    copy = pickle.loads(content)
    assert copy.facts() == source.facts()
    assert all(torch.equal(a, b) for a, b in zip(copy, source, strict=True))


class Pictures(Dataset):
    """Bytes of color, given with channels last."""

    name = "pictures"
    shape = (3, 8, 8)
    data_range = (0.0, 255.0)
    splits = {"all": 20}

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        return pixels(20).transpose(0, 3, 1, 2)


def test_bytes_are_exact_and_hashed_with_channels_last() -> None:
    """As k / 255 in float32, and by the hash of cached statistics of torchvision's sets."""
    for batch in (7, 250):
        images = Pictures().open("all", batch, silent)
        assert np.array_equal(back(images), pixels(20))
        assert torch.equal(torch.cat(list(images)), torch.from_numpy(pixels(20)).permute(0, 3, 1, 2) / 255)
        assert images.sha256() == hashlib.sha256(pixels(20).tobytes()).hexdigest()


class Odd(Pictures):
    """Bytes of another shape than the declared one."""

    name = "odd"

    def load(self, split: str, emit: Emit) -> NDArray[Any]:
        return pixels(20)


class Bare(Pictures):
    """Defines neither load nor open."""

    name = "bare"
    load = Dataset.load


def test_what_a_data_set_may_not_do() -> None:
    with pytest.raises(BenchError, match=r"odd.load returns uint8 of shape \(20, 8, 8, 3\), not numbers"):
        Odd().open("all", 9, silent)
    with pytest.raises(BenchError, match="the data set bare defines neither load nor open"):
        Bare().open("all", 9, silent)


def test_draws_are_the_same_in_batches_of_any_size() -> None:
    whole = torch.cat(list(Numbers().open("a", 10_000, silent)))
    assert len(whole) == 2500
    for batch in (7, 300, 1000, 1700, 2500):
        images = Numbers().open("a", batch, silent)
        batches = list(images)
        assert [len(one) for one in batches] == images.sizes()
        assert torch.equal(torch.cat(batches), whole)
    assert images.sha256() == Numbers().open("a", 10_000, silent).sha256()
    assert whole.dtype == torch.float32
    assert 0 <= float(whole.min()) < float(whole.max()) <= 1


def test_splits_and_toys_are_independent_draws() -> None:
    """The correlation of independent numbers is normal with deviation 1 / sqrt(n): 4 of them."""

    class Others(Numbers):
        name = "others"

    a, b, other = (
        torch.cat(list(toy.open(split, 2500, silent))).flatten().double()
        for toy, split in ((Numbers(), "a"), (Numbers(), "b"), (Others(), "a"))
    )
    # blocks of one split are independent too
    for x, y in ((a, b), (a, other), (a[:1000], a[1000:2000])):
        correlation = float(torch.corrcoef(torch.stack([x, y]))[0, 1])
        assert abs(correlation) < 4 / len(x) ** 0.5
