"""Role Executor: hands out batches."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench.params import Plugin

if TYPE_CHECKING:
    from bench.results.run_spec import RunSpec


@dataclasses.dataclass(frozen=True)
class Job:
    """One batch of a cell: the unit of work."""

    cell: RunSpec
    index: int
    size: int


class Executor(Plugin):
    """Hands out batches. ``work(job)`` samples one and stores it; jobs are independent of each other."""

    @abstractmethod
    def run(self, jobs: Sequence[Job], work: Callable[[Job], None]) -> None:
        """Do all jobs, in any order; the first failure is raised."""
