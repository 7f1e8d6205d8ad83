"""Python source as a syntax tree: a digest that comments and messages do not change, and its imports."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import NamedTuple

DIGITS = 16
"""Hexadecimal digits of every digest of code."""


class Import(NamedTuple):
    """``import module``, or ``from module import name``, where the name may be that of a module too."""

    module: str
    name: str = ""


def digest(*parts: str | bytes) -> str:
    """16 hexadecimal digits of the SHA-256 of the parts, each preceded by its length."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(b"%d:" % len(data))
        sha.update(data)
    return sha.hexdigest()[:DIGITS]


@functools.lru_cache(maxsize=1024)
def source_digest(source: bytes) -> str:
    """Digest of a module's source. `SyntaxError` or `ValueError` where it is not Python."""
    return tree_digest(ast.parse(source))


@functools.lru_cache(maxsize=1024)
def imported_modules(source: bytes, package: str) -> frozenset[Import]:
    """What a module of ``package`` may import."""
    return frozenset(imports_of(ast.parse(source), package))


@functools.lru_cache(maxsize=1024)
def initializer_digest(source: bytes) -> str:
    """Digest of what a package's ``__init__.py`` does besides importing and registering plugins.

    Empty for a package that does nothing else: registering another plugin leaves the hashes of the others
    unchanged.
    """
    body = [node for node in ast.parse(source).body if not _registers(node)]
    return tree_digest(ast.Module(body=body, type_ignores=[])) if body else ""


def tree_digest(tree: ast.AST) -> str:
    """Digest of a syntax tree.

    It does not depend on line numbers, comments, docstrings and other bare strings, the messages of ``raise``
    and ``assert``, and the help texts of parameters, nor on fields that exist in some versions of Python
    only.
    """
    return digest(_text(tree))


def imports_of(tree: ast.AST, package: str) -> Iterator[Import]:
    """The imports in a tree, including those within functions, excluding those for typing."""
    for node in _walk_run_time(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            try:
                base = importlib.util.resolve_name(relative, package) if node.level else relative
            except ImportError:  # more dots than packages: the import fails when it runs
                continue
            yield from (Import(base, "" if alias.name == "*" else alias.name) for alias in node.names)


def _walk_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, without the bodies of ``if TYPE_CHECKING``."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _registers(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom) or _bare_text(node):
        return True
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(_last_name(decorator) == "hookimpl" for decorator in decorators)


def _last_name(node: ast.expr) -> str:
    """``c`` of ``c``, ``a.b.c`` and ``a.b.c(...)``."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


# Fields that `_text` leaves out: they have no meaning, or exist in some versions of Python only.
_SILENT = {"ctx", "kind", "type_comment", "type_ignores"}


def _text(node: object) -> str:
    parts: list[str] = []
    _append_text(node, parts.append)
    return "".join(parts)


def _append_text(node: object, append: Callable[[str], None]) -> None:
    """Append the text of a node in parts: the fields ``name:text`` of each, with the type before them."""
    if isinstance(node, list):
        between = "["
        for item in node:
            if not _bare_text(item):
                append(between)
                _append_text(item, append)
                between = ","
        append("[]" if between == "[" else "]")
        return
    if not isinstance(node, ast.AST):
        append(repr(node))
        return
    if isinstance(node, ast.Constant):
        append(f"={node.value!r}")
        return
    if isinstance(node, ast.MatchSingleton):
        append(f"is={node.value!r}")
        return
    of_parameter = isinstance(node, ast.Call) and _last_name(node.func) == "param"
    append(f"{type(node).__name__}(")
    between = ""
    for name in _named_fields(type(node).__name__):
        value = getattr(node, name, None)
        if isinstance(node, ast.Raise):
            value = _without_texts(node.exc) if name == "exc" else None
        elif of_parameter and name == "keywords":
            value = [keyword for keyword in value or [] if keyword.arg != "help"]
        if value is None or value == []:
            continue
        append(f"{between}{name}:")
        _append_text(value, append)
        between = ";"
    append(")")


@functools.cache
def _named_fields(kind: str) -> tuple[str, ...]:
    """The fields of a kind of node that have a meaning; the message of ``assert`` has none."""
    silent = _SILENT | ({"msg"} if kind == "Assert" else set())
    fields: tuple[str, ...] = getattr(ast, kind)._fields
    return tuple(name for name in fields if name not in silent)


def _bare_text(node: object) -> bool:
    """Whether a statement is a docstring or another string that stands alone."""
    return isinstance(node, ast.Expr) and _is_text(node.value)


def _without_texts(raised: ast.expr | None) -> ast.expr | None:
    """The raised exception without its messages; other arguments stay, since a handler may read them."""
    if not isinstance(raised, ast.Call):
        return raised
    arguments = [argument for argument in raised.args if not _is_text(argument)]
    keywords = [keyword for keyword in raised.keywords if not _is_text(keyword.value)]
    return ast.Call(func=raised.func, args=arguments, keywords=keywords)


def _is_text(node: ast.expr) -> bool:
    """Whether an expression is recognizably a string: a literal, or built from one."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.JoinedStr):
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_text(node.func.value)
