"""Imports between the rooms of ``bench`` point down; pyproject.toml lists the layers."""

from __future__ import annotations

import ast
import subprocess
import sys

from tests.support.paths import ROOT
from tests.support.sources import place, python_files, report, tree_of

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def test_imports_point_down() -> None:
    run = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo", "--config", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_room_takes_a_name_from_the_public_border() -> None:
    """``from bench import X`` would load X of any room, where import-linter can't see it."""
    modules = {path.stem for path in (ROOT / "bench").iterdir()} | {"__version__"}
    problems = []
    for file in python_files("bench"):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.ImportFrom) and node.module == "bench" and not node.level:
                names = [alias.name for alias in node.names if alias.name not in modules]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name == "bench"]
            else:
                continue
            problems += [f"{place(file, node.lineno)}: {name}" for name in names]
    assert not problems, report(problems)
