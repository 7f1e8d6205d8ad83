"""``python -m bench``, and how a command ends when its reader leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.cli import cli


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE there")
def test_a_reader_that_leaves_is_no_failure_of_the_command(tmp_path: Path) -> None:
    """SIGPIPE ends the command, as it does any other; there is no traceback and no status of its own."""
    code = "import os, time; from bench.cli import main; time.sleep(0.5); main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "list", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == -signal.SIGPIPE
    assert "Traceback" not in errors


def test_python_dash_m_bench_is_the_command() -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    version = call("--version")
    assert (version.returncode, version.stdout.startswith("bench, version ")) == (0, True)
    mistake = call("rnu")
    assert mistake.returncode == 2
    assert mistake.stderr.startswith("bench: No such command 'rnu'")


def every_group(group: click.Group) -> list[click.Group]:
    """A command with subcommands, and those of its subcommands that have some."""
    inner = [one for one in group.commands.values() if isinstance(one, click.Group)]
    return [group, *(deeper for one in inner for deeper in every_group(one))]


@pytest.mark.parametrize("group", every_group(cli), ids=lambda group: group.name)
def test_the_list_of_commands_cuts_no_sentence(group: click.Group) -> None:
    """At 80 columns a line per command; click would end a longer summary by three dots."""
    output = CliRunner().invoke(group, ["--help"], terminal_width=80).output
    lines = output.partition("Commands:\n")[2].splitlines()
    assert len(lines) == len(group.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
