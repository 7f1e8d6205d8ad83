"""Gotta Go Fast as a third party's package: steps by sample, exact moments, network calls by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench import Prediction, Record, Sampler, Solver, Tensor
from bench.diffusion.counting import Evaluations, counted_evaluations
from bench.diffusion.noise import noise_streams
from tests.support.analytic import gaussian, sde
from tests.support.examples import example

MEAN, VARIANCE = 0.3, 0.1


def solver(**parameters: float) -> Solver:
    """The solver, as its entry point registers it."""
    chosen: Solver = example("gotta-go-fast", "gotta_go_fast").build("solvers", "gotta_go_fast", parameters)
    return chosen


def run(
    law: str, chosen: Solver, shape: tuple[int, ...], first: int, last: int
) -> tuple[Tensor, Evaluations]:
    """Samples first to last of a batch of eight of white data, and their network calls."""
    p = Prediction(gaussian(np.full(shape, MEAN), np.full(shape, VARIANCE)), sde(law))
    prior, one, two = noise_streams(3, 0, "cpu")

    def noise(x: Tensor) -> Tensor:
        return one(x.new_empty(8, *shape))[first:last]

    x = prior(torch.empty(8, *shape, dtype=torch.float64))[first:last]
    with counted_evaluations() as evaluations:
        result = Sampler(sde(law), solver=chosen, denoise="tweedie").run(x, p, noise, two)
    return result, evaluations


@pytest.mark.parametrize("law", ["vp", "ve"])
def test_its_error_falls_with_the_tolerance(law: str) -> None:
    """Mean and deviation of 24,576 equal coordinates, which their own errors of 0.6 % do not hide."""
    errors = []
    for tolerance in (0.5, 0.1):
        x, _ = run(law, solver(eps_rel=tolerance, eps_abs=tolerance / 2), (3, 32, 32), 0, 8)
        mean, deviation = float(x.mean()), float(x.std())
        errors.append(max(abs(mean - MEAN), abs(deviation - VARIANCE**0.5)) / VARIANCE**0.5)
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.03


def test_samples_take_steps_of_their_own() -> None:
    """As many as alone; the record has the mean and maximum of their network calls."""
    chosen = solver(eps_rel=1, eps_abs=0.3)
    together, evaluations = run("vp", chosen, (2,), 0, 8)
    alone = [run("vp", chosen, (2,), i, i + 1) for i in range(8)]
    torch.testing.assert_close(together, torch.cat([x for x, _ in alone]), rtol=1e-9, atol=1e-9)
    calls = [one.count for _, one in alone]
    assert len(set(calls)) > 1
    assert (evaluations.count, evaluations.most(8)) == (sum(calls), max(calls))


def test_a_record_has_the_mean_and_the_maximum(tmp_path: Path) -> None:
    results = bench.run(
        checkpoint="eight-gaussians",
        sde="vp",
        solver=solver(eps_rel=0.3, eps_abs=0.3),
        metric="none",
        samples=8,
        batch_size=4,
        device="cpu",
        profile="none",
        out=tmp_path,
    )
    (record,) = results.records
    assert record.cost is not None, record.reason
    assert record.cost.nfe_max is not None
    # two calls a trial, and the denoising step; eight samples share the total
    assert record.cost.nfe_max % 2 == 1
    assert record.cost.nfe < record.cost.nfe_max
    assert (8 * record.cost.nfe) % 2 == 0
    assert Record.from_json(record.to_json()) == record
