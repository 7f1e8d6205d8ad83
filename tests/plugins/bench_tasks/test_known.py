"""Replacement: the known part, what stands in for it during a run, and what it leaves alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bench import Model, Noise, NoiseLevel, Tensor
from bench_tasks.known import KnownPart, Replace
from tests.support.analytic import sde
from tests.support.completions import (
    SDES,
    Shrinking,
    build_task,
    completion_batch,
    known_values,
    pc,
    small_gaussian,
    uniform_images,
)

TASKS: dict[str, dict[str, Any]] = {
    "half": {"name": "inpaint"},
    "box": {"name": "inpaint", "mask": "box"},
    "random": {"name": "inpaint", "mask": "random:0.4"},
    "colorize": {"name": "colorize"},
}
EPS = float(np.finfo(np.float32).eps)
MODELS: dict[str, Callable[..., Model]] = {"coefficients": small_gaussian, "pixels": Shrinking}


@pytest.mark.parametrize("parameters", TASKS.values(), ids=TASKS.keys())
@pytest.mark.parametrize("name", SDES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_the_known_part_is_kept(model: Callable[..., Model], name: str, parameters: dict[str, Any]) -> None:
    """To the rounding of float32 in about 16 operations on states within 3 on either side of 0."""
    sampler = pc(name, corrector="langevin", steps=5)
    originals = uniform_images(np.random.default_rng(1), 3, 8)
    outputs = build_task(**parameters).run(completion_batch(sampler, model(sampler.sde, 8), originals, 2))
    error = known_values(outputs, outputs["images"]) - known_values(outputs, outputs["original"])
    assert float(error.abs().max()) < 16 * 3 * EPS
    # the rest is not kept: two completions of an image differ
    first, second = outputs["images"][::2], outputs["images"][1::2]
    assert float((first - second).abs().amax(dim=(1, 2, 3)).min()) > 0.01
    assert torch.equal(outputs["original"], originals.repeat_interleave(2, dim=0))


@pytest.mark.parametrize("order", ["corrector_first", "predictor_first"])
@pytest.mark.parametrize("denoise", ["mean", "tweedie", "none"])
@pytest.mark.parametrize("predictor", ["ancestral", "none", "heun"])
def test_the_known_part_is_kept_however_a_run_ends(predictor: str, denoise: str, order: str) -> None:
    sampler = pc("vp", predictor, "langevin", steps=4)
    object.__setattr__(sampler, "denoise", denoise)
    object.__setattr__(sampler, "order", order)
    originals = uniform_images(np.random.default_rng(1), 2, 4)
    outputs = build_task("inpaint").run(
        completion_batch(sampler, small_gaussian(sampler.sde, 4), originals, 2)
    )
    error = known_values(outputs, outputs["images"]) - known_values(outputs, outputs["original"])
    assert float(error.abs().max()) < 16 * 3 * EPS


@pytest.mark.parametrize("name", SDES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("parameters", [TASKS["random"], TASKS["colorize"]], ids=["inpaint", "colorize"])
def test_during_a_run_the_known_part_has_the_forward_marginal(
    parameters: dict[str, Any], model: Callable[..., Model], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each move known pixels are N(alpha y, sigma^2), independent of each other: z-scores over 2000."""
    projections: list[tuple[NoiseLevel, Tensor]] = []
    project = Replace.project

    def spy(self: Replace, x: Tensor, level: NoiseLevel, noise: Noise) -> Tensor:
        after = project(self, x, level, noise)
        projections.append((level, self.model.images(after) - self.image_of_zero))
        return after

    monkeypatch.setattr(Replace, "project", spy)
    sampler, n = pc(name, corrector="langevin", steps=3), 2000
    low, high = sampler.sde.data_range
    original = uniform_images(np.random.default_rng(1), 1, 4)
    outputs = build_task(**parameters).run(completion_batch(sampler, model(sampler.sde, 4), original, n))
    # moves of the corrector at its noise level and of the predictor at the next one; then the result
    plan = sampler.schedule()
    assert [level.sigma for level, _ in projections] == [
        plan[0].sigma, plan[1].sigma, plan[1].sigma, plan[2].sigma, plan[2].sigma, 0, 0,
    ]  # fmt: skip
    for level, images in projections[:5]:
        # states are (high - low) image + low, up to a rotation
        y = low / (high - low) + original
        z = known_values(outputs, images - level.alpha * y) * ((high - low) / level.sigma)
        count = z.shape[1]
        assert float(z.mean(dim=0).abs().max()) < 5 / math.sqrt(n)
        covariance = z.T @ z / n
        assert float((covariance - torch.eye(count)).abs().max()) < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_replacement_leaves_the_rest(model: Callable[..., Model]) -> None:
    run = sde("vp")
    rng = np.random.default_rng(2)
    axes, mask = build_task("colorize").part((3, 8, 8))  # type: ignore[attr-defined]
    part = KnownPart(torch.from_numpy(axes).float(), torch.from_numpy(mask).float())
    small = model(run, 8)
    condition = Replace(small, uniform_images(rng, 4, 8), part)
    x = small.states(uniform_images(rng, 4, 8))
    after = condition.project(x, NoiseLevel(0.5, 0.6, 0.8), torch.randn_like)
    rest, rest_after = (small.images(s) - part(small.images(s)) for s in (x, after))
    assert torch.allclose(rest, rest_after, atol=64 * EPS)
    assert not torch.allclose(part(small.images(x)), part(small.images(after)), atol=0.1)


def test_images_of_a_batch_are_independent() -> None:
    """An image's completions don't depend on the other images unless the sampler couples the batch."""
    sampler = pc("vp", steps=4)
    small = small_gaussian(sampler.sde, 4)
    originals = uniform_images(np.random.default_rng(5), 2, 4)
    both = build_task("inpaint").run(completion_batch(sampler, small, originals, 4))
    twice = torch.stack([originals[0], originals[0]])
    other = build_task("inpaint").run(completion_batch(sampler, small, twice, 4))
    assert torch.allclose(both["images"][:4], other["images"][:4], atol=1e-6)
