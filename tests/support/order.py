"""The longest test files first where processes share the tests, so that none works alone on one at the end.

pytest-xdist's own order begins with the files of most tests, and the longest have few. A pytest plugin, used
by the tests' conftest.
"""

from __future__ import annotations

import pytest

from tests.support.paths import ROOT

LONGEST = (
    "testing/test_scaffold_packages.py",
    "engine/test_same_bits.py",
    "engine/test_load.py",
    "plugins/examples/test_example.py",
    "plugins/bench_torchsde/test_solvers.py",
    "engine/test_companions.py",
    "docs/test_paper.py",
    "docs/test_notebook.py",
    "docs/test_examples.py",
    "architecture/test_skips.py",
)
"""Files below ``tests/`` that take longest, the longest first."""


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):  # one process takes them as they come
        return
    ranks = {ROOT / "tests" / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
