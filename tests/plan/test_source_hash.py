"""The code hash of a plugin: its module and what that takes from its own package, nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.plan.source_hash import plugin_hash

FILES = {
    "__init__.py": "",
    "sampler.py": "import math\nfrom .helper import gain\nfrom mine_of_hash import table\nclass Mine: ...\n",
    "helper.py": "def gain():\n    from mine_of_hash.deep.far import weight\n    return weight\n",
    "table.py": "rows = 1\n",
    "unused.py": "other = 1\n",
    "deep/__init__.py": "",
    "deep/far.py": "weight = 2\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "mine_of_hash"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine_of_hash"]:
        del sys.modules[name]


def hashed() -> str:
    plugin_hash.cache_clear()
    found = plugin_hash(importlib.import_module("mine_of_hash.sampler").Mine)
    plugin_hash.cache_clear()
    return found


@pytest.mark.parametrize("changed", ["sampler.py", "helper.py", "table.py", "deep/far.py"])
def test_an_edit_of_what_it_imports_from_its_package_is_another_sampler(package: Path, changed: str) -> None:
    before = hashed()
    (package / changed).write_text(FILES[changed] + "# edited\n")
    assert hashed() != before


def test_an_edit_elsewhere_is_not(package: Path) -> None:
    before = hashed()
    (package / "unused.py").write_text("other = 2\n")
    assert hashed() == before
    assert len(before) == 16


def test_code_that_has_no_file_is_unknown() -> None:
    made = type("Made", (), {"__module__": "nowhere_at_all"})
    assert plugin_hash(made) == "unknown"
