"""Which published figures stand beside a run: those whose whole key is stated and is the run's."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.plan.installed import installed_registry
from bench.plan.settings import DEFAULT_TASK
from bench.reporting.published_figures import PublishedFigure

if TYPE_CHECKING:
    from bench.plugins.registry import Registry
    from bench.results.identity import Identity, PluginIdentity
    from bench.results.record import Record
    from bench.types import JSONObject

NOT_STATED = "not stated"


def sampler_name(identity: Identity) -> str:
    """The plugins of a run's sampler, as figures name them: ``heun``, ``ancestral + langevin``."""
    parts = (identity.solver, identity.predictor, identity.corrector)
    return " + ".join(part.name for part in parts if part is not None and part.name != "none")


def network_calls(record: Record) -> float | None:
    """Network calls per sample, as counted, or as planned where the run failed."""
    return record.planned_nfe if record.cost is None else record.cost.nfe


class Matcher:
    """Compares runs with published figures.

    Args:
        figures: The published figures.
        registry: Plugins by name, whose defaults stand for parameters that a figure leaves out; None for the
            installed ones.
    """

    def __init__(self, figures: Sequence[PublishedFigure], registry: Registry | None = None) -> None:
        self.figures = tuple(figures)
        self._registry = registry
        self._values: dict[str, JSONObject] = {}

    @functools.cached_property
    def registry(self) -> Registry:
        """The plugins; loading them takes a moment, and many tables need none."""
        return self._registry or installed_registry()

    def beside(self, record: Record, label: str) -> tuple[PublishedFigure, ...]:
        """The figures of the same checkpoint, data set, metric, sampler, grid, calls and guidance.

        Args:
            record: A finished run.
            label: Label of one of its metrics.
        """
        return tuple(
            figure
            for figure in self._of_checkpoint(record)
            if same_way_at_first_sight(figure, record)
            and not any(self.other_object(figure, record, label))
            and not any(self.other_way(figure, record))
        )

    def near(self, record: Record, label: str) -> list[tuple[PublishedFigure, tuple[str, ...]]]:
        """The figures of the same checkpoint, metric, sampler and calls that are not `beside` it, and why."""
        pairs = []
        for figure in self._of_checkpoint(record):
            same = figure.metric == record.metrics[label].metric and same_way_at_first_sight(figure, record)
            reasons = (
                (*self.other_object(figure, record, label), *self.other_way(figure, record)) if same else ()
            )
            if reasons:
                pairs.append((figure, reasons))
        return pairs

    def elsewhere(
        self, record: Record, figures: Sequence[PublishedFigure], sdes: Sequence[str]
    ) -> tuple[PublishedFigure, ...]:
        """The figures of other checkpoints that were sampled as this run: the same sampler, grid and calls.

        Args:
            record: A run.
            figures: The figures to choose from.
            sdes: The SDEs of the table: a figure of one of them belongs to its runs alone.
        """
        sde = record.identity.sde.name
        return tuple(
            figure
            for figure in figures
            if (figure.sde == sde or figure.sde not in sdes)
            and same_way_at_first_sight(figure, record)
            and not any(self.other_way(figure, record))
        )

    @functools.cached_property
    def _by_checkpoint(self) -> dict[str, list[PublishedFigure]]:
        figures: dict[str, list[PublishedFigure]] = {}
        for figure in self.figures:
            figures.setdefault(figure.checkpoint, []).append(figure)
        return figures

    def _of_checkpoint(self, record: Record) -> list[PublishedFigure]:
        return self._by_checkpoint.get(record.identity.checkpoint.name, [])

    def other_object(self, figure: PublishedFigure, record: Record, label: str) -> Iterator[str]:
        """How SDE, data set and metric of the figure differ from those of a run's value, in words."""
        metric = record.metrics[label]
        if figure.sde not in ("", record.identity.sde.name):
            yield f"on {figure.sde}"
        elif record.identity.checkpoint.convention == "rescaled":
            yield "on the SDE of the training"
        if figure.metric != metric.metric:
            yield figure.quantity
            return
        for name, value in (("convention of the metric", figure.preset), ("data set", figure.dataset)):
            if not value:
                yield f"{name} {NOT_STATED}"
        if figure.preset and figure.dataset:
            values = {"preset": figure.preset, "reference": figure.dataset}
            expected = self._build("metrics", figure.metric, values, strict=False)
            deciding = {
                name: value for name, value in expected.items() if name in metric.parameters or not name
            }
            yield from _other_values("", deciding, metric.parameters)

    def other_way(self, figure: PublishedFigure, record: Record) -> Iterator[str]:
        """How sampler, grid, network calls and guidance of the figure differ from a run's, in words."""
        identity, parameters = record.identity, figure.parameters
        if not same_way_at_first_sight(figure, record):
            yield f"{figure.method}, {figure.nfe} calls"
            return
        if identity.grid is not None and figure.grid != identity.grid.name:
            yield f"grid {figure.grid or NOT_STATED}"
        if figure.guidance != "none":
            yield f"guidance {figure.guidance or NOT_STATED}"
        if identity.task.name != DEFAULT_TASK or identity.labels not in (None, "seed"):
            yield "without a task or class of its own"
        unknown = [name for name, value in parameters.items() if value is None]
        for name in unknown:
            yield f"{name} {NOT_STATED}"
        if unknown:
            return
        for role in ("solver", "predictor", "corrector", "grid"):
            part: PluginIdentity | None = getattr(identity, role)
            if part is not None and (role != "grid" or part.name == figure.grid):
                yield from _other_values(
                    f"{role}.", self._part(role, part.name, figure, identity), part.parameters
                )
        for name, own in self._settings(identity).items():
            value = parameters.get(name, own[1])
            if value != own[0]:
                yield f"{name} {value}"

    def _settings(self, identity: Identity) -> dict[str, tuple[object, object]]:
        """What a run is set to beside its plugins, and what stands for it in a figure that leaves it out."""
        # a solver's own default depends on the library: its figure says how it ended
        settings: dict[str, tuple[object, object]] = {
            "denoise": (identity.denoise, "mean" if identity.solver is None else None),
            "label_scales": (identity.label_scales, None),
            "steps": (identity.steps, identity.steps),
        }
        if identity.corrector is not None and identity.corrector.name != "none":
            settings["order"] = (identity.order, "corrector_first")
        return settings

    def _part(self, role: str, name: str, figure: PublishedFigure, identity: Identity) -> JSONObject:
        """The parameters that a part of the figure's sampler has on the run's SDE."""
        stated = {
            key.removeprefix(f"{role}."): value
            for key, value in figure.parameters.items()
            if key.startswith(f"{role}.")
        }
        sde = (identity.sde.name, identity.sde.parameters) if role in ("predictor", "corrector") else None
        return self._build(f"{role}s", name, stated, sde=sde)

    def _build(
        self,
        kind: str,
        name: str,
        values: Mapping[str, Any],
        *,
        strict: bool = True,
        sde: tuple[str, Mapping[str, Any]] | None = None,
    ) -> JSONObject:
        """All parameters of a plugin that is given some; those that it does not have are left out if not
        ``strict``. With an SDE, as they are on it."""
        key = json.dumps([kind, name, dict(values), sde], sort_keys=True, default=dict)
        if key not in self._values:
            try:
                thing = self.registry.get(kind, name).thing
                known = {parameter.name for parameter in thing.parameters()}
                part = thing.build({one: value for one, value in values.items() if strict or one in known})
                if sde is not None:
                    part = part.resolve(self.registry.build("sdes", sde[0], sde[1]))
                # as a record holds them: lists in place of tuples
                self._values[key] = json.loads(json.dumps(part.values()))
            except Exception:
                # of a plugin that is gone or fails, or a parameter that it lacks: no figure is of that run
                self._values[key] = {"": None}
        return self._values[key]


def same_way_at_first_sight(figure: PublishedFigure, record: Record) -> bool:
    """Whether plugins and network calls are the run's; of a figure that is a number of calls, the plugins."""
    if not figure.sampler or figure.sampler != sampler_name(record.identity):
        return False
    return figure.metric == "nfe" or (figure.nfe is not None and figure.nfe == network_calls(record))


def _other_values(prefix: str, expected: JSONObject, own: Mapping[str, Any]) -> Iterator[str]:
    """The expected values that a run's parameters don't have."""
    for name in sorted(expected.keys() | own.keys()):
        if name not in expected or name not in own or expected[name] != own[name]:
            yield f"{prefix}{name} {expected.get(name)}"
