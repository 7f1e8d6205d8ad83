"""The role of metrics: defaults that a plugin may leave as they are."""

from __future__ import annotations

from bench import Metric, MetricContext, MetricResult, MetricState, Tensor, param
from tests.support.metrics import metric_context
from tests.support.plugins import empty_registry, hooks, installed


class _Count(MetricState):
    def __init__(self) -> None:
        self.n = 0

    def update(self, images: Tensor) -> None:
        self.n += len(images)

    def compute(self) -> MetricResult:
        return MetricResult(float(self.n), self.n)


class Count(Metric):
    """The number of samples."""

    name = "count"

    scale: float = param(default=1.0, help="a factor")
    way: str = param(default="plain", help="a text")

    def start(self, context: MetricContext) -> MetricState:
        return _Count()


def test_a_label_tells_the_changed_parameters() -> None:
    assert Count().label == "count"
    assert Count(scale=0.25, way="a/b c").label == "count-0.25-a_b_c"


def test_defaults_refuse_nothing_and_rest_on_nothing() -> None:
    Count().check(installed().build("tasks", "generate", {}), (1, 2, 3), 1)
    assert Count().provenance(metric_context()) == {}
    assert _Count().leave_one_out() == []
    assert (Count.direction, Count.inputs, Count.min_samples) == ("lower", ("images",), 2)


def test_shares_correlations_and_bits_are_drawn_on_a_linear_axis() -> None:
    assert Count.axis == "log"
    linear = {entry.name for entry in installed().of_kind("metrics") if entry.thing.axis == "linear"}
    shares = {"precision", "recall", "class_share", "component_share"}
    assert linear == shares | {"latent_correlation", "bits_per_dim"}


def test_a_metric_of_an_older_interface_is_a_problem_and_not_registered() -> None:
    class Old(Metric):
        """Checks without a shape."""

        name = "old"

        def check(self, task: object, samples: int) -> None:  # type: ignore[override]
            pass

        def start(self, context: MetricContext) -> MetricState:
            return _Count()

    registry = empty_registry()
    registry.load(hooks("metrics", Old), "test", "1")
    assert registry.names("metrics") == []
    assert "which calls check(self, task, shape, samples)" in registry.problems[0].message
