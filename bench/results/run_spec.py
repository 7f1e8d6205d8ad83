"""A cell: one entry of a table, with the fingerprint of all that decides its numbers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

from bench.checkpoints.cards import Card
from bench.checkpoints.resolve import follows_convention
from bench.devices import device_kind
from bench.diffusion.roles import Solver
from bench.diffusion.sampler import Sampler, default_denoise
from bench.errors import BenchError
from bench.metrics.role import Metric
from bench.params import Plugin
from bench.plan.settings import DEFAULT_TASK
from bench.plan.source_hash import core_hash, plugin_hash
from bench.plugins.registry import Entry, registry
from bench.tasks.role import Task
from bench.types import Precision

if TYPE_CHECKING:
    from bench.data.images import Images


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """One entry of a table: checkpoint x sampler x samples x seed, with the metrics to take.

    ``key`` is the fingerprint of all that decides a batch's numbers and names its folder of samples;
    ``fingerprint`` adds the number of samples and names the record.
    """

    card: Card
    task: Task
    sampler: Sampler
    entries: dict[str, Entry]
    metrics: tuple[Metric, ...]
    samples: int
    batch_size: int
    seed: int
    device: str
    precision: Precision
    compile: bool
    data: Images | None = None
    """What the task works on; None: nothing, or draws of the exact checkpoint's own distribution."""
    others: tuple[Card, ...] = ()
    """The further checkpoints that the task names (`Task.checkpoints`)."""

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers of a batch, as plain data."""
        sampler = self.sampler
        parts = {role: _part(entry, self.plugin(role)) for role, entry in self.entries.items()}
        found: dict[str, Any] = {
            "checkpoint": {"name": self.card.name, **self.card.deciding()} | self._reading,
            **parts,
            "denoise": sampler.denoise,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "precision": self.precision,
            "compile": self.compile,
            "device": device_kind(self.device),
            "torch": _version("torch"),
            "code": core_hash(),
        }
        if sampler.solver is None:
            found |= {"steps": sampler.steps, "grid": sampler.grid, "order": sampler.order}
            found |= {"rho": sampler.rho} if sampler.grid == "polynomial" else {}
            found |= {} if sampler.label_scales is None else {"label_scales": sampler.label_scales}
        rests_on = self.task.provenance(self.card) | {card.name: card.deciding() for card in self.others}
        if rests_on:
            found["task"]["provenance"] = rests_on
        if self.task.takes_data:
            kept = ("kind", "n", "sha256", "decoder")
            facts = {"kind": "draws"} if self.data is None else self.data.facts()
            found["data"] = {k: v for k, v in facts.items() if k in kept}
        return found

    def plugin(self, role: str) -> Plugin:
        """What plays a role of `entries`."""
        found: Plugin = self.task if role == "task" else getattr(self.sampler, role)
        return found

    @functools.cached_property
    def convention(self) -> Literal["exact", "published", "rescaled"]:
        """Whether a network is asked as it was published, or on another SDE than its own."""
        if self.card.exact:
            return "exact"
        if self.card.sde is None:
            return "published"
        native = follows_convention(self.card, self.sampler.sde, registry())
        return "published" if native else "rescaled"

    @property
    def _reading(self) -> dict[str, Any]:
        """How a network's file is read, and by what convention the network is asked."""
        if self.card.exact:
            return {}
        try:
            entry = registry().get("readers", self.card.format)
            reader = entry.thing.build(self.card.parameters.get("reader", {}))
        except BenchError as error:
            raise BenchError(f"checkpoint {self.card.name}: {error}") from error
        return {"reader": _part(entry, reader), "convention": self.convention}

    @functools.cached_property
    def key(self) -> str:
        """Name of the folder of samples: 16 hexadecimal digits of `identity`'s hash."""
        return _digest(self.identity)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name of the record: `key` with the number of samples."""
        return _digest(self.identity | {"samples": self.samples})

    @functools.cached_property
    def sampler_digest(self) -> str:
        """As `fingerprint`, whatever the seed: cells that differ in it alone are repeats."""
        return _digest({k: v for k, v in self.identity.items() if k != "seed"} | {"samples": self.samples})

    @property
    def batches(self) -> list[tuple[int, int]]:
        """(index, size) of every batch."""
        full, rest = divmod(self.samples, self.batch_size)
        return [(i, self.batch_size) for i in range(full)] + ([(full, rest)] if rest else [])

    @property
    def title(self) -> str:
        """What the cell is, in a line: all that was not left at its default is in it."""
        s = self.sampler
        names = [
            _named(p) for p in (s.solver, s.predictor, s.corrector) if p is not None and p.name != "none"
        ]
        how = " + ".join(names)
        if s.solver is None:
            how += f", {s.steps} steps"
            how += "" if s.grid == "uniform" else f", {s.grid} grid"
            how += "" if s.grid != "polynomial" or s.rho == 7 else f" rho {s.rho:g}"
            how += "" if s.order == "corrector_first" else f", {s.order.replace('_', ' ')}"
            how += "" if s.label_scales is None else f", labels of {s.label_scales} scales"
        if s.denoise != default_denoise(s.solver) and not self.task.follows_flow:
            how += f", denoise {s.denoise}"
        how += "" if self.precision == "fp32" else f", {self.precision}"
        how += ", compiled" if self.compile else ""
        what = "" if self.task.name == DEFAULT_TASK else f"{_named(self.task)} · "
        of = "" if self.data is None else f" · of {self.data.name}"
        return f"{what}{self.card.name} · {_named(s.sde)} · {how}{of} · seed {self.seed}"

    @property
    def planned_nfe(self) -> int | None:
        """Score calls per sample as declared; None where not known beforehand. A run's own are counted."""
        s = self.sampler
        last = s.denoise == "tweedie"
        if self.task.follows_flow:
            return None
        if s.solver is not None:
            calls = s.solver.nfe()
            return None if calls is None else calls + last
        moves = s.corrector.calls if s.corrector is not None else 0
        scales = s.steps if s.order == "corrector_first" else s.steps - 1
        predicts = 0 if s.predictor is None or s.predictor.idle else s.predictor.nfe(s.steps)
        return None if predicts is None else predicts + scales * moves + last


def _named(plugin: Plugin) -> str:
    """A plugin's name with the parameters that differ from their defaults; a solver's always with its own."""
    defaults = {p.name: p.default for p in plugin.parameters()}
    shown = isinstance(plugin, Solver)
    values = {k: v for k, v in plugin.values().items() if shown or v != defaults[k]}
    texts = [f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items()]
    return f"{plugin.name} ({', '.join(texts)})" if texts else plugin.name


def _digest(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _part(entry: Entry, plugin: Plugin) -> dict[str, Any]:
    libraries = {name: _version(name) for name in plugin.libraries}
    return {
        "name": entry.name,
        "parameters": plugin.values(),
        "distribution": entry.distribution,
        "version": entry.version,
        "code": plugin_hash(type(plugin)),
    } | ({"libraries": libraries} if libraries else {})


@functools.cache
def _version(distribution: str) -> str:
    return metadata.version(distribution)
