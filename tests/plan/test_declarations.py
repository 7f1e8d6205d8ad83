"""Network calls and orders as plugins declare them."""

from __future__ import annotations

from typing import Any

import pytest

from bench.plan.declarations import declared_order, planned_nfe
from tests.support.plans import quick_spec


@pytest.mark.parametrize(
    ("changes", "calls"),
    [({}, 30), ({"denoise": "tweedie"}, 31), ({"solver": ["rk45"]}, None), ({"corrector": ["langevin"]}, 60)],
)
def test_planned_calls_are_those_that_the_plugins_declare(changes: dict[str, Any], calls: int | None) -> None:
    spec = quick_spec(**changes)
    assert planned_nfe(spec.task, spec.sampler) == calls


@pytest.mark.parametrize(
    ("changes", "order"),
    [
        ({"predictor": ["euler_maruyama"], "corrector": ["langevin"]}, None),
        ({"predictor": ["heun"], "corrector": ["none"]}, 2.0),
        ({"predictor": ["ddim"], "corrector": ["none"]}, 1.0),
    ],
)
def test_a_corrector_leaves_no_order(changes: dict[str, Any], order: float | None) -> None:
    assert declared_order(quick_spec(**changes).sampler) == order


def test_a_declared_number_of_calls_is_an_integer(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = quick_spec(solver=["rk45"], denoise="none")
    monkeypatch.setattr(type(spec.sampler.solver), "nfe", lambda _: 7.5)
    with pytest.raises(TypeError, match=r"declared as 7\.5, not as an integer"):
        planned_nfe(spec.task, spec.sampler)
