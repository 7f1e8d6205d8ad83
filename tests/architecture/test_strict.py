"""What crosses a room's border is typed: no ``dict[str, Any]`` in a public signature."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import place, python_files, report, tree_of


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions of a module and methods of its classes whose names have no leading underscore."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    public = not method.name.startswith("_") or method.name in ("__init__", "__call__")
                    if public:
                        yield f"{node.name}.{method.name}", method


def untyped_parts(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Parameters, or ``return``, whose annotation holds a ``dict[str, Any]``."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    annotations = {argument.arg: argument.annotation for argument in every} | {"return": function.returns}
    return [
        name
        for name, note in annotations.items()
        if note is not None and "dict[str, Any]" in ast.unparse(note)
    ]


def test_public_signatures_hold_no_untyped_dictionary() -> None:
    problems = [
        f"{place(file, function.lineno)}: {name} ({', '.join(parts)})"
        for file in python_files("bench")
        for name, function in public_functions(tree_of(file))
        if (parts := untyped_parts(function))
    ]
    assert not problems, report(problems)


@pytest.mark.parametrize(
    ("signature", "parts"),
    [
        ("def f(a: dict[str, Any]) -> None: ...", ["a"]),
        ("def f(*, a: int = 1) -> list[dict[str, Any]]: ...", ["return"]),
        ("def f(a: 'dict[str, Any] | None') -> None: ...", ["a"]),
        ("def f(a: dict[str, int], **rest: Any) -> Any: ...", []),
    ],
)
def test_the_check_sees_it_wherever_it_stands(signature: str, parts: list[str]) -> None:
    function = ast.parse(signature).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert untyped_parts(function) == parts
