"""Plugins from names and parameters, and from objects that keep theirs."""

from __future__ import annotations

import pytest

from bench import BenchError, Metric, MetricContext, MetricState, NoValueError, Sampler, draws_noise
from bench.plan.building import build_metrics, build_plugin, check_recorded, parameters_by_plugin
from tests.support.made_up import identity
from tests.support.plans import quick_spec
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


class OfDeterministic(Metric):
    """Has no value for stochastic samplers."""

    name = "of_deterministic"

    def check_sampler(self, sampler: Sampler) -> None:
        if draws_noise(sampler):
            raise NoValueError(f"{sampler.steps} steps draw noise")

    def start(self, context: MetricContext) -> MetricState:
        raise AssertionError


def test_a_metric_is_asked_for_the_sampler_of_a_recorded_run() -> None:
    registry, metric = installed(), OfDeterministic()
    check_recorded(metric, quick_spec(predictor=["ddim"]).identity, registry)
    check_recorded(metric, quick_spec(solver=["rk45"]).identity, registry)
    for predictor, corrector in (("ancestral", "none"), ("ddim", "langevin")):
        spec = quick_spec(predictor=[predictor], corrector=[corrector])
        with pytest.raises(NoValueError, match=r"^30 steps draw noise$"):
            check_recorded(metric, spec.identity, registry)
    # a plugin that is gone: the metric can't be asked, and one that asks for nothing is not
    with pytest.raises(BenchError, match="unknown predictor 'made_up'"):
        check_recorded(metric, identity(), registry)
    check_recorded(registry.build("metrics", "fd_dct", {}), identity(), registry)
