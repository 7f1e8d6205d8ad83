"""The pages of the docs as text: their code, and the sentences that tests hold."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT

DOCS = ROOT / "docs"


@cache
def page(name: str) -> str:
    """A page's Markdown, by its path from the project's root."""
    return (ROOT / name).read_text()


def page_says(name: str, text: str) -> bool:
    """Whether a page holds a text, however its lines are broken."""
    return text in " ".join(page(name).split())


def blocks(name: str) -> dict[str, str]:
    """A page's code behind ``<!-- FILE -->``, by file."""
    pairs = re.findall(r"<!-- (\S+) -->\n\n```\w+\n(.*?)```\n", page(name), re.DOTALL)
    return dict(pairs)


def block(name: str, file: str) -> str:
    """The code of one file on a page."""
    return blocks(name)[file]


def pages() -> list[Path]:
    """README and all Markdown pages of the docs."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
