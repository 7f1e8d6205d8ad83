"""The project's Python sources, for tests of what they say."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from pathlib import Path

from tests.support.paths import ROOT

FOLDERS = ("bench", "plugins", "registry/recipes", "tests")


def python_files(*folders: str) -> list[Path]:
    """Every Python file below folders of the project, sorted."""
    return sorted(file for folder in folders or FOLDERS for file in (ROOT / folder).rglob("*.py"))


@functools.cache
def tree_of(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(file.read_bytes(), str(file))


def place(file: Path, line: int | None = None) -> str:
    """A file relative to the project, with a line: ``bench/errors.py:12``."""
    name = file.relative_to(ROOT).as_posix()
    return name if line is None else f"{name}:{line}"


def report(problems: Iterable[str]) -> str:
    """One problem a line, with their number: what a failing test prints."""
    lines = list(problems)
    return "\n".join([f"{len(lines)} in all:", *lines])
