"""``bench new`` on the command line: its mistakes; `tests.testing.test_scaffold` has what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import main
from tests.support.plugins import installed


def new(role: str, name: str) -> int:
    """The exit status of ``bench new``."""
    with pytest.raises(SystemExit) as stopped:
        main(["new", role, name], registry=installed())
    return int(stopped.value.code or 0)


@pytest.mark.parametrize(
    ("role", "name", "message"),
    [
        ("predicter", "x", "unknown role 'predicter' (did you mean 'predictor'?"),
        ("predictor", "two words", "can't be a plugin's name: use letters and digits"),
        ("predictor", "../escape", "can't be a plugin's name"),
        ("predictor", "2fast", "can't be a plugin's name"),
        ("predictor", "lambda", "can't be a plugin's name"),
        ("predictor", "ancestral", "there is a predictor 'ancestral' already, of sampler-bench"),
        ("solver", "numpy", "there is a Python module 'numpy' already"),
        ("sde", "taken", "taken exists already: choose another name, or remove it"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    role: str,
    name: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    assert new(role, name) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert not list((tmp_path / "taken").iterdir())


def test_it_prints_the_files_and_the_next_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new("metric", "my-metric") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    files = ["pyproject.toml", "my_metric.py", "test_my_metric.py", "README.md"]
    assert lines[:4] == [f"my-metric/{file}" for file in files]
    assert lines[-3:-1] == ["pip install -e ./my-metric", "bench check my_metric"]
    assert lines[-1].startswith("bench run ")
