"""Whether a data set is what it declares: shapes, range, numbers of items, the same each time it is read."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import math
import pickle
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from bench.data.dataset import Dataset
from bench.data.images import Images
from bench.events import silent
from bench.testing.duties import parameters
from bench.testing.report import Finding, guard, verdict

BATCHES = (250, 97)
"""Items per batch of the two readings that are compared."""
LEARN, JUDGE = ("train",), ("test", "valid", "validation", "val")
"""Names of splits that must not share items."""
SHARED = 0.2
"""Greatest share of the items of a split to judge by that are to learn from: well-known sets have a few."""
FAR = 0.01
"""Greatest share of values that lie far off the unit range: below -1 or above 2."""


@dataclasses.dataclass
class Reading:
    """What one pass over a split gave.

    Args:
        images: The split, open.
    """

    images: Images
    shapes: set[tuple[int, ...]] = dataclasses.field(default_factory=set)
    dtypes: set[torch.dtype] = dataclasses.field(default_factory=set)
    sizes: list[int] = dataclasses.field(default_factory=list)
    low: float = math.inf
    high: float = -math.inf
    far: int = 0
    values: int = 0
    finite: bool = True
    digest: str = ""
    digests: set[bytes] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        whole = hashlib.sha256()
        for batch in self.images:
            self.shapes.add(tuple(batch.shape[1:]))
            self.dtypes.add(batch.dtype)
            self.sizes.append(len(batch))
            self.finite = self.finite and bool(batch.isfinite().all())
            self.low, self.high = min(self.low, float(batch.min())), max(self.high, float(batch.max()))
            self.far += int(((batch < -1) | (batch > 2)).sum())
            self.values += batch.numel()
            for item in batch.numpy():
                one = hashlib.sha256(np.ascontiguousarray(item).data).digest()
                whole.update(one)
                self.digests.add(one[:16])
        self.digest = whole.hexdigest()


def check_dataset(dataset: Dataset) -> Iterator[Finding]:
    """All checks; each split is read four times."""
    yield from guard("parameters", lambda: parameters(dataset))
    yield from guard("names", lambda: names(dataset))
    hashes: dict[str, str] = {}
    digests: dict[str, set[bytes]] = {}
    for split in dataset.splits:
        check = functools.partial(check_split, dataset, split, hashes, digests)
        yield from guard(split, check)
    twice = sorted(split for split in hashes if list(hashes.values()).count(hashes[split]) > 1)
    if len(dataset.splits) > 1:
        measured = f"{' and '.join(twice)} hold the same items" if twice else f"{len(hashes)} hashes"
        yield verdict("splits differ", not twice, measured, "a hash for each split")
    yield from apart(digests)


def apart(digests: Mapping[str, set[bytes]]) -> Iterator[Finding]:
    """What a split to judge by shares with one to learn from.

    Items are compared bit by bit. Those that are in a split twice count once.

    Args:
        digests: A hash of each distinct item, by split.
    """
    for learn, judge in itertools.product(LEARN, JUDGE):
        if digests.get(learn) and digests.get(judge):
            share = len(digests[learn] & digests[judge]) / len(digests[judge])
            measured = f"{100 * share:.2g} % of {judge} is in {learn}"
            required = f"at most {100 * SHARED:g} %"
            yield verdict(f"{judge} apart from {learn}", share <= SHARED, measured, required, share=share)


def names(dataset: Dataset) -> Iterator[Finding]:
    """There are splits, and users can type their names; license and source are stated."""
    wrong = [f"the split {split!r} has a hyphen" for split in dataset.splits if "-" in split]
    wrong += [f"{key} is empty" for key in ("licence", "source", "splits") if not getattr(dataset, key)]
    splits = ", ".join(f"{dataset.name}-{split}" for split in dataset.splits)
    required = "splits without a hyphen, a license, a source"
    yield verdict("names", not wrong, wrong[0] if wrong else splits, required)


def check_split(
    dataset: Dataset, split: str, hashes: dict[str, str], digests: dict[str, set[bytes]]
) -> Iterator[Finding]:
    """The checks of one split; its hash goes into ``hashes``, those of its items into ``digests``."""
    images = dataset.open(split, BATCHES[0], silent)
    first = Reading(images)
    hashes[split], digests[split] = images.sha256(), first.digests
    yield from items(dataset, split, first)
    yield from unit_range(split, first)
    other = dataset.open(split, BATCHES[1], silent)
    second = Reading(other)
    again = Reading(images)
    same = first.digest == again.digest == second.digest
    hashed = hashes[split] == other.sha256()
    measured = "the same items" if same else "other items"
    measured += " and hash" if hashed else ", another hash"
    required = "the same when read again, and in batches of another size"
    yield verdict(f"{split}: read again", same and hashed, measured, required)
    content = pickle.dumps(images)
    limit = max(10_000, first.values)  # a quarter of the items as floats
    same = Reading(pickle.loads(content)).digest == first.digest
    measured = f"{'the same' if same else 'other'} items from a pickle of {len(content):,} bytes"
    required = f"the same items, from {limit:,} bytes or fewer: the pickle holds none of them"
    yield verdict(f"{split}: to another process", same and len(content) <= limit, measured, required)


def items(dataset: Dataset, split: str, reading: Reading) -> Iterator[Finding]:
    """Shape, type and number of the items are the declared ones."""
    images, declared = reading.images, dataset.splits[split]
    n, wrong = sum(reading.sizes), []
    if reading.shapes != {images.shape} or dataset.shape not in (None, images.shape):
        wrong.append(f"shapes {sorted(reading.shapes)}")
    if reading.dtypes != {torch.float32}:
        wrong.append(f"{', '.join(map(str, reading.dtypes))}")
    if n != images.n or declared not in (None, n):
        wrong.append(f"{n:,} items where {images.n if n != images.n else declared:,} are declared")
    if reading.sizes != images.sizes():
        wrong.append("batches of other sizes than `sizes` says")
    shape = "x".join(map(str, dataset.shape or images.shape))
    measured = ", ".join(wrong) or f"{n:,} items of {shape}"
    required = f"float32 of {shape}" + ("" if declared is None else f", {declared:,} items")
    yield verdict(f"{split}: items", not wrong, measured, required, n=n)


def unit_range(split: str, reading: Reading) -> Iterator[Finding]:
    """The values are finite, spread, and on the unit range but for a few: `data_range` is right."""
    share = reading.far / max(reading.values, 1)
    good = reading.finite and share <= FAR and reading.high - reading.low > 0.05
    measured = f"{reading.low:.3g} to {reading.high:.3g}" if reading.finite else "values that are not finite"
    yield verdict(
        f"{split}: range",
        good,
        measured,
        "finite, on about [0, 1] after (x - low) / (high - low)",
        low=reading.low,
        high=reading.high,
    )
