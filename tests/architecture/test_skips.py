"""A test that skips fails the session, unless its reason is listed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.skips import ALLOWED_SKIPS


def session(folder: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A pytest of its own with the plugin, and with xdist but no other installed one."""
    (folder / "test_one.py").write_text(f"import pytest\n{body}\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.skips",
        "-p",
        "xdist.plugin",
        "-p",
        "no:cacheprovider",
        *options,
    ]
    return subprocess.run(
        [*command, "--rootdir", str(folder), "-c", "/dev/null", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )


IN_TEST = "def test_one():\n    pytest.skip('{}')"
IN_MODULE = "pytest.importorskip('no_such_module', reason='{}')"


@pytest.mark.parametrize("body", [IN_TEST, IN_MODULE])
@pytest.mark.parametrize("parallel", [(), ("-n", "1")])
def test_an_unlisted_skip_fails(tmp_path: Path, body: str, parallel: tuple[str, ...]) -> None:
    run = session(tmp_path, body.format("the moon is full"), *parallel)
    assert run.returncode != 0
    assert "the moon is full" in run.stdout


@pytest.mark.parametrize("options", [(), ("--allow-skip", "moon")])
def test_a_listed_skip_passes(tmp_path: Path, options: tuple[str, ...]) -> None:
    run = session(tmp_path, IN_TEST.format("the moon is full" if options else "no GPU here"), *options)
    assert run.returncode == 0, run.stdout


def test_a_passing_session_stays_one(tmp_path: Path) -> None:
    assert session(tmp_path, "def test_one(): pass").returncode == 0


@pytest.mark.parametrize("name", ALLOWED_SKIPS)
def test_every_listed_reason_is_still_in_use(name: str) -> None:
    stem = re.split(r"[.(]", ALLOWED_SKIPS[name])[0].removeprefix("inception/") or "is not here"
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if file != Path(__file__)]
    assert any(stem in file.read_text() for file in files)
