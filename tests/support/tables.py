"""``bench table`` in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli import main

Table = Callable[..., str]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Table:
    """Runs ``bench table`` in an empty folder and gives what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["table", *arguments])
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        return out + err

    return call
