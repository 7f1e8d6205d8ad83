"""Parameters of plugins on the command line."""

from __future__ import annotations

import pytest

from bench import BenchError
from bench.cli.parameters import metric_parameters, plugin_parameters


def test_parameters_by_role() -> None:
    short = {"corrector.snr": "0.1", "solver.tol": None}
    assert plugin_parameters(("sde.eps=1e-3", "corrector.steps=2"), short) == {
        "corrector": {"snr": "0.1", "steps": "2"},
        "sde": {"eps": "1e-3"},
    }
    with pytest.raises(BenchError, match=r"corrector\.snr was given twice"):
        plugin_parameters(("corrector.snr=2",), short)
    for text in ("snr=1", "corrector.snr", "a.b.c=1"):
        with pytest.raises(BenchError, match="-P takes ROLE"):
            plugin_parameters((text,), {})


def test_a_value_is_all_after_the_first_equals_sign() -> None:
    assert plugin_parameters(("solver.config=a=1,b=2",), {}) == {"solver": {"config": "a=1,b=2"}}
    assert plugin_parameters(("task.mask=",), {}) == {"task": {"mask": ""}}


def test_the_same_parameter_of_two_roles_is_two() -> None:
    texts = ("predictor.steps=1", "corrector.steps=2")
    assert plugin_parameters(texts, {}) == {"predictor": {"steps": "1"}, "corrector": {"steps": "2"}}


def test_a_command_of_metrics_takes_no_other_role() -> None:
    assert metric_parameters((), {}) == {}
    assert metric_parameters(("metric.k=3",), {"metric.reference": "x"}) == {"k": "3", "reference": "x"}
    with pytest.raises(BenchError, match=r"not a parameter of a corrector$"):
        metric_parameters(("metric.k=3", "corrector.snr=1"), {})
