"""Kendall's tau of rankings by `flow_error`, on values made up."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.benchmarks.ranking import Value, Values, tau_of_seeds, write_taus, write_values

BY_SAMPLER = {"a": (1.0, 1.0), "b": (2.0, 2.1), "c": (2.1, 2.0), "d": (4.0, 4.0)}
"""Values at two seeds; b and c change places, within their errors of 0.1."""


def values(calls: int = 5) -> Values:
    return {
        (name, calls): {seed: Value(value, 0.1, 0.01) for seed, value in enumerate(both)}
        for name, both in BY_SAMPLER.items()
    }


def test_tau_of_all_pairs_and_of_those_that_are_resolved() -> None:
    """One of six pairs disagrees, tau = (5 - 1) / 6; the other five are resolved at both seeds."""
    by_sampler = {name: by_seed for (name, _), by_seed in values().items()}
    assert tau_of_seeds(by_sampler, 0, 1) == (pytest.approx(4 / 6), 1.0, 5)


def test_the_files_have_a_row_per_sampler_and_per_pair_of_seeds(tmp_path: Path) -> None:
    write_values(tmp_path / "values.csv", values(), 2)
    rows = list(csv.DictReader((tmp_path / "values.csv").read_text().splitlines()))
    assert [row["sampler"] for row in rows] == ["a", "b", "c", "d"]
    assert (rows[1]["calls"], rows[1]["mean"], rows[1]["value_seed_1"]) == ("5", "2.05", "2.1")
    write_taus(tmp_path / "taus.csv", values(), 2)
    (first, *_) = csv.DictReader((tmp_path / "taus.csv").read_text().splitlines())
    assert (first["calls"], first["tau"], first["resolved_pairs"]) == ("5", "0.667", "5")
