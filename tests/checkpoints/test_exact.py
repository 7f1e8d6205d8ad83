"""Exact checkpoints: their distribution and the exact distance of a sampler from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import bench
from bench import (
    SDE,
    BenchError,
    Card,
    Sampler,
    dct_data,
    exact_data,
    exact_fd_dct,
    limit_fd_dct,
    registry_path,
)
from bench.checkpoints.exact import trained_answer
from bench.checkpoints.load import load_model
from bench.closed_form.mixture import on_range
from bench.closed_form.moments import frechet
from bench.diffusion.levels import NoiseLevel
from bench.events import silent
from tests.support import closed_form
from tests.support.analytic import grid_of
from tests.support.closed_form import Case
from tests.support.plugins import installed
from tests.support.runs import exit_status

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
    data, rotation = dct_data(Card.read(registry_path("cards", "gmm-cifar10.toml")))
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


def trained(name: str, **changes: Any) -> Sampler:
    """A run at 1000 steps."""
    sde: SDE = installed().build("sdes", name, changes)
    return Sampler(sde, installed().build("predictors", "ancestral", {}))


@pytest.mark.parametrize("law", ["ve", "vp"])
def test_a_run_of_1000_scales_has_the_exact_value_of_such_a_score(law: str, tmp_path: Path) -> None:
    """By an independent recursion; the sampled value lies within four standard errors of it."""
    (record,) = bench.run(
        checkpoint="gaussian-cifar10-1000",
        sde=law,
        predictor="ancestral",
        samples=128,
        batch_size=128,
        steps=1000,
        grid="uniform",
        device="cpu",
        out=tmp_path,
        registry=installed(),
        emit=silent,
    )
    (metric,) = record.metrics
    low, high = trained(law).sde.data_range
    data, color = dct_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    moved = on_range(data, (low, high), color)
    mean, variance = moved.mean[0], moved.variance[0]
    case = Case(law, "ancestral", steps=1000, trained=1000)
    distance = frechet(*closed_form.moments(case, mean, variance), mean, variance) / (high - low) ** 2
    value = record.metrics[metric]
    assert value.exact == pytest.approx(distance, rel=1e-6)
    assert value.value is not None
    assert value.error is not None
    assert abs(value.value - distance) < 4 * value.error


@pytest.mark.parametrize("law", ["subvp", "ve_exp", "vp_cosine"])
def test_an_sde_without_discrete_networks_is_refused(
    law: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", "gaussian-cifar10-1000", "--sde", law, "--out", str(tmp_path), "--dry-run"]
    assert exit_status("run", *arguments) == 2
    line = capsys.readouterr().err.strip()
    assert f"gaussian-cifar10-1000 is trained at discrete noise scales, and {law} has no networks" in line
    assert "take --sde ve or vp" in line


def test_the_scales_are_part_of_what_decides_a_score() -> None:
    cards = [
        Card.read(registry_path("cards", f"{n}.toml")) for n in ("gaussian-cifar10", "gaussian-cifar10-1000")
    ]
    assert cards[0].deciding() | {"scales": 1000} == cards[1].deciding()
    assert trained_answer(cards[0], trained("vp").sde) is None


def test_too_few_scales_for_the_chain_are_one_line() -> None:
    card = Card.read(registry_path("cards", "gaussian-cifar10-1000.toml")).model_copy(update={"scales": 20})
    with pytest.raises(
        BenchError, match=r"gaussian-cifar10-1000: vp has no chain of 20 noise scales: its card"
    ):
        trained_answer(card, trained("vp").sde)
    assert trained_answer(card, trained("ve").sde) is not None


def test_the_chain_is_that_of_the_runs_sde() -> None:
    """Other sigmas of the run are other scales of the training."""
    card = Card.read(registry_path("cards", "gaussian-cifar10-1000.toml"))
    sampler = trained("ve", sigma_max=20.0)
    answer = trained_answer(card, sampler.sde)
    assert answer is not None
    first, *_, last = sampler.schedule()
    for step, sigma in ((first, 20.0), (last, 0.01)):
        trained_level, factor = answer(step)
        assert trained_level.alpha == 1
        assert (trained_level.sigma, factor) == pytest.approx((sigma, 1.0))


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
        distance = exact_fd_dct(card, Sampler(sde, ddim, steps=steps, grid=grid_of("logsnr")))
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


def flat(folder: Path, **changes: Any) -> Card:
    """A card of one Gaussian of two numbers in data coordinates on [-2, 6]."""
    tensors = {
        "weight": torch.ones(1),
        "mean": torch.tensor([[2.0, 6.0]]),
        "variance": torch.tensor([[4.0, 16.0]]),
    }
    card = changed(folder, tensors | changes.pop("tensors", {}))
    facts = {"basis": "data", "shape": (2,), "data_range": (-2.0, 6.0)}
    flat_card = card.model_copy(update=facts | changes)
    flat_card._home = folder
    return flat_card


def test_the_data_range_maps_data_coordinates_to_the_unit_range(tmp_path: Path) -> None:
    """Mean (2, 6) and variance (4, 16) are (1/2, 1) and (1/16, 1/4) there, (0, 1) and (1/4, 1) on [-1, 1]."""
    card = flat(tmp_path)
    data, color = exact_data(card)
    assert color is None
    assert data.mean.tolist() == [[0.5, 1.0]]
    assert data.variance.tolist() == [[1 / 16, 1 / 4]]
    model = load_model(card, sampler(10).sde, torch.device("cpu"), installed(), dtype=torch.float64)
    level = NoiseLevel(0.5, 0.6, 0.8)
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    variance = 0.36 * torch.tensor([0.25, 1.0]) + 0.64
    expected = (0.6 * torch.tensor([0.0, 1.0], dtype=torch.float64) - x) / variance
    assert torch.allclose(model.score(x, level), expected, rtol=1e-6)
    items = torch.tensor([[0.5, 1.5]], dtype=torch.float64)
    assert model.states(items).tolist() == [[0.0, 2.0]]
    assert torch.equal(model.images(model.states(items)), items)


def test_the_basis_decides_a_score_and_has_no_exact_value_of_another(tmp_path: Path) -> None:
    card = flat(tmp_path)
    assert card.deciding()["basis"] == "data"
    assert card.deciding() != card.model_copy(update={"basis": "dct"}).deciding()
    assert exact_fd_dct(card, sampler(30)) is None
    solved = Sampler(sampler(30).sde, solver=installed().build("solvers", "rk45", {}))
    assert limit_fd_dct(card, solved) is None
    with pytest.raises(BenchError, match="gaussian-cifar10 is not in the DCT basis: take one whose card"):
        dct_data(card)


def test_a_file_of_another_basis_is_one_line(tmp_path: Path) -> None:
    card = flat(tmp_path, tensors={"colour": torch.eye(3)})
    with pytest.raises(BenchError, match="has a tensor 'colour', which belongs to the DCT basis: its card"):
        exact_data(card)
