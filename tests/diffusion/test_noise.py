"""Random streams: bits from (seed, batch, role) alone, and seeds for other generators."""

from __future__ import annotations

import pytest
import torch

from bench import draw_seed
from bench.diffusion.noise import draw_integers, noise_stream, noise_streams


def test_a_stream_depends_on_seed_batch_and_role_alone() -> None:
    x = torch.empty(2, 3)
    first = noise_stream(1, 2, "prior", "cpu")(x)
    assert torch.equal(first, noise_stream(1, 2, "prior", "cpu")(torch.zeros(2, 3)))
    for other in ((0, 2, "prior"), (1, 0, "prior"), (1, 2, "predictor"), (2, 1, "prior")):
        assert not torch.equal(first, noise_stream(*other, "cpu")(x))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_stream_on_a_gpu_depends_on_seed_batch_and_role_alone() -> None:
    x = torch.empty(2, 3, device="cuda")
    first = noise_stream(1, 2, "prior", "cuda")(x)
    assert torch.equal(first, noise_stream(1, 2, "prior", "cuda")(x))
    for other in ((0, 2, "prior"), (1, 0, "prior"), (1, 2, "predictor"), (2, 1, "prior")):
        assert not torch.equal(first, noise_stream(*other, "cuda")(x))


def test_integers_are_uniform_and_derive_from_seed_batch_and_role_alone() -> None:
    first = draw_integers(1, 2, "classes", 10, 10_000)
    assert (first == draw_integers(1, 2, "classes", 10, 10_000)).all()
    for other in ((0, 2, "classes"), (1, 0, "classes"), (1, 2, "prior")):
        assert (first != draw_integers(*other, 10, 10_000)).any()
    # each share is 1000 with a deviation of 30: five of them
    assert set(first) == set(range(10))
    assert all(abs(int((first == k).sum()) - 1000) < 150 for k in range(10))


def test_streams_of_a_batch_are_its_roles() -> None:
    x = torch.empty(4)
    for role, noise in zip(("prior", "predictor", "corrector"), noise_streams(3, 1, "cpu"), strict=True):
        assert torch.equal(noise(x), noise_stream(3, 1, role, "cpu")(x))


def test_draws_have_shape_and_precision_of_the_state_and_are_fresh() -> None:
    noise = noise_stream(0, 0, "prior", "cpu")
    x = torch.zeros(5, 2, dtype=torch.float64)
    first, second = noise(x), noise(x)
    assert (first.shape, first.dtype) == (x.shape, x.dtype)
    assert not torch.equal(first, second)
    assert not x.any()


def test_a_drawn_seed_is_the_bits_of_two_draws() -> None:
    """1.0 is 0x3F800000 in float32, -2.0 is 0xC0000000, whose sign bit is left out."""
    assert draw_seed(lambda _: torch.tensor([[1.0, -2.0], [3.0, 4.0]]), torch.empty(2, 2)) == (
        0x40000000 << 32 | 0x3F800000
    )
    assert draw_seed(lambda _: torch.tensor([-2.0, 1.0]).double(), torch.empty(2)) == (
        0x3F800000 << 32 | 0xC0000000
    )


def test_drawn_seeds_differ_from_draw_to_draw() -> None:
    noise, x = noise_stream(0, 0, "predictor", "cpu"), torch.empty(2, 3)
    seeds = [draw_seed(noise, x) for _ in range(100)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
