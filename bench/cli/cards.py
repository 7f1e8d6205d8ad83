"""Text about a checkpoint, as the commands print it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.checkpoints.install.states import ABSENT, facts, file_facts, installed
from bench.errors import printable
from bench.plugins.registry import Entry
from bench.reporting.text import amount

if TYPE_CHECKING:
    from bench.checkpoints.cards import Card

COLUMN = 28
"""Characters before a value, where its key is shorter."""

LONGEST = 2000
"""Greatest number of characters of a card's text that are printed."""


def text(entry: Entry) -> str:
    """Everything about a checkpoint, for people."""
    card: Card = entry.thing
    row = facts(entry)
    lines = [f"checkpoint {card.name}, from {_plain(row.distribution)}", f"  {_plain(card.summary)}", ""]
    for key, value in card.model_dump(mode="json", exclude={"name", "summary", "files"}).items():
        if isinstance(value, dict):
            lines += [f"  {key}", *_pairs(value, "")] if value else []
        elif value not in ("", None):
            lines.append(_line(key, value))
    lines += ["", _line("state", row.state), _line("folder", row.folder)]
    manifest = installed(card)
    if manifest is not None and manifest.source:
        lines += [_line("installed from", manifest.source), _line("installed at", manifest.date)]
    for file in file_facts(card):
        lines += ["", _line(file.name, amount(file.bytes))]
        lines.append(f"    sha256 {file.sha256 or ''}".rstrip() + f" ({file.hash})")
        if file.url:
            lines.append(f"    {_plain(file.url)}")
    if row.state in (*ABSENT, "damaged"):
        lines += ["", f"  to get it: {_plain(row.how_to_get)}"]
    return "\n".join(lines)


def _pairs(table: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The lines of a table, ``key = value``; keys of an inner table begin with its name."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"    {printable(prefix + key)} = {_plain(value)}"


def _line(key: str, value: Any) -> str:
    return f"  {f'{printable(key)}  ':<{COLUMN}}{_plain(value)}".rstrip()


def _plain(value: Any) -> str:
    """A value of a card: text without quotes, anything else as JSON has it."""
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LONGEST)
