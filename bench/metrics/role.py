"""Role Metric, streaming moments, and the Fréchet distance between Gaussians."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bench.params import Plugin, slug

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.tasks.role import Task


@dataclasses.dataclass(frozen=True)
class MetricResult:
    """A metric's value on n samples; ``error`` its standard error where the metric knows one.

    ``note`` says what limits the value (too few samples, say); ``details`` go into the record.
    """

    value: float
    n: int
    error: float | None = None
    note: str = ""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


class MetricState(ABC):
    """A measurement under way: samples stream in, a `MetricResult` comes out."""

    @abstractmethod
    def update(self, images: Tensor, /) -> None:
        """Take in images (B, C, H, W) on [0, 1], not clipped, float32.

        Or what else `Metric.inputs` names, of several a tensor for each: ``add(self, *left)``.
        """

    @abstractmethod
    def compute(self) -> MetricResult:
        """The reading over all images so far."""

    def leave_one_out(self) -> list[float]:
        """The value without each of `groups` of the ``add`` calls in turn, for jackknife intervals
        (`bench compare`); empty where the metric does not offer it."""
        return []


class Metric(Plugin):
    """What samples are judged by. ``direction`` says which way is better; ``least`` is the smallest
    sensible n, below which the reading is flagged; ``provenance`` names the data it rests on."""

    direction: ClassVar[Literal["lower", "higher"]] = "lower"
    min_samples: ClassVar[int] = 2
    bias: ClassVar[str] = ""
    """What is known of the value's bias at n samples, in a few words."""
    inputs: ClassVar[tuple[str, ...]] = ("images",)
    """What it takes in of what a run's task leaves per sample (`Task.outputs`)."""
    order_matters: ClassVar[bool] = False
    """Whether the value depends on the order of the samples, as one that is taken over splits of them."""

    @property
    def label(self) -> str:
        """What tables and records call it: another label for all that may not share a column.

        Default: the name with the parameters that differ from their defaults.
        """
        defaults = {p.name: p.default for p in self.parameters()}
        return "-".join([self.name, *(slug(v) for k, v in self.values().items() if v != defaults[k])])

    def check(self, task: Task, samples: int) -> None:
        """`BenchError` where it has no value on so few samples of a task: before they are made."""

    @abstractmethod
    def start(self, device: device) -> MetricState:
        """Begin a measurement whose work runs on ``device``."""

    def provenance(self) -> dict[str, str]:
        """Hashes of the files that decide the value."""
        return {}
