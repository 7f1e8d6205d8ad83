"""What the commands tell of a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench import cache
from bench.cli.console import amount
from bench.errors import BenchError, printable
from bench.plugins.registry import Entry

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card

COLUMN = 28
"""Characters before a value, where its key is shorter."""

LONGEST = 2000
"""Characters that are shown of a text of a card."""


def _manifest(card: Card) -> dict[str, Any]:
    """What is installed; nothing where that is not to be read, which `state` tells."""
    try:
        return {} if card.shipped else (cache.manifest(card.name) or {})
    except BenchError:
        return {}


def size(card: Card) -> int | None:
    """Bytes of its files as they are here, else as the card says, where it does."""
    installed = _manifest(card).get("files")
    if installed:
        return sum(int(facts["bytes"]) for facts in installed.values())
    sizes = [file.size for file in card.files if file.size is not None]
    return sum(sizes) if len(sizes) == len(card.files) else None


def _levels(card: Card) -> str:
    if card.exact:
        return "any"
    return f"{card.scales} discrete" if card.discrete else "continuous"


def row(entry: Entry) -> dict[str, Any]:
    """A checkpoint in short, as plain data."""
    from bench.checkpoints.install.installer import state

    card: Card = entry.thing
    return {
        "name": card.name,
        "sde": card.sde,
        "noise_levels": _levels(card),
        "predicts": "score (exact)" if card.exact else card.predicts,
        "fid": card.published.get("fid"),
        "bytes": size(card),
        "state": state(card),
        "folder": str(card.folder),
        "how_to_get": card.how_to_get(),
        "summary": card.summary,
        "from": f"{entry.distribution} {entry.version}",
    }


def files(card: Card) -> list[dict[str, Any]]:
    """The card's files with size and hash, as published or as they were taken down."""
    origin = _manifest(card).get("origin", {})
    found = []
    for file in card.files:
        taken = origin.get(file.name, {})
        known = "published" if file.sha256 else "taken down at first installation" if taken else "not known"
        found.append(
            {
                "name": file.name,
                "bytes": file.size or taken.get("bytes"),
                "sha256": file.sha256 or taken.get("sha256"),
                "hash": known,
                "url": file.url,
                "browser": file.browser,
            }
        )
    return found


def whole(entry: Entry) -> dict[str, Any]:
    """All of a checkpoint, as plain data."""
    card: Card = entry.thing
    installed = _manifest(card)
    more = {"files": files(card), "source": installed.get("source"), "date": installed.get("date")}
    return {"card": card.model_dump(mode="json", by_alias=True)} | row(entry) | more


def text(entry: Entry) -> str:
    """All of a checkpoint, to be read."""
    card: Card = entry.thing
    told = whole(entry)
    lines = [f"checkpoint {card.name}, from {_plain(told['from'])}", f"  {_plain(card.summary)}", ""]
    for key, value in card.model_dump(mode="json", exclude={"name", "summary", "files"}).items():
        if isinstance(value, dict):
            lines += [f"  {key}", *_pairs(value, "")] if value else []
        elif value not in ("", None):
            lines.append(_line(key, value))
    lines += ["", _line("state", told["state"]), _line("folder", told["folder"])]
    if told["source"]:
        lines += [_line("installed from", told["source"]), _line("installed at", told["date"])]
    for file in told["files"]:
        lines += ["", _line(file["name"], amount(file["bytes"]))]
        lines.append(f"    sha256 {file['sha256'] or ''}".rstrip() + f" ({file['hash']})")
        if file["url"]:
            lines.append(f"    {_plain(file['url'])}")
    if told["state"] not in ("shipped", "installed"):
        lines += ["", f"  to get it: {_plain(told['how_to_get'])}"]
    return "\n".join(lines)


def _pairs(table: dict[str, Any], prefix: str) -> Iterator[str]:
    """A table's lines, ``key = value``; a table in it has its name before the keys."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"    {printable(prefix + key)} = {_plain(value)}"


def _line(key: str, value: Any) -> str:
    return f"  {f'{printable(key)}  ':<{COLUMN}}{_plain(value)}".rstrip()


def _plain(value: Any) -> str:
    """A value of a card without quotes around it, or as JSON has it."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LONGEST)
