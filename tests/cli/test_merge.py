"""``bench merge``: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.results.store import Store
from tests.support import made_up
from tests.support.runs import exit_status


def test_merge_says_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        made_up.put(Store(Path(name)), made_up.record(seed=ord(name)))
    assert exit_status("merge", "a", "b", "-o", "c") == 0
    assert capsys.readouterr().out == "c: 2 new records, 0 new files of samples\n"
    assert exit_status("merge", "a", "-o", "c", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"folder": "c", "records": 0, "batches": 0}
    assert exit_status("merge", "nowhere", "-o", "c") == 2
    assert (
        capsys.readouterr().err == "bench: nowhere is no results folder: it has no records and no samples\n"
    )
