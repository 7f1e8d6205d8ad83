"""RunSpec: one run as plain, picklable data, with the identity of all that decides its numbers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.checkpoints.cards import Card
from bench.diffusion.sampler import Sampler
from bench.metrics.role import Metric
from bench.results.batches import Batches
from bench.results.identity import Identity, digest
from bench.tasks.role import Task
from bench.types import ClassLabels, Precision

if TYPE_CHECKING:
    from bench.data.images import Images


@dataclasses.dataclass(frozen=True, kw_only=True)
class IdentifiedRun:
    """A run's identity, samples and title, whether or not the run can start.

    Args:
        identity: Everything that decides the numbers of a batch.
        samples: Number of samples.
        title: The settings in one line, without the seed.
    """

    identity: Identity
    samples: int
    title: str

    @functools.cached_property
    def key(self) -> str:
        """Name of the folder of samples: 16 hexadecimal digits of the hash of `identity`."""
        return digest(self.identity.model_dump(mode="json"))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name of the record: the hash of `identity` and the number of samples."""
        return digest(self.identity.model_dump(mode="json") | {"samples": self.samples})

    @functools.cached_property
    def sampler_digest(self) -> str:
        """The fingerprint without the seed: runs that differ in the seed alone are repeats."""
        return digest(self.identity.model_dump(mode="json", exclude={"seed"}) | {"samples": self.samples})

    @property
    def seed(self) -> int:
        """Seed of all random streams."""
        return self.identity.seed

    @property
    def label(self) -> str:
        """The title with the seed."""
        return f"{self.title} · seed {self.seed}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnplannedRun(IdentifiedRun):
    """A run whose planning failed with a plugin's own error; the engine records it as failed.

    Args:
        outputs: Names of the tensors that the task returns.
        reason: The error in one line.
        log: The traceback.
    """

    outputs: tuple[str, ...]
    reason: str
    log: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Companion:
    """A run that a metric of another run reads.

    Args:
        metric: Label of the metric.
        name: The metric's name for the run.
        spec: The run.
        output: Name of the task's output that the metric reads.
    """

    metric: str
    name: str
    spec: RunSpec
    output: str

    @property
    def batch_name(self) -> str:
        """Name of the output beside those of the measured run's batch."""
        return f"{self.metric}/{self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec(IdentifiedRun):
    """A run: checkpoint x sampler x task x samples x seed, with the metrics to compute. Picklable.

    Its further fields are ``identity`` (everything that decides the numbers of a batch), ``samples`` (their
    number) and ``title`` (the settings in one line, without the seed).

    Args:
        card: The checkpoint.
        task: What the run does with the sampler.
        sampler: Predictor and corrector on a grid, or a solver.
        metrics: Metrics of the samples.
        batch_size: Samples per batch; the last batch may be smaller.
        device: Device of the run, such as ``cpu`` or ``cuda:0``.
        precision: What the network computes in: ``fp32``, ``tf32`` or ``bf16``.
        compile: Whether the network is compiled.
        labels: The classes that a class-conditional checkpoint is given; None for an unconditional one.
        data: Images that the task works on; None for a task without data, or for draws of an exact
            checkpoint.
        others: Further checkpoints that the task names (`Task.checkpoints`).
        planned_nfe: Network calls per sample as the plugins declare them; None where unknown in advance.
        cacheable: Whether the source of all code is known. If not, the run is made anew each time.
        in_memory: Whether a plugin or network exists in this process alone, so that the run can't travel.
        declared_order: Order of convergence that the sampler declares; None where it declares none.
        companions: Runs that the metrics read beside this one (`Metric.companions`).
        unfit: Labels of a suite's metrics that have no value for the run's sampler.
    """

    card: Card
    task: Task
    sampler: Sampler
    metrics: tuple[Metric, ...]
    batch_size: int
    device: str
    precision: Precision
    compile: bool
    data: Images | None
    labels: ClassLabels | None = None
    others: tuple[Card, ...] = ()
    planned_nfe: int | None = None
    cacheable: bool = True
    in_memory: bool = False
    declared_order: float | None = None
    companions: tuple[Companion, ...] = ()
    unfit: tuple[str, ...] = ()

    def companion_keys(self, metric: str) -> dict[str, str]:
        """Keys of the samples of the companions that a metric reads.

        Args:
            metric: Label of the metric.

        Returns:
            Keys by the metric's names for the runs.
        """
        return {one.name: one.spec.key for one in self.companions if one.metric == metric}

    def batches(self) -> Batches:
        """All batches.

        Returns:
            Pairs of index and number of samples, as a range.
        """
        return Batches(self.samples, self.batch_size)

    @property
    def batch_count(self) -> int:
        """Number of batches."""
        return len(self.batches())

    def batch_samples(self, index: int) -> int:
        """Number of samples in a batch.

        Args:
            index: Number of the batch, from 0.

        Returns:
            ``batch_size``, or fewer in the last batch.
        """
        return self.batches().size(index)


def companion_fingerprints(runs: Sequence[RunSpec | UnplannedRun]) -> set[str]:
    """Fingerprints of all runs that metrics of these runs read.

    Args:
        runs: Runs.

    Returns:
        The fingerprints, those of runs that are among ``runs`` too.
    """
    return {one.spec.fingerprint for run in runs if isinstance(run, RunSpec) for one in run.companions}


def companion_runs(runs: Sequence[RunSpec | UnplannedRun]) -> list[RunSpec]:
    """The runs that metrics read beside others.

    Args:
        runs: Runs, in order.

    Returns:
        Each companion of the runs once, without those that are among the runs.
    """
    own = {run.fingerprint for run in runs}
    companions = {
        one.spec.fingerprint: one.spec for run in runs if isinstance(run, RunSpec) for one in run.companions
    }
    return [spec for fingerprint, spec in companions.items() if fingerprint not in own]
