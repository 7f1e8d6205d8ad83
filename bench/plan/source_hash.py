"""Hashes of the code that decides numbers: an edit without a new version is a new sampler."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
from pathlib import Path


@functools.cache
def core_hash() -> str:
    """Of the core's files that decide numbers."""
    here = Path(__file__).parents[1]
    rooms = ("diffusion", "closed_form", "checkpoints", "tasks")
    return _digest(sorted(file for room in rooms for file in (here / room).rglob("*.py")))


@functools.cache
def plugin_hash(cls: type) -> str:
    """Of the module that defines a plugin and of what that imports from its own package."""
    try:
        return _digest(sorted(_files(cls.__module__, Path(inspect.getfile(cls)))))
    except (OSError, TypeError, ValueError, SyntaxError):
        return "unknown"


def _digest(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(f.read_bytes() for f in files)).hexdigest()[:16]


def _files(module: str, file: Path) -> set[Path]:
    """The module's file and those of its own package that it imports, however far down."""
    own = module.partition(".")[0]
    root = file.parents[module.count(".") + (file.name == "__init__.py")]
    found: set[Path] = set()
    waiting = [(module, file)]
    while waiting:
        name, path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for other in _imported(path, package):
            if other.partition(".")[0] == own:
                place = root.joinpath(*other.split("."))
                files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
                waiting += [(other, there) for there in files if there.is_file()]
    return found


def _imported(path: Path, package: str) -> set[str]:
    """Names of modules that a file may import; of ``from a import b`` both ``a`` and ``a.b``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(start, package) if node.level else start
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found
