"""What code a process computes with: its versions, and digests of the files of bench and its plugins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench_ray.code import _files, code_facts, difference


def test_the_facts_name_bench_torch_and_every_package_of_plugins() -> None:
    facts = code_facts()
    assert facts.keys() >= {"bench", "torch", "python", "ray", "bench_local", "bench_tasks"}
    assert facts["bench"].partition(" in ")[2].endswith("/bench")


def test_an_edited_file_is_another_code_and_another_folder_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for folder, text in (("one", "X = 1\n"), ("two", "X = 1\n"), ("three", "X = 2\n")):
        package = tmp_path / folder / "plugin_of_test"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(text)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(package.parent))
            digests.append({"plugin": f"1 {_files('plugin_of_test')}"})
        sys.modules.pop("plugin_of_test", None)
    assert difference(digests[0], digests[1]) == ""
    line = difference(digests[0], digests[2])
    assert line.startswith("plugin 1 ")
    assert str(tmp_path / "one") in line
    assert str(tmp_path / "three") in line


def test_the_difference_is_one_line() -> None:
    ours = {"torch": "2.13.0", "bench": "0.1 a in /x", "mine": "1 b in /x"}
    theirs = {"torch": "2.12.0", "bench": "0.1 a in /y"}
    assert difference(ours, theirs) == "mine 1 b in /x here, missing there; torch 2.13.0 here, 2.12.0 there"
    assert difference(ours, ours) == ""
