"""ER-SDE solvers against their authors' code, recorded, and their integrals."""

from __future__ import annotations

import numpy as np
import pytest

from bench_fast.er_sde import ERSDE, noise_scale
from tests.support.authors import agrees, states_with_draws


@pytest.mark.parametrize("order", [1, 2, 3])
def test_it_is_the_authors(order: int) -> None:
    """QinpengCui/ER-SDE-Solver: ``vp_1_order``, ``vp_2_order_taylor`` and ``vp_3_order_taylor``."""
    agrees(ERSDE(order=order), f"er_sde_{order}_authors")


def test_the_sums_tend_to_the_integrals() -> None:
    """Left ends: the error falls as 1 / points."""
    results = [states_with_draws(ERSDE(points=points)) for points in (100, 1000, 10_000, 100_000)]
    first, second = (float(np.abs(one - results[-1]).max()) for one in results[:2])
    assert 5 < first / second < 15


def test_the_noise_never_exceeds_that_of_the_level() -> None:
    """phi grows at least as fast as rho, so that the added variance is not negative."""
    ratios = np.geomspace(1e-3, 300, 50)
    growth = [noise_scale(float(rho)) / rho for rho in ratios]
    assert (np.diff(growth) > 0).all()
