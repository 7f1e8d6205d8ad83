"""The Python sessions of the docs print what stands there."""

from __future__ import annotations

import doctest
import re
import warnings
from pathlib import Path

import pytest

from tests.support.pages import pages
from tests.support.paths import ROOT

SESSION = re.compile(r"```pycon\n(.*?)```", re.DOTALL)


def sessions(path: Path) -> str:
    """A page's sessions, one after another."""
    return "\n".join(SESSION.findall(path.read_text()))


@pytest.mark.parametrize(
    "page", [path.relative_to(ROOT).as_posix() for path in pages() if ">>> " in path.read_text()]
)
def test_a_session_prints_what_stands_there(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = sessions(ROOT / page)
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert len(test.examples) == (ROOT / page).read_text().count(">>> ")
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    with warnings.catch_warnings():
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def test_there_are_sessions() -> None:
    assert sum(">>> " in path.read_text() for path in pages()) >= 2
