"""Request: the settings of runs from the command line or from Python, and their plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bench.checkpoints.resolve import own_sde
from bench.errors import BenchError
from bench.plan.building import Objects
from bench.plan.contexts import MetricContexts
from bench.plan.planning import Plan, plan_runs, plan_suite
from bench.plan.settings import SAMPLER_SETTINGS, Settings, settings, suites
from bench.plan.suites import Suite, resolve_suite
from bench.plugins.registry import Registry
from bench.results.run_spec import RunSpec


@dataclasses.dataclass(frozen=True)
class Request:
    """Settings of runs, as the user gave them.

    Args:
        settings: Values by name, as in `bench.plan.settings.Settings`; missing ones come from bench.toml.
        profile: Name of a profile of bench.toml; None for the default.
        suite: Name of a suite, which sets its own samplers.
        only: Patterns of ``SDE ROW COLUMN`` that select runs of the suite.
        steps_scale: Factor of a suite's step counts.
        published_of: Checkpoints whose published figures stand below a suite's tables; empty for those that
            the suite names.
    """

    settings: Mapping[str, object]
    profile: str | None = None
    suite: str | None = None
    only: tuple[str, ...] = ()
    steps_scale: float | None = None
    published_of: tuple[str, ...] = ()

    def resolve(self, registry: Registry) -> tuple[Settings, str, Suite | None]:
        """The settings, the profile's name and the suite.

        Raises:
            BenchError: Settings contradict each other or belong to a suite.
        """
        values = dict(self.settings)
        profile = self.profile
        suite = None
        if self.suite is not None:
            suite = resolve_suite(self.suite, suites())
            if self.published_of:
                suite = suite.model_copy(update={"published_of": [*self.published_of]})
            self._check_beside_suite(values)
            values, profile = _with_suite(suite, values, profile, registry)
        elif self.steps_scale is not None or self.only:
            raise BenchError("--steps-scale and --only belong to a suite: give --suite")
        result, name = settings(values, profile)
        _check_meaning(values, result)
        if not result.checkpoint:
            raise BenchError(
                f"the profile {name} has no checkpoint of its own: give --checkpoint, such as --checkpoint "
                "ddpm-cifar10-32 (bench checkpoints list shows all)"
            )
        return result, name, suite

    def plan(self, contexts: MetricContexts, objects: Objects | None = None) -> Plan:
        """The plan of the request."""
        chosen, profile, suite = self.resolve(contexts.registry)
        if suite is None or self.suite is None:
            return plan_runs(chosen, profile, contexts, objects)
        scale = 1.0 if self.steps_scale is None else self.steps_scale
        return plan_suite(
            chosen, profile, self.suite, suite, contexts, scale=scale, only=self.only, objects=objects
        )

    def _check_beside_suite(self, values: Mapping[str, object]) -> None:
        """Refuse settings of samplers beside a suite, which sets its own."""
        flags = [f"--{key.replace('_', '-')}" for key in SAMPLER_SETTINGS if key in values]
        parameters = values.get("parameters")
        roles = parameters if isinstance(parameters, Mapping) else {}
        flags += [
            f"a parameter of a {role}" for role in roles if role not in ("metric", "executor", "logger")
        ]
        if flags:
            raise BenchError(
                f"the suite {self.suite} sets its own samplers: leave out {flags[0]}, or define a suite in "
                f'bench.toml (extends = "{self.suite}" takes in its cells)'
            )


def _with_suite(
    suite: Suite, values: dict[str, object], profile: str | None, registry: Registry
) -> tuple[dict[str, object], str | None]:
    """Fill in the suite's checkpoint and profile where the user gave none, and ``exact`` for exact ones."""
    profile = suite.profile if profile is None else profile
    if "checkpoint" not in values and suite.checkpoint is not None:
        names = suite.checkpoint
        values = values | {"checkpoint": [names] if isinstance(names, str) else names}
    checkpoints = values.get("checkpoint", [])
    names = [checkpoints] if isinstance(checkpoints, str) else list(checkpoints)  # type: ignore[call-overload]
    cards = [registry.get("checkpoints", name).thing for name in names]
    if profile is None and cards and all(card.exact for card in cards):
        profile = "exact"
    return values, profile


def _check_meaning(values: Mapping[str, object], chosen: Settings) -> None:
    """Refuse a setting that has no effect."""
    idle = [name for name in ("steps", "grid", "order", "afs") if name in values]
    if chosen.solver and idle:
        raise BenchError(
            f"--{idle[0]} has no meaning for a solver, which makes its own steps: leave it out "
            "(bench show NAME lists a solver's own parameters)"
        )


def rescaling_note(spec: RunSpec, registry: Registry) -> str | None:
    """A note for a network that runs on another SDE than that of its training; None for others."""
    if spec.identity.checkpoint.convention != "rescaled":
        return None
    own, run = own_sde(spec.card, registry), spec.sampler.sde
    assert own is not None
    values = {k: v for k, v in own.values().items() if own.name == run.name and k != "eps"}
    different = [f"{k}={v:g}" for k, v in values.items() if run.values()[k] != v]
    trained = f"{own.name} with {', '.join(different)}" if different else own.name
    if values and tuple(spec.card.data_range) != tuple(run.data_range):
        low, high = spec.card.data_range
        trained = f"{own.name} with images from {low:g} to {high:g}"
    return f"{spec.card.name} was trained on {trained}: it is called at the noise level of equal sigma/alpha"
