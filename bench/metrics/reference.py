"""Reference statistics: features of a data set, streamed to moments, in one ``.npz`` with its card.

``mu`` (d,), ``sigma`` (d, d) as clean-fid names them; ``features`` (m, d), of m images drawn without bias,
where single images are compared (KID, precision, recall); ``card``, JSON text: data set, n, extractor, its
parameters and hashes, hash of the images, decoder and versions.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from bench import cache
from bench.errors import BenchError, did_you_mean
from bench.files import replace_file
from bench.metrics.features import Extractor, Features, Rounding, shared
from bench.metrics.moments import Moments
from bench.types import Array

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.data.images import Images


Watch = Callable[[str, int, int], None]
"""Told what is being done, how many images of it are behind us, and of how many."""

watching: ContextVar[Watch] = ContextVar("watching", default=lambda *_: None)
"""Who is told of images that are measured because a metric asks for them as its reference."""

ROWS = 10_000
"""Feature rows that a file keeps."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Features of a data set: moments, some rows (None where the file has none), and what they are."""

    mean: Array
    covariance: Array
    rows: Array | None
    card: dict[str, Any]
    sha256: str


def dataset_file(dataset: str, extractor: Extractor) -> Path:
    """Where ``bench stats build`` puts a data set's statistics, and metrics look for them."""
    return cache.root() / "stats" / f"{dataset}_{extractor.label}.npz"


def find(
    name: str,
    extractor: Extractor,
    device: device | None = None,
    rounding: Rounding = "round",
    results: Path = Path("results"),
) -> Path:
    """The statistics file that ``name`` stands for.

    A path of one; a data set that was built or comes along; or images (`bench.data.images`: a folder, an .npz, a
    run), which are measured and kept in the cache under the hash of all that decides their statistics.
    """
    from bench.data.datasets import DATASETS, dataset_name
    from bench.plan.sources import open_images

    path = Path(name).expanduser()
    if path.suffix == ".npz" and not path.is_file():
        raise BenchError(f"reference {name}: there is no such file")
    if path.suffix == ".npz" and holds_statistics(path):
        return path
    dataset = dataset_name(name)
    built = dataset_file(dataset or name, extractor)
    if built.is_file():
        return built
    fingerprint = re.fullmatch("[0-9a-f]{4,}", name) and any((results / "records").glob(f"{name}*.json"))
    if dataset is None and (path.exists() or fingerprint):
        return _of_images(open_images(name, results=results), extractor, device, rounding)
    found = extractor.reference(dataset or name)
    if found is not None:
        return found
    if dataset is None:
        known = did_you_mean(name, DATASETS)
        raise BenchError(f"reference {name!r} is neither a file, a folder or a run, nor a data set{known}")
    raise BenchError(
        f"there are no statistics of {dataset} for the extractor {extractor.label}: "
        f"{building(dataset, extractor)}"
    )


def building(name: str, extractor: Extractor) -> str:
    """The command that makes statistics of a data set, or, where ``name`` is none, of images."""
    from bench.data.datasets import dataset_name

    what, mode = dataset_name(name) or "IMAGES -o FILE.npz", extractor.values().get("mode")
    return f"bench stats build {what} --extractor {extractor.name}" + (f" --mode {mode}" if mode else "")


def _of_images(images: Images, extractor: Extractor, device: device | None, rounding: Rounding) -> Path:
    """The statistics of images, from the cache or measured now."""
    deciding = {
        "images": hashed(images),
        "decoder": images.decoder,
        "extractor": extractor.label,
        "hashes": extractor.provenance(),
        "rounding": rounding,
    }
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]
    path = cache.root() / "stats" / f"images_{extractor.label}_{digest}.npz"
    if not path.is_file():
        if device is None:
            from bench.devices import choose_device

            device = choose_device("auto")
        made = measure_images(images, extractor, device, rounding, f"measuring the reference {images.name}")
        write(path, made)
    return path


def hashed(images: Images) -> str:
    """Hash of images; `watching` is told as it goes."""
    told, done = watching.get(), 0

    def seen(more: int) -> None:
        nonlocal done
        done += more
        told(f"hashing {images.name}", done, images.n)

    return images.sha256(seen)


def measure_images(
    images: Images, extractor: Extractor, device: device, rounding: Rounding, doing: str
) -> Reference:
    """Statistics of images with their whole card; `watching` is told of what is ``doing``."""
    from bench import __version__

    told = watching.get()

    def counted() -> Iterator[Tensor]:
        done = 0
        told(doing, done, images.n)
        for batch in images:
            yield batch
            done += len(batch)
            told(doing, done, images.n)

    found = measure(counted(), extractor, device, rounding, {})
    hashed(images)
    facts = images.facts()
    card = {("dataset" if images.kind == "dataset" else "source"): facts["name"], "kind": facts["kind"]}
    card |= {"images": f"sha256 {facts['sha256']}", "shape": facts["shape"], "decoder": facts["decoder"]}
    made = {
        "device": device.type,
        "bench": __version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return dataclasses.replace(found, card=card | found.card | made)


def holds_statistics(path: Path) -> bool:
    """Whether an .npz is to be read as statistics: it has a mean and a covariance, or is no .npz at all."""
    try:
        with ZipFile(path) as archive:
            return {"mu.npy", "sigma.npy"} <= set(archive.namelist())
    except (OSError, BadZipFile):
        return True


def read(path: Path, extractor: Extractor) -> Reference:
    """The statistics in a file; `BenchError` where they are damaged or of another extractor."""
    found = read_any(path)
    made_with = found.card.get("extractor", extractor.label)
    if made_with != extractor.label:
        raise BenchError(f"{path} is of the extractor {made_with}, not {extractor.label}: build another")
    d = extractor.width
    if found.mean.shape != (d,):
        raise BenchError(
            f"{path} is of {found.mean.size} features, {extractor.label} has {d}: not the same extractor"
        )
    return found


def read_any(path: Path) -> Reference:
    """The statistics in a file, whatever their extractor; `BenchError` where they are damaged."""
    try:
        with np.load(path, allow_pickle=False) as found:
            names = set(found.files)
            if not {"mu", "sigma"} <= names:
                raise BenchError(
                    f"{path} holds no statistics (mu and sigma): bench stats build makes them from images"
                )
            mean, covariance = (np.asarray(found[k], dtype=np.float64) for k in ("mu", "sigma"))
            rows = np.asarray(found["features"], dtype=np.float64) if "features" in names else None
            card = json.loads(str(found["card"])) if "card" in names else {}
    except (OSError, ValueError, TypeError, AttributeError, BadZipFile, EOFError, KeyError) as error:
        raise BenchError(f"{path} is not a statistics file, or damaged: {error}") from error
    d = mean.size
    whole = covariance.shape == (d, d) and (rows is None or rows.shape[1:] == (d,))
    if mean.ndim != 1 or not whole or not isinstance(card, dict):
        raise BenchError(
            f"{path} is damaged: a mean {mean.shape} and a covariance {covariance.shape} don't go together"
        )
    for values in (mean, covariance, rows):
        if values is not None and not np.isfinite(values).all():
            raise BenchError(f"{path} has values that are not finite")
    return Reference(mean, covariance, rows, card, cache.cached_sha256(path))


def write(path: Path, reference: Reference) -> None:
    """Write a statistics file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"mu": reference.mean, "sigma": reference.covariance}
    if reference.rows is not None:
        arrays["features"] = reference.rows.astype(np.float32)
    content = io.BytesIO()
    np.savez(content, **arrays, card=np.array(json.dumps(reference.card)))
    replace_file(path, content.getvalue())


def measure(
    batches: Iterable[Tensor], extractor: Extractor, device: device, rounding: Rounding, card: dict[str, Any]
) -> Reference:
    """Statistics of images (B, C, H, W) on [0, 1]; rows are those of ``ROWS`` images drawn without bias."""
    extract = shared(extractor, device, rounding)
    moments, kept = Moments(), Reservoir(ROWS)
    for images in batches:
        features: Features = extract(images)
        rows = features.rows.double().numpy()
        moments.add(rows)
        kept.add(rows)
    facts = {"n": moments.n, "extractor": extractor.label, "parameters": extractor.values()}
    facts |= {"hashes": extractor.provenance(), "rounding": rounding}
    return Reference(moments.mean, moments.covariance(), kept.rows(), card | facts, "")


class Reservoir:
    """A sample without replacement of ``most`` rows of a stream, each with the same chance (Vitter 1985)."""

    def __init__(self, most: int, seed: int = 0) -> None:
        self._most = most
        self._rng = np.random.default_rng(seed)
        self._kept: list[Array] = []
        self._seen = 0

    def add(self, rows: Array) -> None:
        """Take in rows (n, d)."""
        for row in rows:
            if len(self._kept) < self._most:
                self._kept.append(row.copy())
            else:
                place = int(self._rng.integers(0, self._seen + 1))
                if place < self._most:
                    self._kept[place] = row.copy()
            self._seen += 1

    def rows(self) -> Array:
        """The rows kept (m, d)."""
        return np.stack(self._kept)
