"""The task generate: the sampler's images, and the exact value of their distance."""

from __future__ import annotations

import functools

import pytest
import torch

from bench import BatchContext, Prediction, Sampler
from bench.checkpoints.exact import exact_fd_dct, limit_fd_dct
from bench.diffusion.noise import noise_stream
from bench_tasks.generate import Generate
from tests.support.analytic import sde
from tests.support.completions import pc, small_gaussian
from tests.support.plugins import installed


def test_images_are_those_of_the_sampler() -> None:
    """From the prior of the batch, with its streams: the sampler's own run gives the same bits."""
    sampler = pc("vp", "ancestral", "langevin", steps=4)
    model = small_gaussian(sampler.sde, 8)

    def batch() -> BatchContext:
        noise = functools.cache(lambda role: noise_stream(3, 1, role, "cpu"))
        return BatchContext(sampler, Prediction(model, sampler.sde), torch.device("cpu"), 5, 5, None, noise)

    context = batch()
    images = Generate().run(context)["images"]
    assert images.shape == (5, 3, 8, 8)
    assert context.prediction.calls == 8
    other = batch()
    streams = (other.noise("predictor"), other.noise("corrector"))
    assert torch.equal(images, model.images(sampler.run(other.prior(), other.prediction, *streams)))


def test_the_default_preview_is_a_square() -> None:
    images = torch.rand(70, 3, 2, 2)
    for count, image_count, columns in ((70, 64, 8), (10, 10, 4), (1, 1, 1)):
        preview = Generate().preview({"images": images[:count]})
        assert preview is not None
        assert (len(preview[0]), preview[1]) == (image_count, columns)


@pytest.mark.parametrize("name", ["gaussian-cifar10", "gaussian-cifar10-1000", "gmm-cifar10", "cifar10-tiny"])
def test_the_exact_value_is_known_on_the_gaussian(name: str) -> None:
    card = installed().get("checkpoints", name).thing
    values = Generate().exact(card, pc("vp", "ancestral", steps=20))
    if name.startswith("gaussian-cifar10"):
        assert values == {"fd_dct": exact_fd_dct(card, pc("vp", "ancestral", steps=20))}
        assert values["fd_dct"] > 0
    else:
        assert values == {}


@pytest.mark.parametrize("name", ["gaussian-cifar10", "gmm-cifar10", "cifar10-tiny"])
def test_a_solvers_limit_is_no_exact_value(name: str) -> None:
    """``rk45`` has a limit and no exact value, whatever its tolerance; a predictor the other way round."""
    card = installed().get("checkpoints", name).thing
    solver = Sampler(sde("vp"), solver=installed().build("solvers", "rk45", {"tol": 0.1}), denoise="none")
    assert Generate().exact(card, solver) == {}
    assert Generate().limit(card, pc("vp", "ancestral", steps=20)) == {}
    limit = limit_fd_dct(card, solver) if name == "gaussian-cifar10" else None
    assert Generate().limit(card, solver) == ({} if limit is None else {"fd_dct": limit})
