"""What results/README.md and the docs say of the tasks' committed results, against the files."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest

from bench import dct_data
from bench_tasks.conditional import conditional
from bench_tasks.known import Completion
from tests.support.analytic import sde
from tests.support.completions import build_task
from tests.support.pages import page_says
from tests.support.plugins import installed
from tests.support.reference import Row, cells, mean, range_of, read, says

TASKS = "docs/guide/tasks.md"


def test_bits_per_dim_by_tolerance_and_probes() -> None:
    table = {
        (sde, row, float(rows[0]["x"])): (mean(rows), mean(rows, "exact"))
        for (sde, row, _), rows in cells("likelihood-exact/gaussian-cifar10-64").items()
    }
    for name, cost in (("vp", 0.01), ("subvp", 0.01), ("ve", 0.1)):
        value, true = table[name, "exact divergence", 1e-2]
        # "a hundredth" and "a tenth" of a bit: rounded to one digit
        assert float(f"{abs(value - true):.0e}") == cost
        for tol in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
            value, true = table[name, "exact divergence", tol]
            assert tol > 1e-4 or abs(value - true) < 0.001
            if tol == 1e-6:
                continue
            off = {
                (probe, n): abs(table[name, f"{probe}, probes {n}", tol][0] - value)
                for probe in ("rademacher", "gaussian")
                for n in (1, 4, 16)
            }
            # one probe is exact: what differs is the batch's steps
            assert max(off["rademacher", n] for n in (1, 4, 16)) < 1e-4
            assert off["gaussian", 1] > off["gaussian", 4] > off["gaussian", 16] > 5e-4
    assert table["ve", "exact divergence", 1e-6][1] > table["vp", "exact divergence", 1e-6][1]
    ve = sde("ve")
    assert ve.at(1e-5).sigma == pytest.approx(0.01, rel=1e-3)


INPAINT = "inpaint/gaussian-cifar10-512"


def completions(task: str, column: str) -> list[Row]:
    """The rows of ``conditional_fd`` of a task, by corrector moves."""
    rows = [row for row in read(f"{INPAINT}/cells.csv") if row["metric"] == "conditional_fd"]
    return [row for row in rows if row["row"].startswith(task) and row["column"] == column]


def conditional_variance(kind: str) -> float:
    """The variance of what a task completes, given what it knows, on the whole Gaussian."""
    data, color = dct_data(installed().get("checkpoints", "gaussian-cifar10").thing)
    task = build_task(kind)
    assert isinstance(task, Completion)
    axes, mask = task.part((3, 32, 32))
    return float(conditional(data.variance[0], color, axes, mask > 0).variance.sum())


def test_the_bias_of_inpainting() -> None:
    variance = conditional_variance("inpaint")
    assert says(f"a variance of {variance:.1f} in all")
    plain, corrected = completions("inpaint", "M=0"), completions("inpaint", "M=4")
    without, four = ([float(row["value"]) for row in rows] for rows in (plain, corrected))
    assert len(without) == len(four) == 4
    assert says(f"is {range_of(without)} without a corrector and {range_of(four)} with four corrector steps")
    assert says(f"standard errors {range_of([float(row['error']) for row in plain + corrected])}")
    shares = [
        [f"{100 * value / variance:.0f} %" for value in (min(values), max(values))]
        for values in (without, four)
    ]
    assert page_says(TASKS, f"off by {shares[0][0]} to {shares[0][1]} of its conditional variance")
    assert page_says(TASKS, f"by {shares[1][0]} to {shares[1][1]} with four corrector steps")
    for one, other in zip(plain, corrected, strict=True):
        assert float(other["value"]) < float(one["value"])
    known = [float(row["value"]) for row in read(f"{INPAINT}/cells.csv") if row["metric"] == "known_error"]
    assert max(known) < 2e-6


def test_the_bias_of_colorization() -> None:
    assert says(f"a variance of {conditional_variance('colorize'):.1f}")
    rows = [row for column in ("M=0", "M=1", "M=4") for row in completions("colorize", column)]
    values, errors = ([float(row[field]) for row in rows] for field in ("value", "error"))
    assert says(f"({range_of(values)}, each ± {range_of(errors)})")
    assert max(abs(v) / e for v, e in zip(values, errors, strict=True)) < 2.5


def test_each_corrector_step_lowers_the_bias_of_replacement() -> None:
    rows = read("replacement.csv")
    assert len(rows) == 6
    for row in rows:
        bias = [float(row[f"{moves} moves"]) for moves in (0, 1, 2, 4, 8)]
        assert all(b < a for a, b in itertools.pairwise(bias))


def by_scale(name: str, metric: str) -> dict[str, dict[float, float]]:
    """Values by row and guidance scale."""
    values: dict[str, dict[float, float]] = defaultdict(dict)
    for row in read(f"conditional/{name}/cells.csv"):
        if row["metric"] == metric:
            values[row["row"]][float(row["x"])] = float(row["value"])
    return values


PC = "reverse_diffusion + langevin, 50 steps"


def test_guidance_where_its_gradient_is_exact() -> None:
    distance = by_scale("gmm-cifar10-2000", "fd_component")
    share = by_scale("gmm-cifar10-2000", "component_share")
    assert len(distance) == len(share) == 3
    for row, by in distance.items():
        assert min(by, key=lambda scale: by[scale]) == 1.0
        for low, high in ((1.0, 2.0), (2.0, 4.0)):
            assert by[low] < by[high]
            assert share[row][low] < share[row][high]
    assert 9000 < distance[PC][8.0] < 10_000


def test_guidance_of_the_small_network() -> None:
    distance = by_scale("cifar10-tiny-100", "fd_class")
    share = by_scale("cifar10-tiny-100", "class_share")
    for row in distance.keys() - {PC}:
        assert row.endswith(", 20 steps")
        assert max(share[row], key=lambda scale: share[row][scale]) == 8.0
        assert min(distance[row], key=lambda scale: distance[row][scale]) == 8.0
    assert says(f"reach a share of {max(share[PC].values()):.2f}")
    accuracy = {float(row["sigma"]): float(row["accuracy"]) for row in read("noisy-classifier.csv")}
    assert says(f"right about {100 * accuracy[0.01]:.0f} % of images at little noise")
    assert says(f"and {100 * accuracy[20.0]:.0f} % at sigma 20")
