"""What is here of each checkpoint, and how the rest can be had. Nothing here fetches or writes."""

from __future__ import annotations

import dataclasses
from typing import Literal

from bench import cache
from bench.checkpoints.cards import Card
from bench.errors import BenchError
from bench.plugins.registry import Entry
from bench.types import JSONObject, JSONValue

State = Literal["shipped", "installed", "damaged", "pull", "by hand"]
"""``pull``: absent, a program can fetch it; ``by hand``: absent, a person must fetch it."""

ABSENT: tuple[State, ...] = ("pull", "by hand")
"""States of a checkpoint that is not here."""


def fetchable(card: Card) -> bool:
    """Whether a program can fetch all of its files."""
    return all(file.url and not file.browser for file in card.files)


def refuse_unfetchable(card: Card) -> None:
    """`BenchError` that says what a person has to do, where no program can fetch the files."""
    if not fetchable(card):
        raise BenchError(f"checkpoint {card.name} can't be fetched by a program: {card.how_to_get()}")


def state(card: Card) -> State:
    """Whether a checkpoint is here, by its files' sizes alone, and if not how it can be had."""
    if not card.shipped and not (cache.folder(card.name) / cache.MANIFEST).exists():
        return "pull" if fetchable(card) else "by hand"
    try:
        for name, (size, _) in card.contents().items():
            cache.check_file(card.folder / name, size, None, card.name, "")
    except BenchError:
        return "damaged"
    return "shipped" if card.shipped else "installed"


def verify(card: Card) -> tuple[list[str], list[str]]:
    """Hash every file anew.

    Returns:
        What is wrong, a line each; and a line for each file that has no hash to compare with.
    """
    try:
        contents = card.contents()
    except BenchError as error:
        return [str(error)], []
    remedy = "restore it" if card.shipped else card.how_to_get()
    wrong, unknown = [], []
    for name, (size, sha256) in contents.items():
        path = card.folder / name
        try:
            cache.check_file(path, size, None, f"checkpoint {card.name}", remedy)
            actual = cache.sha256_of(path)
        except BenchError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"checkpoint {card.name}: {path} can't be read: {error.strerror}")
        else:
            if sha256 is None:
                unknown.append(f"checkpoint {card.name}: the card has no hash for {path}")
            elif actual != sha256:
                wrong.append(
                    f"checkpoint {card.name}: {path} has sha256 {actual}, not {sha256}; {remedy}",
                )
    return wrong, unknown


def installed(card: Card) -> cache.Manifest | None:
    """What the cache has of a checkpoint; None where that is nothing, or unreadable (see `state`)."""
    try:
        return None if card.shipped else cache.manifest(card.name)
    except BenchError:
        return None


def total_bytes(card: Card) -> int | None:
    """Bytes of its files as they are here, else as the card says; None where neither is known."""
    manifest = installed(card)
    if manifest is not None:
        return sum(file.size for file in manifest.files.values())
    sizes = [file.size for file in card.files if file.size is not None]
    return sum(sizes) if len(sizes) == len(card.files) else None


@dataclasses.dataclass(frozen=True)
class FileFacts:
    """A file of a card, with size and hash as published, or as the first installation recorded them."""

    name: str
    bytes: int | None
    sha256: str | None
    hash: Literal["published", "recorded at first installation", "not known"]
    url: str | None
    browser: bool


def file_facts(card: Card) -> list[FileFacts]:
    """The files of a card."""
    manifest = installed(card)
    facts = []
    for file in card.files:
        recorded = None if manifest is None else manifest.origin.get(file.name)
        facts.append(
            FileFacts(
                name=file.name,
                bytes=file.size or (recorded.size if recorded else None),
                sha256=file.sha256 or (recorded.sha256 if recorded else None),
                hash="published"
                if file.sha256
                else "recorded at first installation"
                if recorded
                else "not known",
                url=file.url,
                browser=file.browser,
            )
        )
    return facts


@dataclasses.dataclass(frozen=True)
class CheckpointFacts:
    """A checkpoint in short: a row of the listing."""

    name: str
    sde: str | None
    noise_levels: str
    predicts: str | None
    fid: JSONValue
    bytes: int | None
    state: State
    folder: str
    how_to_get: str
    summary: str
    distribution: str

    def plain(self) -> JSONObject:
        """The row as JSON has it."""
        row: JSONObject = dataclasses.asdict(self)
        row["from"] = row.pop("distribution")
        return row


def facts(entry: Entry) -> CheckpointFacts:
    """The row of a registered checkpoint."""
    card: Card = entry.thing
    unlimited = "any" if card.exact else "continuous"
    return CheckpointFacts(
        name=card.name,
        sde=card.sde,
        noise_levels=unlimited if card.scales is None else f"{card.scales} discrete",
        predicts="score (exact)" if card.exact else card.predicts,
        fid=card.published.get("fid"),
        bytes=total_bytes(card),
        state=state(card),
        folder=str(card.folder),
        how_to_get=card.how_to_get(),
        summary=card.summary,
        distribution=f"{entry.distribution} {entry.version}",
    )


def all_facts(entry: Entry) -> JSONObject:
    """All that is known of a checkpoint, as JSON has it."""
    card: Card = entry.thing
    manifest = installed(card)
    more: JSONObject = {
        "files": [dataclasses.asdict(file) for file in file_facts(card)],
        "source": None if manifest is None else manifest.source,
        "date": None if manifest is None else manifest.date,
    }
    return {"card": card.model_dump(mode="json", by_alias=True)} | facts(entry).plain() | more
