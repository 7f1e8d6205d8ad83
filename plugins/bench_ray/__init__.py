"""The executor ``ray``: batches in actors of a Ray cluster, or of Ray on this machine alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Sequence

from bench import Batch, Executor, Notice, Outcome, Register, RunSpec, StepDone, Work, hookimpl, param
from bench_ray.cluster import LOCAL


class Ray(Executor):
    """Runs batches in Ray actors, one for each share of a GPU or of the cores; each keeps its model.

    Results travel to the command's own process, which writes them: workers need no folder in common. The
    rules of what a worker's death means are those of the executor ``local``.
    """

    name = "ray"

    workers: int = param(
        default=0,
        low=0,
        high=4096,
        flag="workers",
        help="actors; 0: as many as the cluster has room for",
    )
    num_gpus: float = param(
        default=0.0, low=0.0, high=64.0, help="GPUs of an actor, such as 0.5; 0: one where runs are on cuda"
    )
    num_cpus: float = param(default=1.0, above=0.0, help="CPUs of an actor, and its threads")
    address: str = param(default=LOCAL, help="HOST:PORT of a cluster, auto, or local for this machine alone")
    accelerator: str = param(
        default="", help="kind of GPU, as Ray calls it (H100); by default the kind of this machine's"
    )
    shared: bool = param(default=False, help="workers write into the results folder, which they share")
    patience: float = param(
        default=300.0, above=0.0, help="seconds without a sign of life after which an actor is replaced"
    )
    limit: float = param(
        default=3600.0, low=0.0, help="seconds without a step after which an actor is replaced; 0: none"
    )
    start_limit: float = param(default=300.0, above=0.0, help="seconds that an actor may take to start")
    probe_limit: float = param(default=60.0, above=0.0, help="seconds that a cluster may take to answer")

    @property
    def in_process(self) -> bool:
        return False

    @property
    def writes_batches(self) -> bool:
        return self.shared

    @property
    def at_once(self) -> int:
        """The number of actors; where it is open, one for each of this machine's shares."""
        if self.workers:
            return self.workers
        if self.num_gpus:
            import torch

            return max(1, int(torch.cuda.device_count() / self.num_gpus))
        return max(1, int(len(os.sched_getaffinity(0)) / self.num_cpus))

    def for_runs(self, runs: Sequence[RunSpec]) -> Ray:
        """With a GPU for each actor, where the number is open and runs are on ``cuda``."""
        if self.num_gpus or not any(run.device.startswith("cuda") for run in runs):
            return self
        return dataclasses.replace(self, num_gpus=1.0)

    def map(
        self, work: Work, batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome | StepDone | Notice]]:
        first = next(batches, None)
        if first is None:
            return
        from bench_ray.cluster import Need, accelerator_for, connect, places_for
        from bench_ray.pool import RayPool

        connect(self.address, math.ceil(self.workers * self.num_cpus), self.probe_limit)
        kind = first.spec.identity.device
        accelerator = accelerator_for(self.accelerator, kind) if self.num_gpus else ""
        need = Need(self.num_cpus, self.num_gpus, accelerator)
        pool = RayPool(
            work,
            places_for(need, self.workers),
            need=need,
            kind=kind,
            elsewhere=self.address != LOCAL,
            patience=self.patience,
            limit=self.limit,
            start_limit=self.start_limit,
        )
        with pool:
            yield from pool.outcomes(itertools.chain([first], batches))


@hookimpl
def register_executors(register: Register) -> None:
    register(Ray)
