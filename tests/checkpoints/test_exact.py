"""Exact checkpoints: their distribution and the exact distance of a sampler from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import SDE, BenchError, Card, Sampler, exact_data, exact_fd_dct, limit_fd_dct, registry_path
from tests.support.plugins import installed

FILE = registry_path("cards", "gaussian-cifar10.safetensors")


def sampler(steps: int) -> Sampler:
    sde: SDE = installed().build("sdes", "vp", {})
    return Sampler(sde, installed().build("predictors", "ddim", {}), steps=steps)


def changed(folder: Path, tensors: dict[str, torch.Tensor]) -> Card:
    """The Gaussian's card with other tensors beside it."""
    shipped = Card.read(FILE.with_suffix(".toml"))
    save_file(tensors, folder / FILE.name)
    card = shipped.model_copy(
        update={"files": (shipped.files[0].model_copy(update={"size": None, "sha256": None}),)}
    )
    card._home = folder
    return card


def test_the_distribution_is_normalized() -> None:
    data, rotation = exact_data(Card.read(registry_path("cards", "gmm-cifar10.toml")))
    assert data.mean.shape == data.variance.shape == (10, 3, 32, 32)
    assert data.weight.sum() == pytest.approx(1)
    assert (data.variance > 0).all()
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


def test_the_exact_distance_falls_with_the_steps() -> None:
    card = Card.read(registry_path("cards", "gaussian-cifar10.toml"))
    coarse, fine = (exact_fd_dct(card, sampler(steps)) for steps in (30, 300))
    assert coarse is not None
    assert fine is not None
    assert 0 < fine < coarse / 10


def test_a_flow_of_more_and_more_steps_tends_to_the_limit_of_a_solver() -> None:
    """DDIM is the probability flow by Euler's rule, and its last step, to clean data, Tweedie's formula."""
    card = Card.read(registry_path("cards", "gaussian-cifar10.toml"))
    sde = sampler(30).sde
    solved = Sampler(sde, solver=installed().build("solvers", "rk45", {}), denoise="tweedie")
    limit = limit_fd_dct(card, solved)
    assert limit is not None
    # each sampler has one of the two
    assert exact_fd_dct(card, solved) is None
    assert limit_fd_dct(card, sampler(30)) is None
    off = []
    for steps in (100, 400):
        ddim = installed().build("predictors", "ddim", {})
        distance = exact_fd_dct(card, Sampler(sde, ddim, steps=steps, grid="logsnr"))
        assert distance is not None
        off.append(abs(distance - limit))
    assert off[1] < off[0] / 4
    assert off[1] < limit / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variance": None}, "no tensor 'variance'"),
        ({"mean": torch.zeros(1, 3, 8, 8)}, "no tensor 'mean' of shape"),
        ({"weight": torch.tensor([-1.0])}, "not positive"),
    ],
)
def test_wrong_tensors_are_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    tensors = {k: t for k, t in (load_file(FILE) | change).items() if t is not None}
    with pytest.raises(BenchError, match=message) as caught:
        exact_data(changed(tmp_path, tensors))
    assert str(caught.value).startswith("checkpoint gaussian-cifar10: ")
    assert "\n" not in str(caught.value)
