"""How long the runs of a plan still take, by the pace of records."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Collection, Sequence
from typing import Any

from bench.results.identity import Identity
from bench.results.record import Record
from bench.results.run_spec import RunSpec

_PaceKey = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class _Rest:
    """What a run still has to do: ``samples`` that are not on disk, at ``nfe`` network calls each."""

    key: _PaceKey
    run: RunSpec
    samples: int
    nfe: float | None


class Forecast:
    """Seconds that runs still take: samples x NFE x the pace of the most similar records.

    Args:
        runs: Number of runs of the plan.
        records: Records whose pace counts.
        at_once: Number of batches that are computed at a time.
    """

    def __init__(self, runs: int, records: Sequence[Record] = (), at_once: int = 1) -> None:
        self.runs, self.at_once = runs, at_once
        self._rests: dict[str, _Rest] = {}
        self._paces: dict[_PaceKey, list[tuple[float, float]]] = {}
        for record in records:
            if record.status == "finished" and record.cost is not None:
                batch = min(record.samples, record.identity.batch_size)
                self._learn(
                    _pace_key(record.identity), record.samples, batch, record.cost.nfe, record.cost.seconds
                )

    def __contains__(self, fingerprint: str) -> bool:
        """Whether the run is left."""
        return fingerprint in self._rests

    def add(self, run: RunSpec, samples: int, nfe: float | None) -> None:
        """Count a run with ``samples`` still to make; ``nfe`` is None where it is unknown."""
        self._rests[run.fingerprint] = _Rest(_pace_key(run.identity), run, samples, nfe)

    def finish(self, fingerprint: str, nfe: float | None = None, seconds: float | None = None) -> None:
        """Count a run no longer; where its cost is given, its pace counts for the runs that are left."""
        rest = self._rests.pop(fingerprint, None)
        if rest is not None and nfe is not None and seconds is not None:
            run = rest.run
            self._learn(rest.key, run.samples, min(run.samples, run.batch_size), nfe, seconds)

    def seconds(self, fingerprint: str) -> float | None:
        """Seconds that a run still takes: 0 once it is finished, None where no record tells."""
        rest = self._rests.get(fingerprint)
        if rest is None or rest.samples == 0:
            return 0.0
        pace = self._pace(rest.key)
        return None if rest.nfe is None or pace is None else rest.nfe * rest.samples * pace

    def batch_seconds(self, run: RunSpec) -> float | None:
        """Seconds of a batch of a run; None where no record tells."""
        rest = self._rests.get(run.fingerprint)
        pace = None if rest is None or rest.nfe is None else self._pace(rest.key)
        return None if rest is None or rest.nfe is None or pace is None else rest.nfe * run.batch_size * pace

    def rest(self, besides: Collection[str] = ()) -> tuple[float, int]:
        """Seconds of all runs that are left ``besides`` these, and the number of those of unknown time."""
        seconds = [self.seconds(fingerprint) for fingerprint in self._rests if fingerprint not in besides]
        known = [one for one in seconds if one is not None]
        return sum(known), len(seconds) - len(known)

    def _learn(self, key: _PaceKey, samples: int, batch: int, nfe: float, seconds: float) -> None:
        """Add the pace of a record: seconds per network evaluation of one sample."""
        if nfe > 0:
            for part in (key, key[:4]):
                self._paces.setdefault(part, []).append((batch * nfe, seconds / (samples * nfe)))

    def _pace(self, key: _PaceKey) -> float | None:
        """The pace of the same sampler, or else of any sampler of the checkpoint, device, precision and task.

        Only records with at least half of the most evaluations per batch count: in small batches, work that
        is done once takes most of the time.
        """
        pairs = self._paces.get(key) or self._paces.get(key[:4])
        if not pairs:
            return None
        return statistics.median(pace for batch, pace in pairs if 2 * batch >= max(pairs)[0])


def _pace_key(identity: Identity) -> _PaceKey:
    plugins = identity.plugins()
    names = [
        plugins[role].name if role in plugins else None
        for role in ("task", "predictor", "corrector", "solver")
    ]
    return (identity.checkpoint.name, identity.device, identity.precision, *names)
