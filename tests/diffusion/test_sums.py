"""Sums whose bits do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from bench import batch_sum


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "shape", [(1,), (5,), (3, 4), (64, 3, 32, 32), (1, 3, 256, 256), (100_000,), (50_000, 2)]
)
def test_the_sum_is_that_of_all_and_the_same_for_any_number_of_threads(shape: tuple[int, ...]) -> None:
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    sums = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        sums.append(batch_sum(values))
    assert sums[0].shape == ()
    assert len({one.item() for one in sums}) == 1
    # float32 sums of up to 200,000 numbers in chunks: far below the bound n * 2^-24 of a plain loop
    assert sums[0].item() == pytest.approx(float(values.double().sum()), rel=2**-20)


def test_integers_stay_exact() -> None:
    assert batch_sum(torch.arange(100_000)).item() == 99_999 * 50_000
