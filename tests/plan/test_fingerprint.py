"""The identity of a run's parts, as plain data."""

from __future__ import annotations

from typing import Any

import pytest

from bench import BenchError, Card, Extract, Extractor
from bench.plan.fingerprint import (
    IN_MEMORY,
    checkpoint_identity,
    convention_of,
    data_identity,
    grid_identity,
    library_version,
    metric_code,
    partial_checkpoint_identity,
    plugin_code,
    plugin_identity,
)
from bench.plugins.registry import Entry
from tests.support.analytic import sde
from tests.support.metrics import metric_context
from tests.support.plans import quick_spec
from tests.support.plugins import Still, hooks, installed


def test_a_plugin_is_its_parameters_code_and_libraries() -> None:
    registry = installed()
    entry = registry.get("correctors", "langevin")
    identity = plugin_identity(entry, registry.build("correctors", "langevin", {"snr": 0.2}))
    assert (identity.name, identity.distribution, identity.version) == (
        "langevin",
        entry.distribution,
        entry.version,
    )
    assert identity.parameters["snr"] == 0.2
    assert len(identity.code) == 16
    other = plugin_identity(entry, registry.build("correctors", "langevin", {}))
    assert (other.code, other.parameters == identity.parameters) == (identity.code, False)
    scipy = registry.get("solvers", "scipy_rk45")
    assert plugin_identity(scipy, scipy.thing()).libraries["scipy"] == library_version("scipy")


def test_an_object_is_its_own_source() -> None:
    registered = plugin_code(Entry("predictors", "still", Still, "a", "1"), Still())
    in_memory = plugin_code(Entry("predictors", "still", Still, IN_MEMORY, ""), Still())
    assert registered.complete
    assert in_memory.complete
    assert registered.code != in_memory.code


def test_a_checkpoint_is_its_files_and_how_they_are_read() -> None:
    card: Card = installed().get("checkpoints", "gaussian-cifar10").thing
    identity = checkpoint_identity(card, "exact", installed())
    assert (identity.name, identity.shape, identity.convention) == ("gaussian-cifar10", (3, 32, 32), "exact")
    assert len(identity.sha256) == 64
    assert partial_checkpoint_identity(card).name == "gaussian-cifar10"
    unread = card.model_copy(update={"format": "unknown", "name": "odd"})
    with pytest.raises(BenchError, match="checkpoint odd: unknown reader 'unknown'"):
        checkpoint_identity(unread, "published", installed())


def test_the_convention_of_a_checkpoint() -> None:
    cards = {
        name: installed().get("checkpoints", name).thing for name in ("gaussian-cifar10", "cifar10-tiny")
    }
    assert convention_of(cards["gaussian-cifar10"], sde("ve"), installed()) == "exact"
    assert convention_of(cards["cifar10-tiny"], sde("ve"), installed()) == "published"


def test_a_grid_is_a_plugin_and_a_solver_has_none() -> None:
    spec = quick_spec(grid="polynomial", parameters={"grid": {"rho": "3"}})
    grid = spec.identity.grid
    assert grid is not None
    assert (grid.name, grid.parameters, len(grid.code)) == ("polynomial", {"rho": 3.0}, 16)
    expected = {"steps": 30, "order": "corrector_first", "label_scales": None, "afs": None}
    assert grid_identity(spec.sampler) == expected
    solver = quick_spec(solver=["rk45"])
    assert grid_identity(solver.sampler) == {}
    assert solver.identity.grid is None


def test_data_are_draws_images_or_nothing() -> None:
    inpaint = quick_spec(task="inpaint", metric=["known_error"])
    assert data_identity(quick_spec().task, None) is None
    draws = data_identity(inpaint.task, None)
    assert draws is not None
    assert draws.kind == "draws"


def test_code_of_metrics_tells_metrics_apart() -> None:
    registry = installed()
    context = metric_context()
    codes = {
        metric_code(registry.build("metrics", name, {}), context) for name in ("fd_dct", "kid", "class_score")
    }
    assert len(codes) == 3


class Colors(Extractor):
    """Three features."""

    name = "colors"
    width = 3

    def load(self, device: Any) -> Extract:
        raise NotImplementedError


class OtherColors(Colors):
    """The same by other code."""


def test_code_of_an_extractor_counts_as_the_metrics() -> None:
    codes = []
    for extractor in (Colors, OtherColors):
        registry = installed().copy()
        registry.load(hooks("extractors", extractor), "test", "1")
        context = metric_context(registry)
        codes.append(metric_code(registry.build("metrics", "fd", {"extractor": "colors"}), context))
    assert len(set(codes)) == 2


def test_the_sde_of_the_training_counts_for_a_run_on_another_one() -> None:
    tiny: Card = installed().get("checkpoints", "cifar10-tiny").thing
    card = tiny.model_copy(update={"sde": "ve", "parameters": {"sde": {"sigma_max": 40.0}}})
    assert checkpoint_identity(card, "published", installed()).trained_on is None
    trained_on = checkpoint_identity(card, "rescaled", installed()).trained_on
    assert trained_on is not None
    assert (trained_on.name, trained_on.parameters["sigma_max"]) == ("ve", 40.0)
    assert trained_on.code


class Tabled(Still):
    """Declares a file that is not there."""

    name = "tabled"
    files = ("no_such_table.csv",)


def test_a_registered_plugin_with_an_unread_file_is_never_taken_from_disk() -> None:
    registry = installed().copy()
    registry.load(hooks("predictors", Tabled), "test", "1")
    assert not quick_spec(registry, predictor=["tabled"]).cacheable
    assert quick_spec(solver=["rk45"]).cacheable
