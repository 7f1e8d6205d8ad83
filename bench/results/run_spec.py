"""RunSpec: one run as plain, picklable data, with the identity of everything that decides its numbers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.checkpoints.cards import Card
from bench.diffusion.sampler import Sampler
from bench.metrics.role import Metric
from bench.results.identity import Identity, digest
from bench.tasks.role import Task
from bench.types import Precision

if TYPE_CHECKING:
    from bench.data.images import Images


@dataclasses.dataclass(frozen=True, kw_only=True)
class IdentifiedRun:
    """What is known of every run, whether it can start or not.

    Args:
        identity: Everything that decides the numbers of a batch.
        samples: Number of samples.
        title: The settings in a line, without the seed.
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
        """Name of the record: the hash of `identity` with the number of samples."""
        return digest(self.identity.model_dump(mode="json") | {"samples": self.samples})

    @functools.cached_property
    def sampler_digest(self) -> str:
        """As `fingerprint`, without the seed: runs that differ in it alone are repeats."""
        return digest(self.identity.model_dump(mode="json", exclude={"seed"}) | {"samples": self.samples})

    @property
    def seed(self) -> int:
        """Seed of all random streams."""
        return self.identity.seed

    @property
    def label(self) -> str:
        """Title with the seed."""
        return f"{self.title} · seed {self.seed}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnplannedRun(IdentifiedRun):
    """A run that a plugin's own error stops while it is planned; the engine records it as failed.

    Args:
        outputs: Names of the tensors that the task returns.
        reason: The error in a line.
        log: The traceback.
    """

    outputs: tuple[str, ...]
    reason: str
    log: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSpec(IdentifiedRun):
    """A run: checkpoint x sampler x task x samples x seed, with the metrics to take. Plain, picklable data.

    Args:
        card: Checkpoint that is sampled.
        task: What the run does with the sampler.
        sampler: Predictor and corrector on a grid, or a solver.
        metrics: Metrics to take of the samples.
        batch_size: Samples per batch; the last batch may be smaller.
        device: Device that the run uses, such as ``cpu`` or ``cuda:0``.
        precision: What the network computes in.
        compile: Whether the network is compiled.
        data: Images that the task works on; None for none, or for draws of the exact checkpoint.
        others: Further checkpoints that the task names (`Task.checkpoints`).
        planned_nfe: Network calls per sample as the plugins declare them; None where unknown in advance.
        cacheable: False where the source of a plugin is not available, so that the code behind a record can't
            be known: the run is then made anew each time.
        in_memory: Whether a plugin or network exists in this process alone, so that the run can't travel.
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
    others: tuple[Card, ...] = ()
    planned_nfe: int | None = None
    cacheable: bool = True
    in_memory: bool = False

    @property
    def batch_count(self) -> int:
        """Number of batches."""
        return -(-self.samples // self.batch_size)

    def batch_samples(self, index: int) -> int:
        """Number of samples in batch ``index``."""
        return min(self.batch_size, self.samples - index * self.batch_size)

    def batches(self) -> Iterator[tuple[int, int]]:
        """Index and number of samples of every batch."""
        return ((index, self.batch_samples(index)) for index in range(self.batch_count))
