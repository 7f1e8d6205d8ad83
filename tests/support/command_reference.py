"""The command reference, from the commands themselves.

python -m tests.support.command_reference

writes docs/reference/commands.md; a test compares the page with the commands.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from bench.cli import cli
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "commands.md"

OPENING = """# Commands

`python -m tests.support.command_reference` makes this page of what `bench COMMAND --help` prints.
`python -m bench` is the same command. Every command takes `-h` and `--help`;
`bench --version` prints the version.
"""


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands by what users type, such as ``bench stats build``; a group before its own."""
    for name, command in sorted(group.commands.items()):
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def prose(text: str) -> str:
    """A command's help as Markdown: paragraphs that click may not rewrap are code."""
    blocks = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if lines[0].strip() == "\b":
            blocks.append("\n".join(f"    {line}".rstrip() for line in lines[1:]))
        else:
            blocks.append(" ".join(line.strip() for line in lines))
    return "\n\n".join(blocks)


def cell(text: str) -> str:
    """A text within a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def section(path: str, command: click.Command) -> str:
    """The section of a command: usage, help, and a table of its options."""
    context = click.Context(command, info_name=path)
    pieces = " ".join(command.collect_usage_pieces(context))
    lines = [f"## {path}", "", f"    {path} {pieces}", "", prose(command.help or "")]
    records = [
        record
        for option in command.get_params(context)
        if (record := option.get_help_record(context)) and record[1] and not record[0].endswith("--help")
    ]
    if records:
        lines += ["", "| option | what it does |", "|---|---|"]
        lines += [f"| `{flags.replace('|', '/')}` | {cell(text)} |" for flags, text in records]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The page."""
    return "\n".join([OPENING, *(section(path, command) for path, command in commands(cli, "bench"))])


if __name__ == "__main__":
    PAGE.write_text(reference())
