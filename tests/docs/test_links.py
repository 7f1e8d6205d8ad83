"""Links of the pages lead to files and sections that exist; nothing is fetched."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.pages import DOCS, pages
from tests.support.paths import ROOT

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FILES = [*pages(), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md"]
A_SCREEN_AND_A_HALF = 75
"""Lines."""


@cache
def anchors(path: Path) -> frozenset[str]:
    """The sections of a page, as GitHub and Sphinx name them."""
    titles = HEADING.findall(FENCE.sub("", path.read_text()))
    return frozenset(re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles)


def broken(path: Path) -> list[str]:
    """The links of a file that lead nowhere."""
    problems = []
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (file and not place.is_relative_to(ROOT)):
            problems.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(place):
            problems.append(f"{target}: no such section")
    return problems


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    assert broken(path) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    text = (
        "[a](nowhere.md) [b](#nothing) [c](guide/tables.md#nothing) [d](guide/tables.md) [e](https://x.org)"
    )
    file = tmp_path / "page.md"
    file.write_text(text.replace("guide", str(DOCS / "guide")))
    assert [problem.partition(": ")[2] for problem in broken(file)] == [
        "no such file",
        "no such section",
        "no such section",
    ]


def test_every_page_is_in_the_contents() -> None:
    """By name, or as a page of the docs' own folder by its pattern."""
    contents = re.findall(r"^(\w+/[\w-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE)
    inside = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert sorted(contents) == sorted(
        name for name in inside if "/" in name and not name.startswith("_build")
    )
    assert re.search(r"^\*$", (DOCS / "index.md").read_text(), re.MULTILINE)


def test_the_readme_is_a_screen_and_a_half_with_five_links() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= A_SCREEN_AND_A_HALF
    assert len(re.findall(r"^- .*\]\(", text, re.MULTILINE)) == 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_line_is_a_comment_of_myst(path: Path) -> None:
    """A line that begins with a percent sign is left out of the built pages."""
    lines = FENCE.sub("", path.read_text()).splitlines()
    assert [line for line in lines if line.startswith("%")] == []
