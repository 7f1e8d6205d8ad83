"""Results on disk: atomic, locked, resumable.

OUT/samples/KEY/00000-64.safetensors   one batch: index, size
OUT/records/FINGERPRINT.json           one finished or failed run
OUT/logs/FINGERPRINT.log               traceback of a failed run
OUT/images/FINGERPRINT.png             preview of a run's samples
OUT/suites/SUITE/NAME.json             a planned suite: its runs and their places in the table
OUT/runs.csv                           one row per record and metric, written anew from the records
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import SHORT, BenchError, did_you_mean
from bench.events import Emit, Notice, silent
from bench.files import (
    check_regular,
    inside,
    is_safe_name,
    read_file,
    replace_file,
    writing,
)
from bench.results.batches import Batches
from bench.results.claims import Claim, Claims
from bench.results.identity import MAX_STORED
from bench.results.manifest import SuitePlan
from bench.results.record import BatchFacts, Record
from bench.results.runs_csv import runs_csv

if TYPE_CHECKING:
    from torch import Tensor


BATCH_NAME = re.compile(r"([0-9]{5,12})-[0-9]{1,12}\.safetensors")


def _batch_name(index: int, size: int) -> str:
    return f"{index:05d}-{size}.safetensors"


class Lock:
    """A claim that this process holds; `release` frees it."""

    def __init__(self, claims: Claims, claim: Claim) -> None:
        self._claims, self._claim = claims, claim

    def release(self) -> None:
        """Free the lock and remove its file.

        Removing the file is safe: a process that waits for the lock checks again what the lock guards.
        """
        self._claims.release(self._claim)


class Store:
    """A results folder.

    Args:
        root: The folder; created where it is missing.
        writes: False leaves everything on disk as it is.
        emit: Receives a `Notice`, once, for each damaged file.

    Raises:
        BenchError: The folder is a file or can't be written.
        StoreError: A later write fails, such as on a full disk.
    """

    def __init__(self, root: Path, *, writes: bool = True, emit: Emit = silent) -> None:
        self.root = root
        self.writes = writes
        self.emit = emit
        self._reported: set[str] = set()
        self._claims = Claims()
        if root.exists() and not root.is_dir():
            raise BenchError(f"results folder {root} is a file: choose another by --out")
        if not writes:
            return
        try:
            for folder in ("samples", "records", "logs", "images"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root):
                pass  # the file has no name: a kill leaves nothing behind
        except OSError as error:
            raise BenchError(
                f"results folder {root} can't be written ({error.strerror}): choose another by --out"
            ) from error

    def _report(self, damage: str) -> None:
        if damage not in self._reported:
            self._reported.add(damage)
            self.emit(Notice(damage))

    def try_lock(self, name: str) -> Lock | None:
        """Acquire the lock of that name; None where another process holds it."""
        claim = self._claims.try_claim(self._lock_path(name))
        return None if claim is None else Lock(self._claims, claim)

    @contextmanager
    def locked(self, name: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of that name; ``on_wait`` is called if another process holds it first."""
        claim = self._claims.claim(self._lock_path(name), on_wait)
        try:
            yield
        finally:
            self._claims.release(claim)

    def _lock_path(self, name: str) -> Path:
        path = inside(self.root / "samples", name)
        return path.with_name(f".{name}.lock")

    def batch_path(self, key: str, index: int, size: int) -> Path:
        """File of one batch of samples."""
        return inside(self.root / "samples", key, _batch_name(index, size))

    def write_batch(
        self, key: str, index: int, size: int, outputs: Mapping[str, Tensor], facts: BatchFacts
    ) -> Path:
        """Write the outputs of a batch, a row per sample, whole or not at all; returns the path."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        storages: set[int] = set()
        for name, tensor in sorted(outputs.items()):
            whole = tensor.contiguous()
            # the format holds no tensors that share memory, such as one tensor by two names
            shares = whole.untyped_storage().data_ptr() in storages
            tensors[name] = whole.clone() if shares else whole
            storages.add(tensors[name].untyped_storage().data_ptr())
        text = json.dumps(facts.model_dump(), allow_nan=False)
        metadata = {"facts": text, "crc32": _checksum(tensors, text)}
        path = self.batch_path(key, index, size)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        _replace_locked(path, save(tensors, metadata=metadata))
        return path

    def read_batch(self, key: str, index: int, size: int) -> tuple[dict[str, Tensor], BatchFacts] | None:
        """Outputs of a batch by name, and its facts; None where it is missing.

        A damaged file is reported. A store that writes removes it, so that the batch is made again.
        """
        from safetensors import SafetensorError, safe_open

        path = self.batch_path(key, index, size)
        try:
            check_regular(path)
            with safe_open(path, framework="pt") as handle:
                outputs: dict[str, Tensor] = {name: handle.get_tensor(name) for name in sorted(handle.keys())}
                metadata = handle.metadata()
            sizes = {len(tensor) for tensor in outputs.values()}
            if sizes == {size} and metadata["crc32"] == _checksum(outputs, metadata["facts"]):
                return outputs, BatchFacts.model_validate_json(metadata["facts"])
        except FileNotFoundError:
            return None
        except OSError as error:
            self._report(f"{path} can't be read: {error.strerror or error}")
            return None
        except (SafetensorError, KeyError, TypeError, ValueError):
            pass
        self._report(f"{path} is damaged: removed, to be made again")
        if self.writes:
            path.unlink(missing_ok=True)
        return None

    def has_batch(self, key: str, index: int, size: int, seconds: float) -> bool:
        """Whether a batch has a file, or gets one within seconds, as another machine's is seen late."""
        end = time.monotonic() + seconds
        path = self.batch_path(key, index, size)
        while True:
            # a listing makes a network file system look anew, where the file's own name may be remembered
            with suppress(OSError), os.scandir(path.parent) as entries:
                if any(entry.name == path.name for entry in entries):
                    return True
            if time.monotonic() > end:
                return False
            time.sleep(0.1)

    def stored_batches(self, key: str, batches: Batches) -> bytearray:
        """Which batches have a file, by one listing of their folder; whether it is whole is not checked.

        Args:
            key: Name of the folder.
            batches: The batches.

        Returns:
            1 for each batch that has a file and 0 for the others, a byte for each.
        """
        marks = bytearray(len(batches))
        for index, _ in self._batch_files(key, batches):
            marks[index] = 1
        return marks

    def _batch_files(self, key: str, batches: Batches) -> Iterator[tuple[int, Path]]:
        """Index and path of each file of these batches."""
        folder = inside(self.root / "samples", key)
        try:
            entries = os.scandir(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            self._report(f"{folder} can't be read: {error.strerror}")
            return
        with entries:
            for entry in entries:
                match = BATCH_NAME.fullmatch(entry.name)
                if match is None:
                    continue
                index = int(match[1])
                if index < len(batches) and entry.name == _batch_name(index, batches.size(index)):
                    yield index, folder / entry.name

    def prune(self, key: str, batches: Batches) -> None:
        """Remove the samples of those batches."""
        for _, path in self._batch_files(key, batches):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds batches of other sample counts, or another process removed it
            inside(self.root / "samples", key).rmdir()

    def record_path(self, fingerprint: str) -> Path:
        """File of a run's record."""
        return inside(self.root / "records", f"{fingerprint}.json")

    def write_record(self, record: Record) -> Path:
        """Write a record; the lock of its fingerprint must be held."""
        path = self.record_path(record.fingerprint)
        _replace_locked(path, record.to_json())
        return path

    def read_record(self, fingerprint: str) -> Record | None:
        """A run's record; None where it is missing. One that is damaged or of another version is reported."""
        if not is_safe_name(f"{fingerprint}.json"):
            self._report(f"{self.root / 'records'} has a file that can't be a record: {fingerprint!r}.json")
            return None
        path = self.record_path(fingerprint)
        try:
            record = Record.from_json(read_file(path, MAX_STORED))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._report(f"{path} can't be read: {error.strerror}")
            return None
        except ValueError as error:
            self._report(f"{path} is damaged ({error}): made again by the command that made it")
            return None
        if record.fingerprint == fingerprint:
            return record
        self._report(
            f"{path} is damaged (its fingerprint is another): made again by the command that made it"
        )
        return None

    def records(self) -> list[Record]:
        """All readable records, by title, samples, seed and fingerprint."""
        records = [self.read_record(path.stem) for path in (self.root / "records").glob("*.json")]
        return sorted(
            (record for record in records if record is not None),
            key=lambda record: (record.title, record.samples, record.seed, record.fingerprint),
        )

    def find_record(self, digits: str) -> Record:
        """The record whose fingerprint begins with these digits.

        Raises:
            BenchError: There is none, there are several, or it can't be read.
        """
        names = self.matching(digits)
        if not names:
            raise BenchError(
                f"no fingerprint in {self.root / 'records'} begins with {digits!r}: bench list runs shows "
                "all, --out names another folder"
            )
        if len(names) > 1:
            listing = ", ".join(names[:SHORT]) + (", …" if len(names) > SHORT else "")
            raise BenchError(f"{digits!r} is ambiguous: {listing}; give more digits")
        record = self.read_record(names[0])
        if record is None:
            raise BenchError(
                f"{self.record_path(names[0])} can't be read: the command that made it makes it again"
            )
        return record

    def matching(self, digits: str) -> list[str]:
        """The fingerprints of records that begin with these digits, four hexadecimal ones or more; sorted."""
        if re.fullmatch("[0-9a-f]{4,}", digits) is None:
            return []
        return sorted(path.stem for path in (self.root / "records").glob(f"{digits}*.json"))

    def samples_folder(self, key: str) -> Path:
        """Folder of the samples of a record's ``key``."""
        return inside(self.root / "samples", key)

    def suite_path(self, suite: str, name: str) -> Path:
        """File of a planned suite."""
        return inside(self.root / "suites", suite, f"{name}.json")

    def write_suite(self, plan: SuitePlan) -> Path:
        """Write a planned suite, merged with the plan on disk (`SuitePlan.merged_with`).

        Other seeds of the same samplers stay, and their metrics. Runs of other settings are replaced, which
        is reported.
        """
        path = self.suite_path(plan.suite, plan.name)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self.locked("suites"):
            previous = self._read_suite(path)
            if previous is not None:
                plan, dropped = plan.merged_with(previous)
                if dropped:
                    self._report(
                        f"the plan {plan.suite}/{plan.name} had {dropped} runs of other settings or older "
                        "code: dropped from the table"
                    )
            _replace_locked(path, plan.to_json())
        return path

    def read_suites(self, suite: str) -> list[SuitePlan]:
        """The plans of a suite, sorted by name; a plan that can't be read is reported."""
        folder = inside(self.root / "suites", suite)
        plans = [self._read_suite(path) for path in sorted(folder.glob("*.json"))]
        return [plan for plan in plans if plan is not None]

    def suite_plans(self, suite: str, defined: Collection[str] = ()) -> list[SuitePlan]:
        """The plans of a suite as `read_suites` gives them.

        Args:
            suite: Name of the suite.
            defined: Names of the suites that can be run.

        Raises:
            BenchError: There is none: the suite was not run here, or nothing has that name.
        """
        plans = self.read_suites(suite)
        if plans:
            return plans
        folder = self.root / "suites"
        if list(inside(folder, suite).glob("*.json")):
            raise BenchError(
                f"no plan of suite {suite!r} in {self.root} can be read: "
                f"bench run --suite {suite} makes it again"
            )
        if suite in defined:
            raise BenchError(
                f"no run of suite {suite!r} in {self.root}: bench run --suite {suite} comes first, or choose "
                "another folder by --out"
            )
        planned = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        known = did_you_mean(suite, {*defined, *planned}, "bench list suites")
        raise BenchError(f"unknown suite {suite!r}{known}")

    def _read_suite(self, path: Path) -> SuitePlan | None:
        try:
            plan = SuitePlan.from_json(read_file(path, MAX_STORED))
            if (plan.suite, plan.name) == (path.parent.name, path.stem):
                return plan
            self._report(f"{path} is damaged (its name is another: {plan.suite}/{plan.name}): skipped")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._report(f"{path} can't be read: {error.strerror}")
        except ValueError as error:
            command = f"`bench run --suite {path.parent.name}`"
            self._report(f"{path} is damaged ({error}): made again by {command}")
        return None

    def log_path(self, fingerprint: str) -> Path:
        """File of a failed run's log."""
        return inside(self.root / "logs", f"{fingerprint}.log")

    def write_log(self, fingerprint: str, text: str | bytes) -> Path:
        """Write a failed run's log; its lock must be held."""
        path = self.log_path(fingerprint)
        # a path in a message may hold bytes that are not UTF-8
        _replace_locked(path, text if isinstance(text, bytes) else text.encode(errors="backslashreplace"))
        return path

    def image_path(self, fingerprint: str) -> Path:
        """File of a run's preview."""
        return inside(self.root / "images", f"{fingerprint}.png")

    def write_image(self, fingerprint: str, png: bytes) -> Path:
        """Write a run's preview; its lock must be held."""
        path = self.image_path(fingerprint)
        _replace_locked(path, png)
        return path

    def write_csv(self) -> Path:
        """Write runs.csv anew from the records."""
        path = self.root / "runs.csv"
        with self.locked("csv"):
            _replace_locked(path, runs_csv(self.records()))
        return path


def _checksum(tensors: Mapping[str, Tensor], facts: str) -> str:
    checksum = 0
    for tensor in tensors.values():
        checksum = zlib.crc32(tensor.numpy().tobytes(), checksum)
    return f"{zlib.crc32(facts.encode(), checksum):08x}"


def _replace_locked(path: Path, content: bytes) -> None:
    """`replace_file` under a lock: what a kill of this machine left beside the file is overwritten."""
    replace_file(path, content, locked=True)
