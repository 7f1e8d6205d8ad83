"""Record: what a finished or failed run leaves, as one versioned, strict JSON file."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from bench.results.identity import Identity, Stored, Strict


class MetricRecord(Strict):
    """A metric's value in a record.

    ``metric`` is the plugin's name, under which `bench measure` takes it again. ``parameters`` are those that
    decide the value, ``provenance`` holds hashes of what it rests on: values that differ in either do not
    compare. ``leave_one_out`` holds the value without each group of batches in turn, ``exact`` the value
    that theory gives, where it does.
    """

    metric: str
    value: float
    n: int
    error: float | None = None
    note: str = ""
    details: dict[str, JsonValue] = {}
    direction: Literal["lower", "higher"] = "lower"
    bias: str = ""
    leave_one_out: tuple[float, ...] = ()
    parameters: dict[str, JsonValue] = {}
    provenance: dict[str, str] = {}
    code: str = ""
    exact: float | None = None


class Cost(Strict):
    """What a run took. ``nfe`` is counted network calls per sample; times are in seconds.

    ``warm_seconds`` (loading, compiling, first calls) is not part of ``seconds``.
    """

    nfe: float
    seconds: float
    samples_per_second: float
    network_share: float
    warm_seconds: float


class BatchFacts(Strict):
    """What a batch took: network calls per sample, and seconds in all, in the network, and warming up.

    Warming up (loading, compiling, first calls) is not part of ``seconds``.
    """

    nfe: int
    seconds: float
    network_seconds: float
    warm_seconds: float


class BatchRecord(Strict):
    """Size and cost of one batch: network calls per sample, seconds in all and in the network."""

    size: int
    nfe: int
    seconds: float
    network_seconds: float


class Provenance(Strict):
    """Versions, commit and machine that a record comes from."""

    bench: str
    torch: str
    numpy: str
    python: str
    platform: str
    processor: str
    commit: str | None
    dirty: bool | None


class Record(Stored):
    """A finished or failed run: checkpoint x sampler x task x samples x seed.

    ``fingerprint`` is the hash of ``identity`` with ``samples`` and names the file; ``key`` is that of
    ``identity`` alone and names the folder of samples. ``title`` describes the settings in a line, without
    the seed. ``outputs`` are the tensors that the task returns. A failed run has a ``reason`` and a ``log``
    and no ``cost``. ``preview`` is the path of its picture.

    A record of another ``schema_version`` is reported, skipped and made again.
    """

    schema_version: Literal[2] = 2
    fingerprint: str
    key: str
    title: str
    status: Literal["finished", "failed"]
    created: str
    samples: int
    outputs: tuple[str, ...]
    planned_nfe: int | None = None
    identity: Identity
    provenance: Provenance
    metrics: dict[str, MetricRecord] = {}
    exact: dict[str, float] = {}
    cost: Cost | None = None
    batches: tuple[BatchRecord, ...] = ()
    preview: str = ""
    reason: str = ""
    log: str = ""

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.identity.seed

    @property
    def cell(self) -> str:
        """Digest of the settings without seed, device and versions (`Identity.cell`)."""
        return self.identity.cell(self.samples)

    @property
    def label(self) -> str:
        """Title with the seed."""
        return f"{self.title} · seed {self.seed}"
