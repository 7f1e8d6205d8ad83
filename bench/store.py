"""Results on disk: atomic, locked, resumable.

OUT/samples/KEY/00000-64.safetensors   one batch: index, size
OUT/records/FINGERPRINT.json           one finished or failed cell
OUT/logs/FINGERPRINT.log               a failed cell's traceback
OUT/images/FINGERPRINT.png             a grid of samples
OUT/runs.csv                           one row per record and metric, made anew from the records
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor

# fmt: off
COLUMNS = (
    "fingerprint", "status", "checkpoint", "sde", "predictor", "corrector", "solver", "steps", "grid", "rho",
    "order", "denoise", "tol", "snr", "parameters", "samples", "batch_size", "seed", "nfe", "metric", "value",
    "error", "exact", "note", "samples_per_second", "network_share", "seconds", "device", "precision",
    "compile", "torch", "created", "commit", "dirty", "reason",
)
# fmt: on


class Store:
    """A results folder; made where it is missing, `BenchError` where it can't be written.

    With ``writes`` false nothing on disk is touched.
    """

    def __init__(self, root: Path, *, writes: bool = True) -> None:
        self.root = root
        if not writes:
            return
        try:
            for folder in ("samples", "records", "logs", "images"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            probe = root / f".probe-{secrets.token_hex(4)}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise BenchError(
                f"results folder {root} can't be written ({error.strerror}): choose another by --out"
            ) from error

    @contextmanager
    def locked(self, name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lock of that name against other processes; ``waiting`` is called if one holds it."""
        from filelock import FileLock, Timeout

        lock = FileLock(str(self.root / "samples" / f".{name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def batch_path(self, key: str, index: int, size: int) -> Path:
        """File of one batch of samples."""
        return self.root / "samples" / key / f"{index:05d}-{size}.safetensors"

    def write_batch(self, key: str, index: int, size: int, images: Tensor, facts: dict[str, Any]) -> None:
        """Put a batch of images (B, C, H, W) float32 on disk, whole or not at all."""
        from safetensors.torch import save

        images = images.contiguous()
        text = json.dumps(facts)
        note = {"facts": text, "crc32": _checksum(images, text)}
        path = self.batch_path(key, index, size)
        path.parent.mkdir(exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)
        _replace(path, save({"images": images}, metadata=note))

    def read_batch(self, key: str, index: int, size: int) -> tuple[Tensor, dict[str, Any]] | None:
        """A batch and its facts; None where it is missing. A damaged file is removed, to be made again."""
        from safetensors import SafetensorError, safe_open

        path = self.batch_path(key, index, size)
        try:
            with safe_open(path, framework="pt") as handle:
                images: Tensor = handle.get_tensor("images")
                note = handle.metadata()
            if len(images) == size and note["crc32"] == _checksum(images, note["facts"]):
                return images, json.loads(note["facts"])
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, TypeError, ValueError):
            pass
        path.unlink(missing_ok=True)
        return None

    def record_path(self, fingerprint: str) -> Path:
        """File of a cell's record."""
        return self.root / "records" / f"{fingerprint}.json"

    def write_record(self, record: dict[str, Any]) -> Path:
        """Put a record on disk."""
        path = self.record_path(record["fingerprint"])
        _replace(path, (json.dumps(record, indent=1) + "\n").encode())
        return path

    def read_record(self, fingerprint: str) -> dict[str, Any] | None:
        """A cell's record; None where it is missing or damaged."""
        try:
            record = json.loads(self.record_path(fingerprint).read_text())
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("fingerprint") == fingerprint else None

    def records(self) -> list[dict[str, Any]]:
        """All records that can be read, by time of making."""
        found = [self.read_record(path.stem) for path in (self.root / "records").glob("*.json")]
        return sorted((r for r in found if r is not None), key=lambda r: (r["created"], r["fingerprint"]))

    def write_log(self, fingerprint: str, text: str) -> Path:
        """Put a failed cell's log on disk."""
        path = self.root / "logs" / f"{fingerprint}.log"
        _replace(path, text.encode())
        return path

    def write_image(self, fingerprint: str, png: bytes) -> Path:
        """Put a cell's grid of samples on disk."""
        path = self.root / "images" / f"{fingerprint}.png"
        _replace(path, png)
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
            _replace(path, text.getvalue().encode())
        return path


def rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A record as rows of runs.csv: one per metric, one in all where the cell failed."""
    identity, provenance = record["identity"], record["provenance"]
    cost = record.get("cost", {})
    parts = {
        role: identity.get(role, {}) for role in ("checkpoint", "sde", "predictor", "corrector", "solver")
    }
    common = (
        record | identity | provenance | cost | {role: part.get("name", "") for role, part in parts.items()}
    )
    common["tol"] = parts["solver"].get("parameters", {}).get("tol", "")
    common["snr"] = parts["corrector"].get("parameters", {}).get("snr", "")
    own = {r: p["parameters"] for r, p in parts.items() if p.get("parameters")}
    common["parameters"] = json.dumps(own, sort_keys=True)
    readings = record.get("metrics", {}) or {"": {}}
    return [common | {"metric": name} | reading for name, reading in readings.items()]


def _checksum(images: Tensor, facts: str) -> str:
    return f"{zlib.crc32(facts.encode(), zlib.crc32(images.numpy().tobytes())):08x}"


def _replace(path: Path, content: bytes) -> None:
    """Write beside, sync, rename: readers see the old file or the whole new one."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
