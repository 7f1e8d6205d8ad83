"""Results on disk: atomic, locked, resumable.

OUT/samples/KEY/00000-64.safetensors   one batch: index, size
OUT/records/FINGERPRINT.json           one finished or failed cell
OUT/logs/FINGERPRINT.log               a failed cell's traceback
OUT/images/FINGERPRINT.png             a grid of samples
OUT/suites/SUITE/NAME.json             a suite's cells, with their places in its table
OUT/runs.csv                           one row per record and metric, made anew from the records
"""

from __future__ import annotations

import csv
import glob
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import replace_file, writing

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from torch import Tensor


# fmt: off
COLUMNS = (
    "fingerprint", "status", "title", "task", "checkpoint", "sde", "predictor", "corrector", "solver",
    "steps", "grid", "rho", "order", "denoise", "tol", "snr", "parameters", "samples", "batch_size", "seed",
    "nfe", "metric", "value", "error", "exact", "note", "samples_per_second", "network_share", "seconds",
    "device", "precision", "compile", "torch", "created", "commit", "dirty", "reason",
)
# fmt: on


class Store:
    """A results folder; made where it is missing, `BenchError` where it can't be written.

    With ``writes`` false nothing on disk is touched. ``notice`` is told, in a line and once, of what was
    found damaged. `StoreError` where something can't be written.
    """

    def __init__(self, root: Path, *, writes: bool = True, notice: Callable[[str], None] | None = None):
        self.root = root
        self.writes = writes
        self.notice = notice if notice is not None else _ignore
        self._told: set[str] = set()
        if root.exists() and not root.is_dir():
            raise BenchError(f"results folder {root} is a file: choose another by --out")
        if not writes:
            return
        try:
            for folder in ("samples", "records", "logs", "images"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root):
                pass  # it has no name, so that a kill leaves nothing
        except OSError as error:
            raise BenchError(
                f"results folder {root} can't be written ({error.strerror}): choose another by --out"
            ) from error

    def _tell(self, damage: str) -> None:
        if damage not in self._told:
            self._told.add(damage)
            self.notice(damage)

    @contextmanager
    def tried(self, name: str) -> Iterator[bool]:
        """Hold the lock of that name unless another process does; yields whether it is held.

        Its file is removed when what it guards is done, so that folders stay small.
        """
        from filelock import FileLock

        lock = FileLock(self._lock_path(name))
        if not _acquired(lock):
            yield False
            return
        try:
            yield True
            with suppress(OSError):
                Path(lock.lock_file).unlink()
        finally:
            lock.release()

    def _lock_path(self, name: str) -> Path:
        return self.root / "samples" / f".{name}.lock"

    @contextmanager
    def locked(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of that name against other processes; ``waiting`` is called if one holds it."""
        from filelock import FileLock

        lock = FileLock(self._lock_path(name))
        if not _acquired(lock):
            if waiting is not None:
                waiting()
            with writing(Path(lock.lock_file)):
                lock.acquire()
        try:
            yield
            # who waited for it looks again at what it guards, so that its file may go
            with suppress(OSError):
                Path(lock.lock_file).unlink()
        finally:
            lock.release()

    def batch_path(self, key: str, index: int, size: int) -> Path:
        """File of one batch of samples."""
        return self.root / "samples" / key / f"{index:05d}-{size}.safetensors"

    def write_batch(
        self, key: str, index: int, size: int, left: Mapping[str, Tensor], facts: dict[str, Any]
    ) -> Path:
        """Put what a task left of a batch, a row per sample, on disk, whole or not at all; its path."""
        from safetensors.torch import save

        whole = {name: tensor.contiguous() for name, tensor in sorted(left.items())}
        text = json.dumps(facts)
        note = {"facts": text, "crc32": _checksum(whole, text)}
        path = self.batch_path(key, index, size)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        _put(path, save(whole, metadata=note))
        return path

    def read_batch(self, key: str, index: int, size: int) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """A batch's tensors by name, and its facts; None where it is missing.

        A damaged file is told of and, where the store writes, removed, to be made again.
        """
        from safetensors import SafetensorError, safe_open

        path = self.batch_path(key, index, size)
        try:
            with safe_open(path, framework="pt") as handle:
                left: dict[str, Tensor] = {name: handle.get_tensor(name) for name in sorted(handle.keys())}
                note = handle.metadata()
            sizes = {len(tensor) for tensor in left.values()}
            if sizes == {size} and note["crc32"] == _checksum(left, note["facts"]):
                return left, json.loads(note["facts"])
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, TypeError, ValueError):
            pass
        self._tell(f"{path} is damaged: removed, to be made again")
        if self.writes:
            path.unlink(missing_ok=True)
        return None

    def prune(self, key: str, batches: Iterable[tuple[int, int]]) -> None:
        """Remove the samples of those batches."""
        for index, size in batches:
            self.batch_path(key, index, size).unlink(missing_ok=True)
        with suppress(OSError):  # others of other sample counts are in it, or another process was quicker
            (self.root / "samples" / key).rmdir()

    def record_path(self, fingerprint: str) -> Path:
        """File of a cell's record."""
        return self.root / "records" / f"{fingerprint}.json"

    def write_record(self, record: dict[str, Any]) -> Path:
        """Put a record on disk; the lock of its fingerprint must be held."""
        path = self.record_path(record["fingerprint"])
        _put(path, (json.dumps(record, indent=1) + "\n").encode())
        return path

    def read_record(self, fingerprint: str) -> dict[str, Any] | None:
        """A cell's record; None where it is missing or damaged, which is told."""
        path = self.record_path(fingerprint)
        try:
            record = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            record = None
        if isinstance(record, dict) and record.get("fingerprint") == fingerprint:
            return record
        self._tell(f"{path} is damaged: made again by the command that made it")
        return None

    def records(self) -> list[dict[str, Any]]:
        """All records that can be read, by title, samples and fingerprint."""
        found = [self.read_record(path.stem) for path in (self.root / "records").glob("*.json")]
        order = ("title", "samples", "fingerprint")
        return sorted((r for r in found if r is not None), key=lambda r: [r[k] for k in order])

    def suite_path(self, suite: str, name: str) -> Path:
        """File that holds a planned suite's cells and places."""
        return self.root / "suites" / suite / f"{name}.json"

    def write_suite(self, manifest: dict[str, Any]) -> Path:
        """Put a planned suite on disk. Other seeds of the same samplers stay in it, and metrics taken of
        them; that other settings are replaced is told."""
        path = self.suite_path(manifest["suite"], manifest["name"])
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self.locked("suites"):
            before = self._read_suite(path)
            if before is not None:
                manifest, dropped = _merged(before, manifest)
                if dropped:
                    self._tell(
                        f"the plan {manifest['suite']}/{manifest['name']} had {dropped} cells of other "
                        "settings or older code: they are in its table no more"
                    )
            _put(path, (json.dumps(manifest, indent=1) + "\n").encode())
        return path

    def read_suites(self, suite: str) -> list[dict[str, Any]]:
        """Every planned suite of that name, by name; one that can't be read is told of."""
        found = [self._read_suite(path) for path in sorted((self.root / "suites" / suite).glob("*.json"))]
        return [manifest for manifest in found if manifest is not None]

    def _read_suite(self, path: Path) -> dict[str, Any] | None:
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            found = None
        if isinstance(found, dict):
            return found
        self._tell(f"{path} is damaged: made again by `bench run --suite {path.parent.name}`")
        return None

    def write_log(self, fingerprint: str, text: str) -> Path:
        """Put a failed cell's log on disk; its lock must be held."""
        path = self.root / "logs" / f"{fingerprint}.log"
        _put(path, text.encode())
        return path

    def write_image(self, fingerprint: str, png: bytes) -> Path:
        """Put a cell's grid of samples on disk; its lock must be held."""
        path = self.root / "images" / f"{fingerprint}.png"
        _put(path, png)
        return path

    def write_csv(self) -> Path:
        """Make runs.csv anew from the records."""
        path = self.root / "runs.csv"
        with self.locked("csv"):
            text = io.StringIO()
            writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            for record in self.records():
                writer.writerows(rows(record))
            _put(path, text.getvalue().encode())
        return path


def _merged(before: dict[str, Any], manifest: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """A manifest with the other seeds of the one before it, in order, and how many cells did not fit."""

    def place(cell: dict[str, Any]) -> tuple[Any, ...]:
        return cell["sde"], cell["row"], cell["column"]

    cells = manifest["cells"]
    new = {cell["fingerprint"] for cell in cells}
    samplers = {place(cell): cell["sampler"] for cell in cells}
    old = [cell for cell in before.get("cells", []) if cell["fingerprint"] not in new]
    kept = [cell for cell in old if cell.get("sampler") == samplers.get(place(cell), "")]
    known = [metric for metric in before.get("metrics", []) if metric not in manifest["metrics"]]
    metrics = manifest["metrics"] + (known if len(kept) + len(new) >= len(before.get("cells", [])) else [])
    everyone = sorted([*cells, *kept], key=lambda cell: cell["seed"])
    return manifest | {"cells": everyone, "metrics": metrics}, len(old) - len(kept)


def rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A record as rows of runs.csv: one per metric, one in all where the cell failed."""
    identity, provenance = record["identity"], record["provenance"]
    cost = record.get("cost", {})
    parts = {
        role: identity.get(role, {})
        for role in ("task", "checkpoint", "sde", "predictor", "corrector", "solver")
    }
    common = (
        record | identity | provenance | cost | {role: part.get("name", "") for role, part in parts.items()}
    )
    common["exact"] = ""
    common["tol"] = parts["solver"].get("parameters", {}).get("tol", "")
    common["snr"] = parts["corrector"].get("parameters", {}).get("snr", "")
    own = {r: p["parameters"] for r, p in parts.items() if p.get("parameters")}
    common["parameters"] = json.dumps(own, sort_keys=True)
    readings = record.get("metrics", {}) or {"": {}}
    return [common | {"metric": name} | reading for name, reading in readings.items()]


def _checksum(left: Mapping[str, Tensor], facts: str) -> str:
    found = 0
    for tensor in left.values():
        found = zlib.crc32(tensor.numpy().tobytes(), found)
    return f"{zlib.crc32(facts.encode(), found):08x}"


def _put(path: Path, content: bytes) -> None:
    """`replace_file` under a lock: no other writes it, so what a killed process left can be removed."""
    with writing(path):
        for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
            left.unlink(missing_ok=True)
    replace_file(path, content)


def _acquired(lock: BaseFileLock) -> bool:
    """Whether the lock could be had at once; `StoreError` where its file can't be made."""
    from filelock import Timeout

    with writing(Path(lock.lock_file)):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
    return True


def _ignore(said: str) -> None:
    del said
