"""Results folders joined into one, such as those of machines without a shared disk."""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.events import Advance, Emit, silent
from bench.files import inside, is_safe_name, replace_file, writing
from bench.results.record import Record
from bench.results.store import BATCH_NAME, Store


@dataclasses.dataclass(frozen=True)
class Merge:
    """What `merge_results` wrote.

    Args:
        folder: The joined results folder.
        records: Number of records that are new there, or have metrics that were missing.
        batches: Number of batches that are new there.
    """

    folder: Path
    records: int
    batches: int


def merge_results(sources: Sequence[Path], target: Path, emit: Emit = silent) -> Merge:
    """Copy records, samples, logs, previews and planned suites of several results folders into one.

    What the target has stays. Of one run in several folders a finished record comes before a failed one, and
    metrics are joined: the first folder's value of a metric counts. The same call again goes on after a kill.

    Args:
        sources: Results folders; they are read alone.
        target: The results folder that they are joined in; made where it is missing.
        emit: Receives progress, and a `Notice` for each damaged file.

    Returns:
        What was written.

    Raises:
        BenchError: A source is no results folder, or has the target in it.
        StoreError: The target can't be written.
    """
    for source in sources:
        if not any((source / name).is_dir() for name in ("records", "samples")):
            raise BenchError(f"{source} is no results folder: it has no records and no samples")
        if target.resolve().is_relative_to(source.resolve()):
            raise BenchError(f"{target} is in the source {source}: choose another -o")
    store = Store(target, emit=emit)
    records = batches = 0
    for source in sources:
        origin = Store(source, writes=False, emit=emit)
        # samples first: a record whose samples are not there yet would look pruned
        batches += _copy_samples(origin, store, emit)
        records += sum(_copy_record(record, origin, store) for record in origin.records())
        for folder in sorted(path for path in (source / "suites").glob("*") if path.is_dir()):
            if is_safe_name(folder.name):
                for plan in origin.read_suites(folder.name):
                    store.write_suite(plan)
    store.write_csv()
    return Merge(target, records, batches)


def _copy_samples(origin: Store, store: Store, emit: Emit) -> int:
    copied = 0
    files = list(_batch_files(origin.root / "samples"))
    for done, path in enumerate(files):
        emit(Advance(f"copying {origin.root}", done, len(files), "batches"))
        place = inside(store.root / "samples", path.parent.name, path.name)
        if place.exists():
            continue
        with writing(place):
            place.parent.mkdir(exist_ok=True)
        replace_file(place, path.read_bytes())
        copied += 1
    emit(Advance(f"copying {origin.root}", len(files), len(files), "batches"))
    return copied


def _batch_files(folder: Path) -> Iterator[Path]:
    """The files of batches, links and special files aside."""
    for key in sorted(folder.glob("*")):
        if is_safe_name(key.name) and stat.S_ISDIR(key.lstat().st_mode):
            for path in sorted(key.iterdir()):
                if BATCH_NAME.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
                    yield path


def _copy_record(record: Record, origin: Store, store: Store) -> bool:
    """Write a record with its picture and log; False where the target has all of it."""
    name = record.fingerprint
    with store.locked(name):
        present = store.read_record(name)
        if present is not None and present.status == "finished":
            if record.status == "failed" or record.metrics.keys() <= present.metrics.keys():
                return False
            merged = present.model_copy(update={"metrics": record.metrics | present.metrics})
        elif present is not None and record.status == "failed":
            return False
        else:
            merged = record
            for field, source, write in (
                ("preview", origin.image_path(name), store.write_image),
                ("log", origin.log_path(name), store.write_log),
            ):
                there = getattr(record, field) and source.is_file() and not source.is_symlink()
                path = str(write(name, source.read_bytes())) if there else ""
                merged = merged.model_copy(update={field: path})
        store.write_record(merged)
    return True
