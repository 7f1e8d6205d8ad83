"""What a run reports as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.results.run_spec import RunSpec


class Listener:
    """What a run tells as it goes; the command line draws it. All methods do nothing here."""

    def waiting(self, cell: RunSpec) -> None:
        """Another process is at work on the cell; it is waited for."""

    def cell_started(self, cell: RunSpec, cached: int, batches: int) -> None:
        """A cell begins with ``cached`` of its ``batches`` on disk."""

    def step(self, batch: int, done: int, total: int | None, calls: int) -> None:
        """``done`` of ``total`` steps of the batch are behind us (a solver: total None), in so many calls."""

    def batch_done(self, batch: int) -> None:
        """A batch is on disk."""

    def cell_done(self, cell: RunSpec, record: dict[str, Any], *, cached: bool) -> None:
        """A cell is recorded, or was found recorded."""
