"""Settings -> cells: checked, fingerprinted, costed. Nothing here samples."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from bench.checkpoints.cards import Card
from bench.config import SAMPLER_SETTINGS, Precision, Settings, complaint
from bench.errors import BenchError, did_you_mean
from bench.metrics import Metric
from bench.params import Plugin
from bench.plugins import Entry, Registry, registry
from bench.sampling import Sampler, Solver, check_denoise, default_denoise
from bench.sourcehash import core_hash, plugin_hash
from bench.suites import ROLES, Place, Suite, expand

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class Cell:
    """One entry of a table: checkpoint x sampler x samples x seed, with the metrics to take.

    ``key`` is the fingerprint of all that decides a batch's numbers and names its folder of samples;
    ``fingerprint`` adds the number of samples and names the record.
    """

    card: Card
    sampler: Sampler
    entries: dict[str, Entry]
    metrics: tuple[Metric, ...]
    samples: int
    batch_size: int
    seed: int
    device: str
    precision: Precision
    compile: bool

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers of a batch, as plain data."""
        sampler = self.sampler
        parts = {role: _part(self.entries[role], getattr(sampler, role)) for role in self.entries}
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
        return found

    @functools.cached_property
    def convention(self) -> Literal["exact", "published", "rescaled"]:
        """Whether a network is asked as it was published, or on another SDE than its own."""
        if self.card.exact:
            return "exact"
        if self.card.sde is None:
            return "published"
        from bench.checkpoints.load import follows_convention

        return "published" if follows_convention(self.card, self.sampler.sde) else "rescaled"

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
        if s.denoise != default_denoise(s.solver):
            how += f", denoise {s.denoise}"
        how += "" if self.precision == "fp32" else f", {self.precision}"
        how += ", compiled" if self.compile else ""
        return f"{self.card.name} · {_named(s.sde)} · {how} · seed {self.seed}"

    @property
    def planned_nfe(self) -> int | None:
        """Score calls per sample as declared; None where not known beforehand. A run's own are counted."""
        s = self.sampler
        last = s.denoise == "tweedie"
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


@functools.cache
def device_kind(device: str) -> str:
    """The kind of device, on which the same command gives the same bits."""
    import torch

    if device.startswith("cuda"):
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {torch.backends.cpu.get_cpu_capability()}" if device == "cpu" else device


def choose_device(wanted: str) -> torch.device:
    """``auto``: the GPU where there is one. `BenchError` where the wanted device is missing."""
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise BenchError(f"unknown device {wanted!r}: take auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BenchError("no GPU that torch can use was found: take --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BenchError(f"there is no {wanted}: torch finds {torch.cuda.device_count()} GPU(s)")
    if device.type not in ("cpu", "cuda"):
        raise BenchError(f"device {wanted!r} is not supported: take auto, cpu, cuda or cuda:N")
    return device


def make_plan(settings: Settings, registry: Registry) -> list[Cell]:
    """Every cell that the settings expand to, checked; `BenchError` for what makes no sense."""
    device = choose_device(settings.device)
    if settings.precision == "tf32" and device.type != "cuda":
        raise BenchError("--precision tf32 is a GPU's: take fp32 or bf16 on this device")
    registry.get("executors", settings.executor)
    if settings.label_scales is not None and (settings.solver or settings.grid != "uniform"):
        raise BenchError("--label-scales belongs to a predictor or corrector with --grid uniform")
    absent = {"predictor", "corrector"} if settings.solver else {"solver"}
    for role in settings.parameters:
        if role not in (*ROLES, "metric"):
            raise BenchError(f"unknown role {role!r} in a parameter{did_you_mean(role, (*ROLES, 'metric'))}")
        if role in absent:
            raise BenchError(f"a parameter of a {role} was given, but the run has none")
    cells = []
    for card, sde in _pairs(settings, registry):
        card.check()
        if card.metric not in registry.names("metrics"):
            known = did_you_mean(card.metric, registry.names("metrics"))
            raise BenchError(
                f"checkpoint {card.name}: its card names the unknown metric {card.metric!r}{known}"
            )
        names = _once(settings.metric) or [card.metric]
        metrics = build_metrics(registry, names, settings.parameters.get("metric", {}))
        for metric in metrics:
            metric.provenance()
        for sampler, entries in _samplers(settings, registry, card, sde):
            if sampler.solver is None:
                sampler.scales()
                sampler.labels()
            for repeat in range(settings.repeats):
                cells.append(
                    Cell(
                        card=card,
                        sampler=sampler,
                        entries=entries,
                        metrics=metrics,
                        samples=settings.samples,
                        batch_size=min(settings.batch_size, settings.samples),
                        seed=settings.seed + repeat,
                        device=str(device),
                        precision=settings.precision,
                        compile=settings.compile,
                    )
                )
    return cells


def plan_suite(
    settings: Settings, name: str, suite: Suite, registry: Registry, scale: float = 1.0
) -> list[tuple[Place, Cell]]:
    """Every cell of a suite and its place, by checkpoint, then by seed: a stop leaves whole tables.

    Settings of samplers are the suite's; the rest (checkpoint, samples, seeds, …) come from ``settings``.
    """
    common = settings.model_dump(exclude={*SAMPLER_SETTINGS, "parameters"})
    metric = settings.parameters.get("metric")
    found = []
    for place, chosen in expand(name, suite, scale):
        lists = {k: [v] for k, v in chosen.items() if k in ROLES}
        if "solver" not in lists:
            lists = {"corrector": ["none"]} | lists
        parameters = chosen.get("parameters", {}) | ({"metric": metric} if metric else {})
        try:
            variant = Settings.model_validate(common | chosen | lists | {"parameters": parameters})
            cells = make_plan(variant, registry)
        except ValidationError as error:
            raise BenchError(f"suite {name}: {place}: {complaint(error)}") from error
        except BenchError as error:
            less = "" if scale >= 1 else f" (here all step counts are times {scale:g}: raise --steps-scale)"
            where = f"suite {name}: {place}"
            raise BenchError(f"{where}: {error}{less}") from error
        found += [(place, cell) for cell in cells]
    order = {checkpoint: i for i, checkpoint in enumerate(_once(settings.checkpoint))}
    return sorted(found, key=lambda pair: (order[pair[1].card.name], pair[1].seed))


def _shared_out(
    registry: Registry, role: str, names: list[str], given: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Parameters by plugin: one goes to every selected plugin that has it; one that none has is an error."""
    known = {name: {p.name for p in registry.get(f"{role}s", name).thing.parameters()} for name in names}
    everyone = set().union(*known.values())
    for key in given.keys() - everyone:
        takes = did_you_mean(key, everyone) if everyone else " (it has no parameters)"
        raise BenchError(f"{role} {', '.join(names)} has no parameter {key!r}{takes}")
    return {name: {k: v for k, v in given.items() if k in known[name]} for name in names}


def build_metrics(registry: Registry, names: list[str], given: dict[str, Any]) -> tuple[Metric, ...]:
    """The metrics of these names, with the parameters that they have."""
    own = _shared_out(registry, "metric", names, given)
    return tuple(registry.build("metrics", name, own[name]) for name in names)


def _pairs(settings: Settings, registry: Registry) -> list[tuple[Card, str]]:
    """Checkpoints with SDEs; where none is given, each with the one it was trained on."""
    cards: list[Card] = [registry.get("checkpoints", name).thing for name in _once(settings.checkpoint)]
    return [(card, sde) for card in cards for sde in _once(settings.sde) or [card.sde or "vp"]]


def _once(names: list[str]) -> list[str]:
    """The names without repetition."""
    return list(dict.fromkeys(names))


def _samplers(
    settings: Settings, registry: Registry, card: Card, sde: str
) -> list[tuple[Sampler, dict[str, Entry]]]:
    def build(role: str, name: str) -> Any:
        chosen = getattr(settings, role) or [name]
        given = _shared_out(registry, role, chosen, settings.parameters.get(role, {}))[name]
        known = {p.name for p in registry.get(f"{role}s", name).thing.parameters()}
        published = card.parameters.get(role, {}) if sde == card.sde else {}
        own = {k: v for k, v in published.items() if k in known}
        return registry.build(f"{role}s", name, own | given)

    chosen: list[dict[str, str]]
    if settings.solver:
        if {"predictor", "corrector"} & settings.model_fields_set:
            raise BenchError(
                "a solver integrates alone: give --solver, or --predictor and --corrector, not both"
            )
        chosen = [{"sde": sde, "solver": name} for name in _once(settings.solver)]
    else:
        pairs = itertools.product(_once(settings.predictor), _once(settings.corrector))
        chosen = [{"sde": sde, "predictor": p, "corrector": c} for p, c in pairs]
    found = []
    for names in chosen:
        if names.get("predictor") == "none" and names.get("corrector") == "none":
            raise BenchError("a run without predictor and without corrector does nothing: give one of them")
        parts = {role: build(role, name) for role, name in names.items()}
        denoise = settings.denoise or default_denoise(parts.get("solver"))
        check_denoise(parts.get("solver"), denoise)
        sampler = Sampler(
            **parts,
            steps=settings.steps,
            grid=settings.grid,
            rho=settings.rho,
            order=settings.order,
            denoise=denoise,
            label_scales=settings.label_scales,
        )
        if sampler.predictor is not None and sampler.predictor.needs_variance:
            _refuse_without_variance(card, sampler)
        found.append((sampler, {role: registry.get(f"{role}s", name) for role, name in names.items()}))
    return found


def _refuse_without_variance(card: Card, sampler: Sampler) -> None:
    from bench.checkpoints.load import follows_convention

    if not card.learned_variance:
        raise BenchError(f"checkpoint {card.name} has learned no variance: take another predictor.variance")
    if not follows_convention(card, sampler.sde):
        raise BenchError(
            f"the learned variance of {card.name} belongs to the SDE it was trained on: leave out --sde"
        )
