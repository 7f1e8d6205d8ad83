"""Exact checkpoints: their data, and the exact error of samplers on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench import BenchError, Card, Sampler
from bench.checkpoints.exact import exact_data, exact_fd_dct
from bench.closed_form.mixture import Mixture, on_range
from bench.closed_form.moments import gaussian_moments
from tests.support.analytic import sde
from tests.support.completions import pc
from tests.support.plugins import installed


def card(name: str) -> Card:
    shipped: Card = installed().get("checkpoints", name).thing
    return shipped


@pytest.mark.parametrize(("name", "count"), [("gaussian-cifar10", 1), ("gmm-cifar10", 10)])
def test_data_are_a_mixture_in_rotated_colors(name: str, count: int) -> None:
    data, color = exact_data(card(name))
    assert data.mean.shape == data.variance.shape == (count, 3, 32, 32)
    assert data.weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(color @ color.T, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("name", ["ve", "vp"])
@pytest.mark.parametrize("component", [0, 7])
def test_the_exact_error_is_that_of_one_component(name: str, component: int) -> None:
    """``sum (m - mu)^2 + (s - sd)^2`` by hand, on images on [0, 1] whatever the SDE's data range."""
    sampler = pc(name, "ancestral", steps=10)
    data, color = exact_data(card("gmm-cifar10"))
    low, high = sampler.sde.data_range
    moved: Mixture = on_range(data, (low, high), color)
    mean, variance = moved.mean[component], moved.variance[component]
    moments = gaussian_moments(sampler, mean, variance)
    assert moments is not None
    squares = (moments[0] - mean) ** 2 + (np.sqrt(moments[1]) - np.sqrt(variance)) ** 2
    distance = exact_fd_dct(card("gmm-cifar10"), sampler, component)
    assert distance == pytest.approx(float(squares.sum()) / (high - low) ** 2, rel=1e-12)


def test_the_exact_error_falls_with_more_steps() -> None:
    coarse, fine = (exact_fd_dct(card("gaussian-cifar10"), pc("vp", "ddim", steps=n)) for n in (10, 40))
    assert coarse is not None
    assert fine is not None
    assert fine < coarse / 2


def test_unknown_moments_have_no_exact_error() -> None:
    solver = installed().build("solvers", "sde_torchsde", {})
    assert exact_fd_dct(card("gaussian-cifar10"), Sampler(sde("vp"), solver=solver, denoise="none")) is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda tensors: tensors.pop("colour"), "has no tensor 'colour' of shape"),
        (lambda tensors: tensors.update(mean=torch.zeros(1, 3, 8, 8)), "has no tensor 'mean' of shape"),
        (lambda tensors: tensors["variance"].zero_(), "weights or variances that are not positive"),
    ],
)
def test_damaged_files_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: object, message: str
) -> None:
    shipped = card("gaussian-cifar10")
    tensors = load_file(shipped.folder / shipped.files[0].name)
    assert callable(damage)
    damage(tensors)
    save_file(tensors, tmp_path / shipped.files[0].name)
    monkeypatch.setattr(Card, "check", lambda _: None)
    monkeypatch.setattr(Card, "folder", property(lambda _: tmp_path))
    with pytest.raises(BenchError, match=message):
        exact_data(shipped)
