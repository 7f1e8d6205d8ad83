"""Every command, flag and public name in the docs exists, and every one that exists is in the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import click
import pytest

import bench
from bench.cli import cli
from tests.support.command_reference import commands, reference
from tests.support.pages import page, pages
from tests.support.paths import ROOT
from tests.support.plugins import installed

COMMANDS = "docs/reference/commands.md"
API = "docs/reference/api.md"


@cache
def known() -> dict[str, click.Command]:
    """All commands by what users type."""
    return dict(commands(cli, "bench")) | {"bench": cli}


@cache
def flags(path: str) -> frozenset[str]:
    """The flags of a command."""
    context = click.Context(known()[path])
    parts = [
        part
        for option in known()[path].get_params(context)
        for part in (*option.opts, *option.secondary_opts)
    ]
    return frozenset(part for part in parts if part.startswith("-"))


def command_lines() -> Iterator[tuple[str, str]]:
    """The command lines of the pages, each with its page: lines of code, and code within a line."""
    for path in [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md"]:
        name = path.relative_to(ROOT).as_posix()
        if name == COMMANDS:  # made of the commands
            continue
        text = path.read_text()
        code = re.findall(r"^ {4}(?:\S+/)?((?:python -m )?bench [a-z-].*)$", text, re.MULTILINE)
        code += re.findall(r"`((?:python -m )?bench [a-z-][^`]*)`", text)
        for line in code:
            yield name, " ".join(line.removeprefix("python -m ").split())


def problem(line: str) -> str:
    """What a command line names that there is not; empty where all of it exists."""
    words = line.split()
    path = words.pop(0)
    while words and f"{path} {words[0]}" in known():
        path = f"{path} {words.pop(0)}"
    if isinstance(known()[path], click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        return f"no command {path} {words[0]}"
    for word in words:
        flag = word.partition("=")[0].rstrip(",;:.)")
        if re.fullmatch(r"-{1,2}[A-Za-z][a-z-]*", flag) and flag not in flags(path) | {
            "--help",
            "-h",
            "--version",
        }:
            return f"{path} has no flag {flag}"
    return ""


def test_every_command_line_of_the_docs_exists() -> None:
    lines = list(command_lines())
    assert len(lines) > 100
    assert [f"{name}: {line}: {problem(line)}" for name, line in lines if problem(line)] == []


@pytest.mark.parametrize(
    "line", ["bench rum", "bench run --stepz 3", "bench stats biuld x", "bench table --json --flag=3"]
)
def test_what_does_not_exist_is_seen(line: str) -> None:
    assert problem(line)


def test_every_flag_named_alone_is_of_some_command() -> None:
    every = {flag for path in known() for flag in flags(path)} | {"--help", "--version"}
    others = {
        "--all-plants", "--allow-skip", "--minutes", "--seed", "--out", "--name", "--index-url",
        "--torch-backend", "--resolution", "--nproc-per-node", "--ntasks", "--gpus-per-task",
        "--head", "--no-deps",
    }  # fmt: skip
    unknown = [
        f"{path.relative_to(ROOT)}: {flag}"
        for path in pages()
        for code in re.findall(r"`([^`\n]+)`", path.read_text())
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", code)
        if flag not in every | others
    ]
    assert unknown == []


def test_every_parameter_named_by_its_role_exists() -> None:
    """`-P ROLE.NAME` of the pages, against the parameters of that role's plugins."""
    by_role: dict[str, set[str]] = {}
    for (kind, _), (entry, *_) in installed().entries.items():
        if isinstance(entry.thing, type) and issubclass(entry.thing, bench.Plugin):
            by_role.setdefault(kind.removesuffix("s"), set()).update(p.name for p in entry.thing.parameters())
    for path in pages():
        text = path.read_text()
        own = set(re.findall(r"(\w+): [\w |]+ = param\(", text))  # of a plugin that the page writes
        for role, name in re.findall(r"-P ([a-z_]+)\.([a-z_]+)", text):
            if role in by_role and name not in own:
                assert name in by_role[role], f"{path.relative_to(ROOT)}: -P {role}.{name}"


def test_the_command_reference_is_that_of_the_commands() -> None:
    assert page(COMMANDS) == reference(), "run: python -m tests.support.command_reference"


def test_every_command_and_flag_is_in_the_reference() -> None:
    sections = dict(
        re.findall(r"^## (bench [^\n]+)\n(.*?)(?=^## |\Z)", page(COMMANDS), re.MULTILINE | re.DOTALL)
    )
    assert sections.keys() == known().keys() - {"bench"}
    for path, text in sections.items():
        printed_flags = set(re.findall(r"(?<![\w-])-{1,2}[A-Za-z][a-z-]*", text)) | {"--help", "-h"}
        assert flags(path) - printed_flags == set(), path


def test_every_public_name_is_in_the_api_reference_once() -> None:
    listed = re.findall(r"^\.\. [a-z:]+:: bench\.(\w+)$", page(API), re.MULTILINE)
    assert sorted(listed) == sorted(bench.__all__)


def test_every_public_name_in_the_docs_exists() -> None:
    others = {"toml", "errors", "__all__"}  # bench.toml; the module in a traceback
    for path in [*pages(), ROOT / "CONTRIBUTING.md"]:
        for name in re.findall(r"(?<![\w/.])bench\.([A-Za-z_]\w*)", path.read_text()):
            assert name in {*bench.__all__, *others}, f"{path.relative_to(ROOT)}: bench.{name}"


def test_every_role_and_suite_is_in_the_docs() -> None:
    text = "".join(path.read_text() for path in pages() if path.name != "commands.md")
    missing = [
        f"{kind[:-1]} {name}"
        for kind in ("predictors", "correctors", "sdes", "grids", "metrics", "tasks")
        for name in installed().names(kind)
        if not re.search(rf"`[^`\n]*\b{re.escape(name)}\b[^`\n]*`", text)
    ]
    assert missing == []
