"""Toys: moments and shares of modes against closed forms. Bounds are 5 standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import cKDTree

from bench import Array, Toy
from bench_datasets.toys import Checkerboard, EightGaussians, Spiral, SwissRoll, TwoMoons

N = 40_000
TOYS = (EightGaussians, TwoMoons, Checkerboard, Spiral, SwissRoll)


def draws(toy: type[Toy]) -> Array:
    return toy().draw(N, np.random.default_rng(1))


def check_mean(values: Array, expected: float) -> None:
    """The mean within 5 of its standard errors."""
    assert abs(values.mean() - expected) < 5 * values.std() / len(values) ** 0.5


def check_shares(places: Array, count: int) -> None:
    """Equal shares of ``count`` places by chi-square, at the level of 5 deviations."""
    assert stats.chisquare(np.bincount(places, minlength=count)).pvalue > 5.7e-7


def check_distance(points: Array, curve: Array, std: float) -> None:
    """Points lie off the curve by normal noise across it: the squared distance has the mean std^2, but for
    the curve's ends and its bending, for which 3 % are allowed."""
    distance = cKDTree(curve).query(points)[0]
    assert abs(float(np.mean(distance**2)) / std**2 - 1) < 0.03 + 5 * (2 / len(points)) ** 0.5
    assert distance.max() < 6 * std


def half(values: Array) -> Array:
    """0 for numbers below 1/2 and 1 for the others."""
    return np.asarray(values >= 0.5).astype(np.int64)


@pytest.mark.parametrize("toy", TOYS)
def test_they_lie_in_the_square(toy: type[Toy]) -> None:
    points = draws(toy)
    assert points.shape == (N, 2)
    assert points.dtype == np.float64
    assert np.mean(np.abs(points) <= 1) > 0.999
    assert np.abs(points).max() < 1.2


def test_eight_gaussians() -> None:
    points = draws(EightGaussians)
    r, std = EightGaussians.radius, EightGaussians.std
    for moment, expected in (
        *((points[:, 0], 0), (points[:, 1], 0), (points[:, 0] * points[:, 1], 0)),
        *((points[:, 0] ** 2, r**2 / 2 + std**2), (points[:, 1] ** 2, r**2 / 2 + std**2)),
    ):
        check_mean(moment, expected)
    angle = np.arctan2(points[:, 1], points[:, 0]) / (np.pi / 4)
    mode = np.round(angle).astype(int) % 8
    check_shares(mode, 8)
    center = r * np.stack([np.cos(mode * np.pi / 4), np.sin(mode * np.pi / 4)], axis=1)
    # the squared distance to the center is exponential; few points are nearer to another center
    square = ((points - center) ** 2).sum(axis=1) / (2 * std**2)
    assert stats.kstest(square, "expon").pvalue > 5.7e-7


def test_two_moons() -> None:
    points = draws(TwoMoons)
    # by the symmetry of a half turn
    check_mean(points[:, 0], 0)
    check_mean(points[:, 1], 0)
    # E x^2 = r^2 / 2 + 1/16 + std^2, E y^2 = r^2 / 2 - 2 (2 r / pi) / 8 + 1/64 + std^2
    check_mean(points[:, 0] ** 2, 1 / 8 + 1 / 16 + TwoMoons.std**2)
    check_mean(points[:, 1] ** 2, 1 / 8 - 1 / (4 * np.pi) + 1 / 64 + TwoMoons.std**2)
    angle = np.linspace(0, np.pi, 4000)
    upper = 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1) - [0.25, 0.125]
    check_distance(points, np.concatenate([upper, -upper]), TwoMoons.std)
    check_shares(half(cKDTree(np.concatenate([upper, -upper])).query(points)[1] / 8000), 2)


def test_checkerboard() -> None:
    points = draws(Checkerboard)
    column, row = (np.floor(2 * (points.T + 1))).astype(int)
    assert set(((column + row) % 2).tolist()) == {0}
    check_shares(2 * row + column // 2, 8)
    within = 2 * (points + 1) % 1
    check_shares(np.floor(8 * within).astype(int) @ np.array([8, 1]), 64)


def test_spiral() -> None:
    points = draws(Spiral)
    radius = np.linalg.norm(points, axis=1)
    # r^2 = (3 pi / 10)^2 u + noise of two coordinates
    check_mean(radius**2, (0.3 * np.pi) ** 2 / 2 + 2 * Spiral.std**2)
    t = np.linspace(0, 3 * np.pi, 4000)
    arm = np.stack([-np.cos(t), np.sin(t)], axis=1) * t[:, None] / 10
    check_distance(points, np.concatenate([arm, -arm]), Spiral.std)
    far = points[radius > 0.3]
    check_shares(half(cKDTree(np.concatenate([arm, -arm])).query(far)[1] / 8000), 2)


def test_swiss_roll() -> None:
    points = draws(SwissRoll)
    radius = np.linalg.norm(points, axis=1)
    # t / 15 is uniform on [low, high]
    low, high = 1.5 * np.pi / 15, 4.5 * np.pi / 15
    check_mean(radius**2, (high**3 - low**3) / (3 * (high - low)) + 2 * SwissRoll.std**2)
    t = np.linspace(1.5 * np.pi, 4.5 * np.pi, 8000)
    arm = np.stack([np.cos(t), np.sin(t)], axis=1) * t[:, None] / 15
    check_distance(points, arm, SwissRoll.std)
    # away from the ends, the nearest point of the arm is uniform
    nearest = cKDTree(arm).query(points)[1] / 8000
    inner = nearest[(nearest > 0.1) & (nearest < 0.9)]
    check_shares(np.floor((inner - 0.1) * 10).astype(int), 8)
