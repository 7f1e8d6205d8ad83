"""Planned runs: their titles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.plan.contexts import MetricContexts
from bench.plan.planning import plan_runs
from bench.plan.settings import Settings
from tests.support.plugins import installed


def titles(**changes: Any) -> list[str]:
    """Titles of the runs that these settings expand to."""
    settings: dict[str, Any] = {"checkpoint": ["gaussian-cifar10"], "samples": 8, "steps": 30}
    contexts = MetricContexts(installed(), Path("results"))
    return [run.title for run in plan_runs(Settings(**(settings | changes)), "quick", contexts).runs]


def test_titles_tell_apart_what_differs() -> None:
    assert titles() == ["gaussian-cifar10 · vp · reverse_diffusion, 30 steps"]
    variants = [
        titles(corrector=["langevin"]),
        titles(corrector=["langevin"], parameters={"corrector": {"snr": "0.2"}}),
        titles(grid="polynomial"),
        titles(grid="polynomial", rho=3.0),
        titles(denoise="none"),
        titles(precision="bf16"),
        titles(parameters={"sde": {"beta_max": 10}}),
        titles(predictor=["euler_maruyama"]),
        titles(predictor=["euler_maruyama"], parameters={"predictor": {"dt": "published"}}),
        titles(solver=["rk45"]),
        titles(solver=["rk45"], parameters={"solver": {"tol": 1e-3}}),
    ]
    assert len({title for (title,) in variants}) == len(variants)


def test_a_repeated_name_counts_once() -> None:
    assert len(titles(sde=["ve", "ve"], checkpoint=["gaussian-cifar10"] * 2, repeats=2)) == 2
