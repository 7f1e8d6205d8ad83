"""Plugins from names and parameters, and from objects that keep theirs."""

from __future__ import annotations

import pytest

from bench import BenchError, Metric, MetricContext, MetricState
from bench.plan.building import build_metrics, build_plugin, parameters_by_plugin
from tests.support.plugins import Still, installed


def test_parameters_go_to_every_plugin_that_has_them() -> None:
    values = parameters_by_plugin(installed(), "corrector", ["none", "langevin"], {"snr": 0.1})
    assert values == {"none": {}, "langevin": {"snr": 0.1}}
    with pytest.raises(BenchError, match="corrector none, langevin has no parameter 'snrr'"):
        parameters_by_plugin(installed(), "corrector", ["none", "langevin"], {"snrr": 0.1})
    with pytest.raises(BenchError, match=r"corrector none has no parameter .snr. .*: give --corrector"):
        parameters_by_plugin(installed(), "corrector", ["none"], {"snr": 0.1})


def test_metrics_take_the_parameters_that_they_have() -> None:
    kid, fd_dct = build_metrics(installed(), ["kid", "fd_dct"], {"extractor": "cifar10-features"})
    assert kid.values()["extractor"] == "cifar10-features"
    assert "extractor" not in fd_dct.values()


def test_an_object_keeps_its_parameters_under_those_given() -> None:
    objects = {("predictors", "still"): Still(gain=1.5, moves=7)}
    built = build_plugin(installed(), objects, "predictors", "still", {"moves": 2})
    assert built == Still(gain=1.5, moves=2)
    langevin = build_plugin(installed(), objects, "correctors", "langevin", {"snr": "0.2"})
    assert langevin.values()["snr"] == 0.2


def test_a_label_that_makes_no_safe_path_is_refused() -> None:
    class Escaping(Metric):
        name = "escaping"
        label = "../x"
        inputs = ("images",)

        def start(self, context: MetricContext) -> MetricState:
            raise AssertionError

    registry = installed().copy()
    registry.add("metrics", Escaping, "tests", "1")
    with pytest.raises(BenchError, match="the label of metric escaping: "):
        build_metrics(registry, ["escaping"], {})
