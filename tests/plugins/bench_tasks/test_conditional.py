"""``conditional_fd`` against closed forms, and the bias of replacement, which corrector steps lower."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench import Array, Sampler, Tensor
from bench_tasks.conditional import Completions, conditional
from bench_tasks.known import Completion
from tests.support.completions import pc, pixels, small_gaussian, task, thinned, work
from tests.support.replacement import replaced, rotation

SIDE = 4
SHAPE = (3, SIDE, SIDE)
D = 3 * SIDE * SIDE
GIVEN = {"inpaint": {"mask": "box"}, "colorize": {}}


def completion(name: str) -> Completion:
    """The task, of a box in the middle where it has a mask."""
    found = task(name, **GIVEN[name])
    assert isinstance(found, Completion)
    return found


def moments(name: str) -> tuple[Array, NDArray[np.bool_], Array, Array, Array]:
    """Rotation, which are known, their coefficients (regression of unknown on known), the conditional
    covariance and the pixels' mean, by the covariance's Schur complement."""
    axes, mask = completion(name).part(SHAPE)
    r, known = rotation(axes, SIDE), mask.ravel() > 0
    data, _ = thinned(SIDE)
    covariance = (r * data.variance[0].ravel()) @ r.T
    slope = np.linalg.solve(covariance[np.ix_(known, known)], covariance[np.ix_(known, ~known)]).T
    rest = covariance[np.ix_(~known, ~known)] - slope @ covariance[np.ix_(known, ~known)]
    return r, known, slope, rest, r @ data.mean[0].ravel()


def draws(
    name: str, images: int, each: int, rng: np.random.Generator, gain: float = 1.0
) -> dict[str, Tensor]:
    """What a task would leave whose completions have the true conditional means and ``gain`` times the
    true standard deviations."""
    axes, mask = completion(name).part(SHAPE)
    r, known, slope, rest, mean = moments(name)
    data, _ = thinned(SIDE)
    w = mean + rng.standard_normal((images, D)) * np.sqrt(data.variance[0].ravel()) @ r.T
    completed = w.repeat(each, axis=0)
    noise = rng.standard_normal((images * each, len(rest))) @ np.linalg.cholesky(rest).T
    completed[:, ~known] = mean[~known] + (completed - mean)[:, known] @ slope.T + gain * noise

    def as_images(w: Array) -> Tensor:
        return torch.from_numpy(np.einsum("dc,bdhw->bchw", axes, w.reshape(-1, *SHAPE)))

    shared = {"known": torch.from_numpy(mask > 0), "axes": torch.from_numpy(axes)}
    rows = {k: v.expand(images * each, *v.shape) for k, v in shared.items()}
    return {"images": as_images(completed), "original": as_images(w).repeat_interleave(each, dim=0), **rows}


def measured(left: dict[str, Tensor], batch: int = 400) -> Completions:
    found = Completions(*thinned(SIDE))
    for start in range(0, len(left["images"]), batch):
        part = slice(start, start + batch)
        found.update(*(left[k][part] for k in ("images", "original", "known", "axes")))
    return found


@pytest.mark.parametrize("name", GIVEN)
def test_the_conditional_distribution_is_that_of_the_schur_complement(name: str) -> None:
    data, colour = thinned(SIDE)
    axes, mask = completion(name).part(SHAPE)
    r, known, slope, rest, _ = moments(name)
    found = conditional(data.variance[0], colour, axes, mask > 0)
    assert np.allclose(np.sort(found.variance), np.linalg.eigvalsh(rest), rtol=1e-8)
    # off the conditional mean, w_U - slope w_K; its length is kept by the turn to principal axes
    x = np.random.default_rng(0).standard_normal((5, D))
    w = x @ r.T
    off = w[:, ~known] - w[:, known] @ slope.T
    along = x @ found.gain.T
    assert np.allclose((along**2).sum(1), (off**2).sum(1), rtol=1e-8)
    assert np.allclose(
        (along**2 / found.variance).sum(1), (off * np.linalg.solve(rest, off.T).T).sum(1), rtol=1e-8
    )


@pytest.mark.parametrize(("images", "each", "sets"), [(40, 2, 40), (40, 5, 40), (2, 2, 300)])
@pytest.mark.parametrize("name", GIVEN)
def test_true_completions_read_zero(name: str, images: int, each: int, sets: int) -> None:
    """Unbiased, with the error that is told: z-scores over sets of images, of two where c4 tells."""
    rng = np.random.default_rng(1)
    values, errors = [], []
    for _ in range(sets):
        reading = measured(draws(name, images, each, rng)).compute()
        values.append(reading.value)
        errors.append(reading.error or measured_error(reading.details))
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    assert abs(mean) < 4 * spread / math.sqrt(sets)
    if each == 5:  # 200 samples: an error is told
        # the spread of 40 values is known to 11 %; plug-in errors of 40 images are a little off too
        assert 0.6 < float(np.mean(errors)) / spread < 1.6


def measured_error(details: dict[str, float]) -> float:
    """Below 100 samples no error is told."""
    assert details["conditional_variance"] > 0
    return math.nan


@pytest.mark.parametrize("name", GIVEN)
def test_wider_completions_read_what_they_are_off(name: str) -> None:
    """``gain`` times the deviations: ``(gain - 1)^2`` of the conditional variance."""
    left = draws(name, 400, 4, np.random.default_rng(2), gain=1.5)
    reading = measured(left).compute()
    truth = 0.25 * float(np.trace(moments(name)[3]))
    assert reading.n == 1600
    assert reading.error is not None
    assert abs(reading.value - truth) < 4 * reading.error
    assert reading.error < 0.2 * truth


def test_leave_one_out_is_without_the_group() -> None:
    left = draws("inpaint", 30, 2, np.random.default_rng(3))
    found = measured(left, batch=20)
    assert len(found.leave_one_out()) == 3
    rest = measured({k: v[20:] for k, v in left.items()}, batch=20)
    assert found.leave_one_out()[0] == pytest.approx(rest.compute().value, rel=1e-9)


def run(sde: str, moves: int) -> Sampler:
    if not moves:
        return pc(sde, steps=20)
    return pc(sde, "reverse_diffusion", "annealed_langevin", {"snr": 0.3, "steps": moves}, steps=20)


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("sde", ["ve", "vp", "subvp"])
def test_more_corrector_steps_lower_the_bias(sde: str, name: str) -> None:
    """By the recursion: no sampling noise. Without a corrector the bias is a fair share of all there is."""
    found = [replaced(run(sde, moves), completion(name), SIDE) for moves in (0, 1, 2, 4, 8)]
    assert all(after < before for before, after in itertools.pairwise(found)), found
    assert found[-1] < 0.5 * found[0]


@pytest.mark.parametrize(
    ("name", "sde", "moves"), [("inpaint", "ve", 0), ("inpaint", "vp", 2), ("colorize", "subvp", 1)]
)
def test_what_is_sampled_has_the_bias_of_the_recursion(name: str, sde: str, moves: int) -> None:
    sampler = run(sde, moves)
    model = small_gaussian(sampler.sde, SIDE)
    generator = torch.Generator().manual_seed(7)
    originals = model.images(model.draw(1500, lambda x: torch.randn(x.shape, generator=generator)))
    left = completion(name).run(work(sampler, model, originals, 4))
    reading = measured(left, batch=6000).compute()
    assert reading.error is not None
    truth = replaced(sampler, completion(name), SIDE)
    assert abs(reading.value - truth) < 4 * reading.error, (reading.value, truth)
    assert reading.error < 0.25 * truth


def test_what_it_does_not_take_is_told() -> None:
    left = draws("inpaint", 4, 3, np.random.default_rng(4))
    found = Completions(*thinned(SIDE))
    given = [left[k] for k in ("images", "original", "known", "axes")]
    with pytest.raises(Exception, match="takes 3x4x4 images, not 3x8x8"):
        found.update(pixels(np.random.default_rng(0), 2, 8), *given[1:])
    with pytest.raises(Exception, match="2 or more, of each image"):
        found.update(*(t[::3] for t in given))
    mixed = given[2].clone()
    mixed[0] = ~mixed[0]
    with pytest.raises(Exception, match="of which the same is known"):
        found.update(given[0], given[1], mixed, given[3])
