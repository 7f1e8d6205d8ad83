"""Whether a run may use the artifacts of its fitted plugins."""

from __future__ import annotations

from bench.diffusion.fitting import FitFacts, Fittable
from bench.diffusion.sampler import Sampler
from bench.errors import BenchError, printable
from bench.results.identity import CheckpointIdentity
from bench.results.record import FitCost

FITTABLE_ROLES = ("grid", "predictor", "solver")
"""Roles of plugins that can be fitted, by the names of a sampler's fields."""


def fittable_parts(sampler: Sampler) -> dict[str, Fittable]:
    """The parts of a sampler that are fitted, by role; of a solver's sampler the solver alone.

    Args:
        sampler: The sampler.
    """
    roles = FITTABLE_ROLES if sampler.solver is None else ("solver",)
    parts = {role: getattr(sampler, role) for role in roles}
    return {role: part for role, part in parts.items() if isinstance(part, Fittable)}


def check_artifacts(sampler: Sampler, checkpoint: CheckpointIdentity, seed: int) -> None:
    """Refuse a run whose artifacts are of something else, or were fitted on the run's own samples.

    Args:
        sampler: The run's sampler.
        checkpoint: The run's checkpoint.
        seed: The run's seed.

    Raises:
        BenchError: A part has no artifact, or one of another checkpoint, SDE, sampler, grid or number of
            steps, or one that was fitted on samples of this seed; or the run has a corrector or a first step
            without a call, which no fit has.
    """
    for role, part in fittable_parts(sampler).items():
        part.fit_values()
        assert part.artifact is not None
        fault = _fault(part.artifact.facts, role, part, sampler, checkpoint, seed)
        if fault:
            raise BenchError(printable(f"the artifact of {part.name} {fault}", 1000))


def _fault(
    facts: FitFacts, role: str, part: Fittable, sampler: Sampler, checkpoint: CheckpointIdentity, seed: int
) -> str:
    """Why a run may not use an artifact; empty where it may."""
    if facts.role != role:
        return f"is one of a {facts.role}, not of a {role}: fit it again"
    if facts.checkpoint != checkpoint.name:
        return f"was fitted to {facts.checkpoint}, not to {checkpoint.name}: fit it to {checkpoint.name}"
    if facts.checkpoint_sha256 != checkpoint.sha256:
        return f"was fitted to other files of {checkpoint.name} than these: fit it again"
    if (facts.sde, facts.sde_parameters) != (sampler.sde.name, sampler.sde.values()):
        own = _described(facts.sde, facts.sde_parameters)
        return f"was fitted on {own}, not on {_described(sampler.sde.name, sampler.sde.values())}: fit again"
    if facts.convention != checkpoint.convention:
        return f"was fitted with {checkpoint.name} called by another convention: fit it again"
    if sampler.solver is None and facts.steps != sampler.steps:
        return f"was fitted for {facts.steps} steps, not {sampler.steps}: give --steps {facts.steps}"
    user = sampler.predictor if role == "grid" else None
    if user is not None and not part.any_sampler:
        own = _described(facts.sampler, facts.sampler_parameters)
        if (facts.sampler, facts.sampler_parameters) != (user.name, user.values()):
            return f"was fitted for {own}, not for {user.described()}: fit it for that"
    if sampler.solver is None and not part.any_sampler:
        if sampler.corrector is not None and sampler.corrector.calls:
            return f"was fitted without a corrector: leave out --corrector {sampler.corrector.name}"
        if sampler.afs:
            return "was fitted without --afs: leave it out"
    if role == "predictor" and sampler.grid is not None:
        grid = sampler.grid
        if facts.grid is not None and (facts.grid, facts.grid_parameters) != (grid.name, grid.values()):
            own = _described(facts.grid, facts.grid_parameters)
            return f"was fitted on the grid {own}, not on {grid.described()}: fit it on that"
    if seed == facts.seed:
        return (
            f"was fitted on samples of seed {seed}, on which it can't be judged: give another --seed "
            "(of a run, or of the fit)"
        )
    return ""


def _described(name: str, parameters: object) -> str:
    texts = [f"{key}={value}" for key, value in dict(parameters).items()]  # type: ignore[call-overload]
    return f"{name} ({', '.join(texts)})" if texts else name


def fit_cost(sampler: Sampler) -> FitCost | None:
    """What the fits of a sampler's parts cost together; None where none is fitted.

    Args:
        sampler: The sampler, whose fitted parts have artifacts.
    """
    facts = [part.artifact.facts for part in fittable_parts(sampler).values() if part.artifact is not None]
    if not facts:
        return None
    return FitCost(nfe=sum(one.fit_nfe for one in facts), seconds=sum(one.fit_seconds for one in facts))
