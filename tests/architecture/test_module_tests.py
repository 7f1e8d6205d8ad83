"""Every module has a test file of its own name, in the same folder of ``tests/``."""

from __future__ import annotations

from pathlib import Path

from tests.support.order import LONGEST
from tests.support.paths import ROOT
from tests.support.sources import place, python_files, report


def _test_of(file: Path) -> Path:
    """``bench/plan/suites.py`` -> ``tests/plan/test_suites.py``; plugins lie in ``tests/plugins/``."""
    folder = file.parent.relative_to(ROOT / "bench") if file.is_relative_to(ROOT / "bench") else None
    return ROOT / "tests" / (folder or file.parent.relative_to(ROOT)) / f"test_{file.stem}.py"


def test_every_module_has_a_test_file_of_its_name() -> None:
    modules = [
        file
        for file in python_files("bench", "plugins")
        if not file.stem.startswith("__") and not file.is_relative_to(ROOT / "plugins/examples")
    ]
    assert modules
    problems = [
        f"{place(file)}: no {place(_test_of(file))}" for file in modules if not _test_of(file).is_file()
    ]
    assert not problems, report(problems)


def test_the_files_that_come_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
