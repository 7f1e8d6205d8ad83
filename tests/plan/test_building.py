"""Parameters and objects on their way to plugins."""

from __future__ import annotations

import pytest

import bench
from bench import BenchError
from bench.plan.building import build_metrics, build_plugin, parameters_by_plugin
from tests.support.plugins import installed

RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu"),
    *("--samples", "8", "--batch-size", "4"),
)
BOTH = (*RUN, "--steps", "30", "--predictor", "moody", "--predictor", "reverse_diffusion")


def test_parameters_go_to_every_plugin_that_has_them() -> None:
    values = parameters_by_plugin(installed(), "corrector", ["none", "langevin"], {"snr": 0.1})
    assert values == {"none": {}, "langevin": {"snr": 0.1}}
    with pytest.raises(bench.BenchError, match="corrector none, langevin has no parameter 'snrr'"):
        parameters_by_plugin(installed(), "corrector", ["none", "langevin"], {"snrr": 0.1})
    (metric,) = build_metrics(installed(), ["kid"], {"extractor": "cifar10-features"})
    assert metric.values()["extractor"] == "cifar10-features"


def test_an_object_keeps_the_parameters_that_are_not_given() -> None:
    langevin = installed().build("correctors", "langevin", {"snr": 0.3, "steps": 2})
    objects = {("correctors", "langevin"): langevin}
    built = build_plugin(installed(), objects, "correctors", "langevin", {"snr": "0.1"})
    assert (built.snr, built.steps) == (0.1, 2)
    assert build_plugin(installed(), {}, "correctors", "langevin", {"snr": "0.1"}).steps == 1
    with pytest.raises(BenchError, match="langevin has no parameter 'srn'"):
        build_plugin(installed(), objects, "correctors", "langevin", {"srn": 1})
