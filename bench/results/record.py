"""Record: the result of a finished or failed run, as one versioned, strict JSON file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from bench.metrics.role import ValueKind
from bench.results.batches import Batches
from bench.results.identity import (
    Amount,
    Identity,
    Natural,
    Positive,
    SafeName,
    Samples,
    Stored,
    Strict,
    Value,
)
from bench.types import JSONObject


class MetricRecord(Strict):
    """A metric's value in a record.

    Values that differ in ``parameters``, ``provenance`` or ``code`` do not compare.

    Args:
        metric: Name of the metric's plugin.
        value: The value.
        n: Number of samples that it was computed on.
        error: Standard error of the value over samples; None where the metric has none.
        note: What limits the value; tables flag a value that has a note.
        floor: Smallest value that the measurement resolves; None where it has no such bound.
        details: Further results, as in `MetricResult`, and ``options``, the parameters that do not decide the
            value and differ from their defaults.
        direction: Which values are better.
        value_kind: What the value is (`Metric.value_kind`): of a distance alone percentages have a meaning.
        axis: How plots draw the value.
        bias: What is known of the value's bias at n samples.
        leave_one_out: The value without each group of batches in turn, as `MetricState.leave_one_out`.
        parameters: The parameters that decide the value.
        provenance: Hashes of the files that decide the value, by name.
        companions: Keys of the samples of other runs that the metric read, by its names for them.
        code: Hash of the code that decides the value.
        exact: The value that theory gives for the run's sampler; None where it gives none.
        limit: The value that theory gives at tolerance 0 of the run's solver; None where it gives none.
    """

    metric: SafeName
    value: Value
    n: Natural
    error: Value | None = None
    note: str = ""
    floor: Value | None = None
    details: dict[str, JsonValue] = {}
    direction: Literal["lower", "higher"] = "lower"
    value_kind: ValueKind = "score"
    axis: Literal["log", "linear"] = "log"
    bias: str = ""
    leave_one_out: tuple[Value, ...] = ()
    parameters: dict[str, JsonValue] = {}
    provenance: dict[str, str] = {}
    companions: dict[str, str] = {}
    code: str = ""
    exact: Value | None = None
    limit: Value | None = None


class Cost(Strict):
    """The cost of a run: ``nfe`` are counted network calls per sample, times are in seconds.

    ``nfe`` is the mean over samples. ``nfe_max`` is the greatest of one sample; None where all have as many.
    ``network_share`` is the network's part of the time, from 0 to 1. ``warm_seconds`` (loading, compiling,
    first calls) is not part of ``seconds``. The peaks are the greatest of the batches' (`BatchFacts`).
    """

    nfe: Amount
    nfe_max: Amount | None = None
    seconds: Amount
    samples_per_second: Annotated[Amount, Field(gt=0)]
    network_share: Amount
    warm_seconds: Amount
    peak_host_bytes: Natural | None = None
    peak_gpu_bytes: Natural | None = None


class FitCost(Strict):
    """What the fit of a run's sampler cost, before the run: network evaluations in all, and seconds.

    ``nfe`` counts one for each state of each call, and not per sample of the run.
    """

    nfe: Amount
    seconds: Amount


class BatchFacts(Strict):
    """The cost of a batch: network calls per sample, and seconds in all, in the network, and of warming up.

    ``nfe`` is the mean over samples; ``nfe_max`` as in `Cost`.
    Warming up (loading, compiling, first calls) is not part of ``seconds``. ``peak_host_bytes`` is the
    greatest resident memory of the process while it computed the batch, with its libraries and weights; None
    outside of Linux. ``peak_gpu_bytes`` is that of torch's tensors on the GPU; None on a CPU. ``worker`` is
    the number of the executor's worker that computed it, None in the command's own process; ``retries``
    counts the workers that died of it before. ``part`` is the number of states of a network call where whole
    batches did not fit into the GPU's memory; None where they did.
    """

    nfe: float
    nfe_max: float | None = None
    seconds: float
    network_seconds: float
    warm_seconds: float
    peak_host_bytes: int | None = None
    peak_gpu_bytes: int | None = None
    worker: int | None = None
    retries: int = 0
    part: int | None = None


MOST_BATCHES = 100_000
"""Greatest number of batches whose cost a record has one by one."""


class BatchRecord(Strict):
    """Size and cost of one batch: network calls per sample, seconds in all and in the network.

    ``worker``, ``retries`` and ``part`` are those of `BatchFacts`.
    """

    size: Positive
    nfe: Amount
    seconds: Amount
    network_seconds: Amount
    worker: Natural | None = None
    retries: Natural = 0
    part: Positive | None = None


class Provenance(Strict):
    """Versions, commit and machine that made a record; None for the commit of an installed wheel.

    ``cpu`` is the model of the processor with its instructions for bfloat16 (``avx512_bf16``, ``amx_bf16``),
    ``cores`` the number of cores that the process may use. ``host``
    tells machines apart without naming them: 8 hexadecimal digits of a hash. All three are of the machine
    that wrote the record; batches may come from others.
    """

    bench: str
    torch: str
    numpy: str
    python: str
    platform: str
    processor: str
    cpu: str = ""
    cores: Positive | None = None
    host: str = ""
    commit: str | None = None
    dirty: bool | None = None


class Record(Stored):
    """A finished or failed run: checkpoint x sampler x task x samples x seed.

    Args:
        schema_version: Version of the format. A record of another version is reported, skipped and made
            again.
        fingerprint: Name of the record's file: 16 hexadecimal digits of the hash of ``identity`` and
            ``samples``.
        key: Name of the folder of samples: the hash of ``identity`` alone.
        title: The settings in one line, without the seed.
        status: ``finished`` or ``failed``.
        created: Date and time of the record in UTC, ISO 8601.
        samples: Number of samples.
        outputs: Names of the tensors that the task returns.
        planned_nfe: Network calls per sample as the plugins declare them; None where unknown in advance.
        declared_order: Order of convergence that the sampler declares; None where it declares none.
        identity: Everything that decides the numbers: checkpoint, plugins, settings, seed, code.
        provenance: Versions, commit and machine that made the record.
        data: The images that the task works on, as the command named them; empty for none.
        metrics: Values by the metric's label.
        exact: Values that theory gives for the sampler, by the metric's label.
        limit: Values that theory gives at tolerance 0 of the solver, by the metric's label.
        cost: Network calls per sample and seconds of the whole run; None for a failed run.
        fit: What the fit of the sampler cost; None where nothing of it is fitted.
        executor: The executor that the run was finished with; empty for a run without batches.
        batches: Size and cost of each batch, in order; empty where there are more than `MOST_BATCHES`.
        preview: Path of a picture of the samples; empty for none.
        reason: Why the run failed, in one line; empty for a finished run.
        log: Path of a failed run's traceback; empty for a finished run.
    """

    schema_version: Literal[2] = 2
    fingerprint: SafeName
    key: SafeName
    title: str
    status: Literal["finished", "failed"]
    created: str
    samples: Samples
    outputs: tuple[str, ...]
    planned_nfe: Natural | None = None
    declared_order: Value | None = None
    identity: Identity
    provenance: Provenance
    data: str = ""
    metrics: dict[SafeName, MetricRecord] = {}
    exact: dict[SafeName, Value] = {}
    limit: dict[SafeName, Value] = {}
    cost: Cost | None = None
    fit: FitCost | None = None
    executor: str = ""
    batches: tuple[BatchRecord, ...] = ()
    preview: str = ""
    reason: str = ""
    log: str = ""

    @classmethod
    def in_current_form(cls, plain: JSONObject) -> JSONObject:
        """Grids as plugins: they were a name, and the polynomial one's ``rho``."""
        identity = plain.get("identity")
        if not isinstance(identity, dict) or not isinstance(identity.get("grid"), str):
            return plain
        rest = {key: value for key, value in identity.items() if key != "rho"}
        grid: JSONObject = {"name": identity["grid"], "distribution": "sampler-bench", "version": ""}
        grid |= {"code": "", "parameters": {"rho": identity["rho"]} if "rho" in identity else {}}
        return plain | {"identity": rest | {"grid": grid}}

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.identity.seed

    @property
    def sample_batches(self) -> Batches:
        """The batches of the samples."""
        return Batches(self.samples, self.identity.batch_size)

    @property
    def cell(self) -> str:
        """SafeName of the settings without seed, device and versions (`Identity.cell`)."""
        return self.identity.cell(self.samples)

    @property
    def label(self) -> str:
        """The title with the seed."""
        return f"{self.title} · seed {self.seed}"
