"""Reference statistics: moments and some rows of a data set's features, in an ``.npz`` with a card.

Arrays: ``mu`` (d,) and ``sigma`` (d, d), by the names that clean-fid uses; ``features`` (m, d), rows of m
images drawn without bias, for metrics that compare single images (KID, precision, recall); ``card``, JSON
text with data set, n, extractor, its parameters and hashes, hash of the images, decoder and versions.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import cache
from bench.data.arrays import ArrayHeader, open_arrays
from bench.data.sources import UnknownSourceError
from bench.data.splits import find_split, split_names
from bench.errors import BenchError, did_you_mean, printable
from bench.events import Advance
from bench.files import MAX_SETTINGS, inside, is_safe_name, parse_json, replace_file, user_path
from bench.metrics.features import MAX_WIDTH, Extractor, Rounding, check_extractor
from bench.metrics.moments import Moments
from bench.types import Array, JSONObject

if TYPE_CHECKING:
    from torch import Tensor

    from bench.data.images import Images
    from bench.metrics.context import MetricContext


WHAT = "a statistics file"

ROWS = 10_000
"""Greatest number of feature rows in a file."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Statistics of a data set's features, which metrics compare with.

    Args:
        mean: Mean of the features, (d,), float64.
        covariance: Their unbiased covariance, (d, d).
        rows: Features (m, d) of m images drawn without bias; None where the file has none.
        card: Data set or source, n, extractor, hashes and versions, as JSON data; empty for a file of another
            program.
        sha256: SHA-256 of the file; empty for statistics that are not in a file.
    """

    mean: Array
    covariance: Array
    rows: Array | None
    card: JSONObject
    sha256: str


def dataset_file(dataset: str, extractor: Extractor) -> Path:
    """Where ``bench stats build`` puts a data set's statistics, and metrics look for them."""
    return inside(cache.root() / "stats", f"{dataset}_{extractor.label}.npz")


def find_statistics(name: str, extractor: Extractor, rounding: Rounding, context: MetricContext) -> Path:
    """The statistics file that ``name`` stands for.

    In this order: a statistics file; statistics of a data set that were built or come with the extractor;
    images, and data sets that are at hand, which are measured and kept in the cache under the hash of
    everything that decides the result.
    """
    path = user_path(name)
    if path.suffix == ".npz" and not path.exists():
        raise BenchError(f"reference {name}: there is no such file")
    if path.suffix == ".npz" and holds_statistics(path):
        return path
    split = find_split(name, context.registry)
    full = name if split is None else split.name
    at_hand = split is not None and split.dataset.at_hand
    if not at_hand and is_safe_name(full):
        built = dataset_file(full, extractor)
        if built.is_file():
            return built
    if split is None and path.exists():
        return _statistics_of_images(context.images(name), extractor, rounding, context)
    shipped = extractor.reference(full, context.emit)
    if shipped is not None:
        return shipped
    if split is not None and not at_hand:
        raise BenchError(
            f"there are no statistics of {full} for the extractor {extractor.label}: "
            f"{build_command(full, extractor)}"
        )
    try:
        images = context.images(name)
    except UnknownSourceError as error:
        known = did_you_mean(name, split_names(context.registry), "bench list datasets")
        raise BenchError(
            f"reference {name!r} is neither a file, a folder or a run, nor a data set{known}"
        ) from error
    return _statistics_of_images(images, extractor, rounding, context)


def build_command(dataset: str | None, extractor: Extractor) -> str:
    """The command that makes reference statistics.

    Args:
        dataset: Full name of a data set, such as from `MetricContext.dataset_name`; None for other images.
        extractor: Extractor of the features.

    Returns:
        A line such as ``bench stats build cifar10-train --extractor inception``.
    """
    source = dataset or "IMAGES -o FILE.npz"
    parameters = "".join(f" -P extractor.{key}={value}" for key, value in extractor.changed().items())
    return f"bench stats build {source} --extractor {extractor.name}{parameters}"


def _statistics_of_images(
    images: Images, extractor: Extractor, rounding: Rounding, context: MetricContext
) -> Path:
    """The statistics of images, from the cache or measured now."""
    path = images_file(images, extractor, rounding, context)
    if not path.is_file():
        phase = f"measuring the reference {images.name}"
        write_statistics(path, measure_images(images, extractor, rounding, context, phase))
    return path


def images_file(images: Images, extractor: Extractor, rounding: Rounding, context: MetricContext) -> Path:
    """Where statistics of images are kept: in the cache, under the hash of all that decides them."""
    deciding = {
        "images": images.sha256(context.emit),
        "decoder": images.decoder,
        "extractor": extractor.label,
        "hashes": extractor.provenance(),
        "code": context.code_of(extractor),
        "rounding": rounding,
    }
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]
    return inside(cache.root() / "stats", f"images_{extractor.label}_{digest}.npz")


def measure_images(
    images: Images, extractor: Extractor, rounding: Rounding, context: MetricContext, phase: str
) -> Reference:
    """Statistics of images with their whole card; ``phase`` is what progress is reported as."""
    from bench import __version__

    check_extractor(extractor, images.shape)

    def counted() -> Iterator[Tensor]:
        done = 0
        context.emit(Advance(phase, done, images.n, "images"))
        for batch in images:
            yield batch
            done += len(batch)
            context.emit(Advance(phase, done, images.n, "images"))

    statistics = measure_features(counted(), extractor, rounding, context)
    facts = images.facts(context.emit)
    card: JSONObject = {
        ("dataset" if images.kind == "dataset" else "source"): facts["name"],
        "kind": facts["kind"],
        "images": f"sha256 {facts['sha256']}",
        "shape": facts["shape"],
        "decoder": facts["decoder"],
        **statistics.card,
        "device": context.device.type,
        "bench": __version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return dataclasses.replace(statistics, card=card)


def holds_statistics(path: Path) -> bool:
    """Whether an ``.npz`` is read as statistics: it has a mean and a covariance, or is damaged."""
    try:
        with open_arrays(path, WHAT) as (_, arrays):
            return {"mu", "sigma"} <= arrays.headers.keys()
    except BenchError:
        return True


def read_statistics(path: Path, extractor: Extractor) -> Reference:
    """The statistics in a file; `BenchError` where they are damaged or of another extractor."""
    statistics = read_any_statistics(path)
    made_with = statistics.card.get("extractor", extractor.label)
    if made_with != extractor.label:
        raise BenchError(f"{path} is of the extractor {made_with}, not {extractor.label}: build another")
    d = extractor.width
    if d is not None and statistics.mean.shape != (d,):
        raise BenchError(
            f"{path} is of {statistics.mean.size} features, {extractor.label} has {d}: not the same extractor"
        )
    return statistics


def read_any_statistics(path: Path) -> Reference:
    """The statistics in a file, whatever their extractor; `BenchError` where they are damaged."""
    with open_arrays(path, WHAT) as (_, arrays):
        headers = arrays.headers
        if not {"mu", "sigma"} <= headers.keys():
            raise BenchError(
                f"{path} holds no statistics (mu and sigma): bench stats build makes them from images"
            )
        _check_headers(headers)
        mean, covariance = (np.asarray(arrays.read(k), dtype=np.float64) for k in ("mu", "sigma"))
        rows = np.asarray(arrays.read("features"), dtype=np.float64) if "features" in headers else None
        card = parse_json(str(arrays.read("card"))) if "card" in headers else {}
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


def _check_headers(headers: Mapping[str, ArrayHeader]) -> None:
    """`ValueError` where the arrays are larger than statistics are, or not numbers; nothing is read."""
    largest = {"mu": (MAX_WIDTH,), "sigma": (MAX_WIDTH, MAX_WIDTH), "features": (ROWS, MAX_WIDTH)}
    for name, most in largest.items():
        header = headers.get(name)
        if header is None:
            continue
        if header.dtype.kind not in "fiu":
            raise ValueError(f"{name} is of type {printable(str(header.dtype), 40)}, not of numbers")
        if any(length > limit for length, limit in zip(header.shape, most, strict=False)):
            raise ValueError(f"{name} has the shape {header.shape}, larger than {most}")
        if len(header.shape) != len(most):
            raise ValueError(f"{name} has the shape {header.shape}, not of {len(most)} dimensions")
    card = headers.get("card")
    if card is not None and (card.dtype.kind != "U" or card.shape or card.nbytes > MAX_SETTINGS):
        raise ValueError("card is not a text, or too long")


def write_statistics(path: Path, reference: Reference) -> None:
    """Write a statistics file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"mu": reference.mean, "sigma": reference.covariance}
    if reference.rows is not None:
        arrays["features"] = reference.rows.astype(np.float32)
    content = io.BytesIO()
    np.savez(content, **arrays, card=np.array(json.dumps(reference.card)))
    replace_file(path, content.getvalue())


def measure_features(
    batches: Iterable[Tensor], extractor: Extractor, rounding: Rounding, context: MetricContext
) -> Reference:
    """Statistics of batches (B, *shape) on the unit range; the card tells n and the extractor.

    The rows are those of at most `ROWS` images drawn without bias.
    """
    read = context.features(extractor, rounding)
    moments, reservoir = Moments(), Reservoir(ROWS)
    for images in batches:
        rows = read(images).rows.double().numpy()
        moments.add(rows)
        reservoir.add(rows)
    card: JSONObject = {
        "n": moments.n,
        "extractor": extractor.label,
        "parameters": extractor.values(),
        "hashes": dict(extractor.provenance()),
        "rounding": rounding,
    }
    return Reference(moments.mean, moments.covariance(), reservoir.rows(), card, "")


class Reservoir:
    """At most ``size`` rows of a stream, drawn without replacement, each with the same probability.

    Args:
        size: Greatest number of rows.
        seed: Seed of the random draws.

    Source: Vitter (1985), algorithm R.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._rng = np.random.default_rng(seed)
        self._rows: list[Array] = []
        self._n = 0

    def add(self, rows: Array) -> None:
        """Offer the next rows of the stream.

        Args:
            rows: Features (n, d).
        """
        for row in rows:
            if len(self._rows) < self._size:
                self._rows.append(row.copy())
            else:
                place = int(self._rng.integers(0, self._n + 1))
                if place < self._size:
                    self._rows[place] = row.copy()
            self._n += 1

    def rows(self) -> Array:
        """The drawn rows.

        Returns:
            Features (m, d), with m at most ``size``.
        """
        return np.stack(self._rows)
