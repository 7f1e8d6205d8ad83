"""``conditional_fd`` against closed forms; corrector steps lower the bias of replacement; ``known_error``."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench import Array, BenchError, Sampler, Tensor
from bench_tasks.conditional import CompletionState, Conditional, ConditionalFd, KnownError, conditional
from bench_tasks.known import Completion
from tests.support.completions import (
    build_task,
    completion_batch,
    pc,
    small_gaussian,
    thinned,
    uniform_images,
)
from tests.support.metrics import metric_context
from tests.support.plain import plain
from tests.support.replacement import replaced, rotation

SIDE = 4
SHAPE = (3, SIDE, SIDE)
D = 3 * SIDE * SIDE
TASKS = {"inpaint": {"mask": "box"}, "colorize": {}}


def completion(name: str) -> Completion:
    """The task; inpaint with a box in the middle."""
    task = build_task(name, **TASKS[name])
    assert isinstance(task, Completion)
    return task


def moments(name: str) -> tuple[Array, NDArray[np.bool_], Array, Array, Array]:
    """The rotation to decoupled pixels, which of them are known, the regression of the unknown on the known
    ones, the conditional covariance, and the pixels' mean: by the Schur complement of the covariance."""
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
    """Outputs of a task whose completions have the true conditional means, and ``gain`` times the true
    standard deviations."""
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


def measure(outputs: dict[str, Tensor], batch: int = 400) -> CompletionState:
    state = CompletionState(*thinned(SIDE))
    for start in range(0, len(outputs["images"]), batch):
        part = slice(start, start + batch)
        state.update(*(outputs[k][part] for k in ("images", "original", "known", "axes")))
    return state


@pytest.mark.parametrize("name", TASKS)
def test_conditional_distribution_is_that_of_the_schur_complement(name: str) -> None:
    data, color = thinned(SIDE)
    axes, mask = completion(name).part(SHAPE)
    r, known, slope, rest, _ = moments(name)
    exact = conditional(data.variance[0], color, axes, mask > 0)
    assert np.allclose(np.sort(exact.variance), np.linalg.eigvalsh(rest), rtol=1e-8)
    # the offset from the conditional mean, w_U - slope w_K; the rotation to principal axes keeps its length
    x = np.random.default_rng(0).standard_normal((5, D))
    w = x @ r.T
    offset = w[:, ~known] - w[:, known] @ slope.T
    along = x @ exact.gain.T
    assert np.allclose((along**2).sum(1), (offset**2).sum(1), rtol=1e-8)
    assert np.allclose(
        (along**2 / exact.variance).sum(1), (offset * np.linalg.solve(rest, offset.T).T).sum(1), rtol=1e-8
    )


@pytest.mark.parametrize(("images", "each", "sets"), [(40, 2, 40), (40, 5, 40), (2, 2, 300)])
@pytest.mark.parametrize("name", TASKS)
def test_the_value_of_true_completions_is_zero(name: str, images: int, each: int, sets: int) -> None:
    """Unbiased, with the stated error: z-scores over sets of images, also of two images, where c4 matters."""
    rng = np.random.default_rng(1)
    values, errors = [], []
    for _ in range(sets):
        result = measure(draws(name, images, each, rng)).compute()
        values.append(result.value)
        errors.append(result.error or no_error(plain(result.details)))
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    assert abs(mean) < 4 * spread / math.sqrt(sets)
    if each == 5:  # 200 samples: the result states an error
        # the spread of 40 values is known to 11 %; plug-in errors of 40 images deviate a little too
        assert 0.6 < float(np.mean(errors)) / spread < 1.6


def no_error(details: dict[str, float]) -> float:
    """NaN: below 100 samples the result states no error."""
    assert details["conditional_variance"] > 0
    return math.nan


@pytest.mark.parametrize("name", TASKS)
def test_the_value_of_wider_completions(name: str) -> None:
    """``gain`` times the deviations: ``(gain - 1)^2`` of the conditional variance."""
    outputs = draws(name, 400, 4, np.random.default_rng(2), gain=1.5)
    result = measure(outputs).compute()
    truth = 0.25 * float(np.trace(moments(name)[3]))
    assert result.n == 1600
    assert result.error is not None
    assert abs(result.value - truth) < 4 * result.error
    assert result.error < 0.2 * truth


def test_leave_one_out_is_without_the_group() -> None:
    outputs = draws("inpaint", 30, 2, np.random.default_rng(3))
    state = measure(outputs, batch=20)
    assert len(state.leave_one_out()) == 3
    rest = measure({k: v[20:] for k, v in outputs.items()}, batch=20)
    assert state.leave_one_out()[0] == pytest.approx(rest.compute().value, rel=1e-9)


def annealed(sde: str, moves: int) -> Sampler:
    """Reverse diffusion in 20 steps, with a number of corrector moves each."""
    if not moves:
        return pc(sde, steps=20)
    return pc(sde, "reverse_diffusion", "annealed_langevin", {"snr": 0.3, "steps": moves}, steps=20)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("sde", ["ve", "vp", "subvp"])
def test_more_corrector_steps_lower_the_bias(sde: str, name: str) -> None:
    """By the recursion, without sampling noise."""
    biases = [replaced(annealed(sde, moves), completion(name), SIDE) for moves in (0, 1, 2, 4, 8)]
    assert all(after < before for before, after in itertools.pairwise(biases)), biases
    assert biases[-1] < 0.5 * biases[0]


@pytest.mark.parametrize(
    ("name", "sde", "moves"), [("inpaint", "ve", 0), ("inpaint", "vp", 2), ("colorize", "subvp", 1)]
)
def test_sampled_completions_have_the_bias_of_the_recursion(name: str, sde: str, moves: int) -> None:
    sampler = annealed(sde, moves)
    model = small_gaussian(sampler.sde, SIDE)
    generator = torch.Generator().manual_seed(7)
    originals = model.images(model.draw(1500, lambda x: torch.randn(x.shape, generator=generator)))
    outputs = completion(name).run(completion_batch(sampler, model, originals, 4))
    result = measure(outputs, batch=6000).compute()
    assert result.error is not None
    truth = replaced(sampler, completion(name), SIDE)
    assert abs(result.value - truth) < 4 * result.error, (result.value, truth)
    assert result.error < 0.25 * truth


def test_refused_completions() -> None:
    outputs = draws("inpaint", 4, 3, np.random.default_rng(4))
    state = CompletionState(*thinned(SIDE))
    inputs = [outputs[k] for k in ("images", "original", "known", "axes")]
    with pytest.raises(BenchError, match="takes 3x4x4 images, not 3x8x8"):
        state.update(uniform_images(np.random.default_rng(0), 2, 8), *inputs[1:])
    with pytest.raises(BenchError, match="2 or more, of each image"):
        state.update(*(t[::3] for t in inputs))
    mixed = inputs[2].clone()
    mixed[0] = ~mixed[0]
    with pytest.raises(BenchError, match="of which the same is known"):
        state.update(inputs[0], inputs[1], mixed, inputs[3])


def test_other_shapes_are_refused_at_planning() -> None:
    task = completion("inpaint")
    ConditionalFd().check(task, (3, 32, 32), 100)
    with pytest.raises(BenchError, match="conditional_fd takes 3x32x32 images, not 3x64x64"):
        ConditionalFd().check(task, (3, 64, 64), 100)


def test_runs_of_one_mask_share_the_conditional_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is computed once in a context, and again for another mask."""
    masks: list[Array] = []

    def solve(variance: Array, *others: Array) -> Conditional:
        masks.append(others[-1])
        return Conditional(np.zeros((1, variance.size)), np.ones(1))

    monkeypatch.setattr("bench_tasks.conditional.conditional", solve)
    context = metric_context()
    images = uniform_images(np.random.default_rng(0), 2, 32)
    known = torch.zeros(2, 3, 32, 32, dtype=torch.bool)
    for mask in (known, known, ~known):
        state = ConditionalFd().start(context)
        state.update(images, images[:1].expand(2, -1, -1, -1), mask, torch.eye(3).expand(2, 3, 3))  # type: ignore[call-arg]
    assert [bool(mask.any()) for mask in masks] == [False, True]


def test_known_error_is_the_largest_deviation_of_the_known_part() -> None:
    state = KnownError().start(metric_context())
    original = torch.zeros(2, 3, 2, 2)
    known = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    known[:, 0] = True
    images = original.clone()
    images[1, 0, 1, 1], images[0, 2] = -0.25, 7.0
    state.update(images, original, known, torch.eye(3).expand(2, 3, 3))  # type: ignore[call-arg]
    state.update(original, original, known, torch.eye(3).expand(2, 3, 3))  # type: ignore[call-arg]
    assert (state.compute().value, state.compute().n) == (0.25, 4)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("images", [1, 60])
def test_equal_completions_lack_the_whole_conditional_variance(name: str, images: int) -> None:
    """All completions of an image are its conditional mean: ``sum V``, and no shift."""
    outputs = draws(name, images, 4, np.random.default_rng(0), gain=0.0)
    result = measure(outputs).compute()
    _, _, _, rest, _ = moments(name)
    assert result.value == pytest.approx(float(np.trace(rest)), rel=1e-6)
    assert plain(result.details)["mean"] == pytest.approx(0, abs=1e-9)
    if images == 60:
        assert result.error == pytest.approx(0, abs=1e-9)
