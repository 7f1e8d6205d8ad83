"""The tests of the packages that ``bench new`` writes pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.testing import scaffold
from tests.support.plugins import installed


@pytest.mark.timeout(900)  # each package is checked in full
def test_its_own_tests_pass_at_once(tmp_path: Path) -> None:
    """In one process for all roles, with the packages' folders on the path of imports."""
    for role in scaffold.ROLES:
        scaffold.create(role, f"fresh-{role}", tmp_path, installed())
    folders = [str(path) for path in sorted(tmp_path.iterdir())]
    paths = [*folders, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            *folders,
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert f"{len(scaffold.ROLES)} passed" in process.stdout
