"""Results: what `bench.run` returns, for programs and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.results.record import Record
from bench.results.runs_csv import COLUMNS, rows
from bench.results.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from bench.types import JSONObject, JSONValue


class Results:
    """The records of the runs of one call, in their order.

    Iteration yields the records; ``results[0]`` is the first one. A notebook shows the object as a table.

    Args:
        records: One `Record` per run.
        store: The results folder that holds them and their samples.
    """

    def __init__(self, records: Sequence[Record], store: Store) -> None:
        self.records = tuple(records)
        self.store = store

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    def __repr__(self) -> str:
        failed = len(self.failed)
        return f"Results({len(self) - failed} finished, {failed} failed, in {self.store.root})"

    @property
    def failed(self) -> list[Record]:
        """The records of runs that failed; ``reason`` and ``log`` say why."""
        return [record for record in self.records if record.status == "failed"]

    def frame(self) -> pd.DataFrame:
        """The records as a pandas data frame.

        Returns:
            A row per run and metric, and one for a failed run, with the columns of runs.csv.
        """
        import pandas as pd

        table = [row for record in self.records for row in rows(record)]
        return pd.DataFrame(table).reindex(columns=list(COLUMNS))

    def plain(self, published_of: Sequence[str] = ()) -> JSONObject:
        """The records in short as JSON data, as ``bench run --json`` prints them.

        Args:
            published_of: Other checkpoints, whose published figures of the same sampler are to be shown.

        Returns:
            ``runs``, a list with the facts of each run and the published figures of the same, and the numbers
            of ``finished`` and ``failed`` ones.

        Raises:
            BenchError: There is no published figure of such a checkpoint, or a file of figures can't be read.
        """
        from bench.reporting.matching import Matcher
        from bench.reporting.published_figures import all_figures, figures_of
        from bench.reporting.run_facts import run_facts

        matcher = Matcher(all_figures())
        others = figures_of(published_of, matcher.figures)
        runs: list[JSONValue] = [
            run_facts(record, self.store, matcher, others).plain() for record in self.records
        ]
        return {"runs": runs, "finished": len(runs) - len(self.failed), "failed": len(self.failed)}

    def images(self, run: int | str | Record = 0) -> Tensor:
        """The samples of a run as images.

        Args:
            run: Index of its record, first digits of its fingerprint, or the record itself.

        Returns:
            Tensor (n, C, H, W), float32 on [0, 1], not clipped.

        Raises:
            BenchError: No record has that fingerprint, the run failed, or its images are not on disk.
        """
        import torch

        record = self._record(run)
        batches = []
        if record.status == "failed":
            raise BenchError(f"run {record.fingerprint} failed: {record.reason}")
        for index, size in record.sample_batches:
            stored = self.store.read_batch(record.key, index, size)
            if stored is None or "images" not in stored[0]:
                raise BenchError(f"the images of run {record.fingerprint} are not in {self.store.root}")
            batches.append(stored[0]["images"])
        return torch.cat(batches)

    def _record(self, run: int | str | Record) -> Record:
        if isinstance(run, Record):
            return run
        if isinstance(run, int):
            return self.records[run]
        matches = [record for record in self.records if record.fingerprint.startswith(run)]
        if len(matches) != 1:
            raise BenchError(f"{run!r} is the fingerprint of {len(matches)} of these runs")
        return matches[0]

    def _repr_html_(self) -> str:
        """The table that a notebook shows, a line per cell and metric."""
        from bench.reporting.summary import notes, summary_layout
        from bench.reporting.writers import html

        failures = [f"failed: {record.label}: {record.reason}" for record in self.failed]
        return html(str(self.store.root), summary_layout(self), [*notes(self), *failures])
