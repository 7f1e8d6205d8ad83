"""Whatever is printed is escaped: commands print by `bench.cli.console`, consoles take no raw names."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import place, python_files, report, tree_of

BORDER = "bench/cli/console.py"
"""The one module that may print text as it is."""
RAW = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}
SAFE_CALLS = {"escape", "_escape", "make_printable", "printable", "count", "len", "amount", "duration"}
"""Functions whose text is free of markup and unprintable characters."""
SAFE_NAMES = {"table", "markup"}
"""A rich table, whose cells are escaped, and text that is composed of escaped parts."""


def raw_prints(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls that print text as it is: by line, what is raw."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in RAW:
            yield node.lineno, name
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "print":
            for argument in node.args:
                yield from ((node.lineno, part) for part in raw_parts(argument))


def raw_parts(node: ast.expr) -> Iterator[str]:
    """Parts of an expression whose text may hold anything."""
    if isinstance(node, ast.Constant):
        return
    if isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield from raw_parts(part.value if isinstance(part, ast.FormattedValue) else part)
    elif isinstance(node, ast.BinOp):
        yield from raw_parts(node.left)
        yield from raw_parts(node.right)
    elif isinstance(node, ast.IfExp):
        yield from raw_parts(node.body)
        yield from raw_parts(node.orelse)
    elif not (
        (isinstance(node, ast.Call) and ast.unparse(node.func) in SAFE_CALLS)
        or (isinstance(node, ast.Name) and node.id in SAFE_NAMES)
    ):
        yield ast.unparse(node)


def test_nothing_is_printed_as_it_is() -> None:
    problems = [
        f"{place(file, line)}: {what}"
        for file in python_files("bench")
        if not file.as_posix().endswith(BORDER)
        for line, what in raw_prints(tree_of(file))
    ]
    assert not problems, report(problems)


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("click.echo(path)", ["click.echo"]),
        ("print('x')", ["print"]),
        ("sys.stderr.write(x)", ["sys.stderr.write"]),
        ("out.print(f'{name} {escape(name)}')", ["name"]),
        ("out.print(escape(name) + ' ' + name)", ["name"]),
        ("out.print(name if x else '')", ["name"]),
        ("out.print(table)", []),
        ("out.print(f'{count(n, noun)} passed', style='dim')", []),
        ("echo(name)", []),
    ],
)
def test_the_check_sees_what_is_raw(code: str, raw: list[str]) -> None:
    assert [what for _, what in raw_prints(ast.parse(code))] == raw
