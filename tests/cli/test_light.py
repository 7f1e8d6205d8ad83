"""The command line answers at once: it loads no heavy library before a command needs it."""

from __future__ import annotations

import subprocess
import sys

from bench.files import REGISTRY

HEAVY = ("torch", "requests", "pandas", "matplotlib", "scipy", "torchdiffeq", "torchsde", "cleanfid")
LIGHT = [["--help"], ["run", "--help"], ["list"], ["list", "--json"], ["show", "langevin"]]
LIGHT += [["list", "runs"], ["show", "profile", "quick"]]
LIGHT += [["checkpoints", "list"], ["checkpoints", "show", "cifar10-tiny"]]
LIGHT += [["fid", "--help"], ["stats", "build", "--help"]]
LIGHT += [["stats", "show", str(REGISTRY / "stats" / "cifar10-train_cifar10-features.npz")]]


READING = [["table", "--out", "none"], ["compare", "none", "none", "--out", "none"]]
"""Commands that read records, here of a folder that is not there: exit status 2."""


def test_listing_and_help_load_no_heavy_library() -> None:
    """The promise to answer at once, without a clock."""
    code = f"""
import sys
from bench.cli import main
for arguments in {LIGHT + READING!r}:
    try:
        main(arguments)
    except SystemExit as stop:
        assert stop.code == 2 * (arguments in {READING!r}), (arguments, stop.code)
    print("LOADED", [m for m in {HEAVY!r} if m in sys.modules])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    lines = [line for line in process.stdout.splitlines() if line.startswith("LOADED")]
    assert lines == ["LOADED []"] * len(LIGHT + READING)
