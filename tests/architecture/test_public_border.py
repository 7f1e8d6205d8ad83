"""``bench.__all__`` is all that plugins, examples, templates and docs use, and all of it is documented."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

import bench
from tests.support.paths import ROOT
from tests.support.sources import place, python_files, report, tree_of

BORDER = ROOT / "bench/__init__.py"

IMPORT = re.compile(
    r"^[ \t>]*(?:from[ \t]+bench(\.[\w.]+)?[ \t]+import[ \t]+(.+)|import[ \t]+bench(\.[\w.]+))", re.M
)
"""An import of ``bench`` in a text that is not Python alone: a template, a page."""


def test_plugins_import_from_the_border_alone() -> None:
    problems = []
    for file in python_files("plugins"):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [alias.name for alias in node.names]
                problems += [f"{place(file, node.lineno)}: {p}" for p in _beyond(node.module or "", names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
                problems += [f"{place(file, node.lineno)}: {n}" for n in names if n.startswith("bench.")]
    assert not problems, report(problems)


def test_templates_and_pages_import_from_the_border_alone() -> None:
    templates = sorted((ROOT / "bench/testing/templates").glob("*.txt"))
    pages = [*ROOT.glob("*.md"), *(ROOT / "plugins/examples").rglob("*.md")]
    pages += [file for suffix in ("md", "py") for file in (ROOT / "docs").rglob(f"*.{suffix}")]
    assert templates
    problems = []
    for file in [*templates, *sorted(pages)]:
        text = file.read_text()
        for match in IMPORT.finditer(text):
            module, names, submodule = match.groups()
            line = text.count("\n", 0, match.start()) + 1
            imported = re.findall(r"\b(?!as\b)[A-Za-z_]\w*", names.partition("#")[0]) if names else []
            outside = [submodule] if submodule else _beyond(f"bench{module or ''}", imported)
            problems += [f"{place(file, line)}: {name}" for name in outside]
    assert not problems, report(problems)


def _beyond(module: str, names: list[str]) -> list[str]:
    """What an import takes that is not public."""
    if module.startswith("bench."):
        return [f"{module}: {', '.join(names)}"]
    return [name for name in names if name not in bench.__all__] if module == "bench" else []


def test_the_lists_of_public_names_agree() -> None:
    typed: dict[str, str] = {}
    for node in tree_of(BORDER).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for line in node.body:
                assert isinstance(line, ast.ImportFrom), ast.unparse(line)
                for alias in line.names:
                    assert alias.asname == alias.name, f"{alias.name}: import it as itself"
                    typed[alias.name] = line.module or ""
    exported = {name: module for module, names in bench._EXPORTS.items() for name in names}
    assert exported == typed
    assert sorted(bench.__all__) == sorted(exported)
    assert len(set(bench.__all__)) == len(bench.__all__)


@pytest.mark.parametrize("name", bench.__all__)
def test_a_public_name_is_where_the_border_says(name: str) -> None:
    module = importlib.import_module(bench._MODULES[name])
    assert getattr(bench, name) is getattr(module, name)
    if _is_definition(getattr(bench, name)):
        assert f"{getattr(bench, name).__module__}.".startswith(f"{bench._MODULES[name]}.")


def test_every_public_name_has_a_docstring_of_its_own() -> None:
    problems = [name for name in bench.__all__ if not _docstring(name)]
    assert not problems, report(problems)


def test_every_parameter_of_a_public_name_is_described() -> None:
    problems = []
    for name in bench.__all__:
        thing = getattr(bench, name)
        described = _described(name)
        missing = [parameter for parameter in _parameters(thing) if parameter not in described]
        problems += [f"{bench._MODULES[name]}.{name}: {', '.join(missing)}"] if missing else []
    assert not problems, report(problems)


def _is_definition(thing: Any) -> bool:
    """Whether a public name is a class or function of ``bench``, not an alias of another thing."""
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith("bench.")


def _docstring(name: str) -> str:
    """The docstring that the source gives a name: a class's or function's, or a literal below an alias."""
    thing = getattr(bench, name)
    if _is_definition(thing):
        node = _definition(thing)
        return (ast.get_docstring(node) if node is not None else thing.__doc__) or ""
    file = importlib.import_module(bench._MODULES[name]).__file__
    assert file is not None
    return _literals(tree_of(Path(file))).get(name, "")


def _definition(thing: Any) -> ast.ClassDef | ast.FunctionDef | None:
    file = inspect.getsourcefile(inspect.unwrap(thing))
    nodes = ast.walk(tree_of(Path(file))) if file is not None else ()
    for node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == thing.__name__:
            return node
    return None


def _literals(tree: ast.AST) -> dict[str, str]:
    """String literals that follow an assignment, by the name assigned to."""
    literals: dict[str, str] = {}
    for node in ast.walk(tree):
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            lines = block if isinstance(block, list) else []
            for line, following in itertools.pairwise(lines):
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                if isinstance(target, ast.Name) and isinstance(following, ast.Expr):
                    text = following.value
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        literals[target.id] = text.value
    return literals


def _parameters(thing: Any) -> list[str]:
    """Names of what a call of a function or class is given."""
    if not _is_definition(thing):
        return []
    if inspect.isfunction(thing):
        return [name for name in inspect.signature(thing).parameters if not name.startswith("_")]
    if hasattr(thing, "_fields") and issubclass(thing, tuple):
        return list(thing._fields)
    if "model_fields" in dir(thing):
        return [name for name in thing.model_fields if name in inspect.get_annotations(thing)]
    if dataclasses.is_dataclass(thing):
        own = vars(thing).get("__annotations__", {})
        return [field.name for field in dataclasses.fields(thing) if field.init and field.name in own]
    if "__init__" in vars(thing) and not getattr(thing, "_is_protocol", False):
        return [name for name in list(inspect.signature(thing).parameters) if not name.startswith("_")]
    return []


def _described(name: str) -> set[str]:
    """Names that a docstring's sections of arguments and attributes begin an entry with, fields' own
    docstrings, and help texts."""
    thing = getattr(bench, name)
    names: set[str] = set()
    for section in re.findall(
        r"^(?:Args|Attributes):\n((?:[ \t]+.*\n?|\n)+)", inspect.cleandoc(_docstring(name)), re.M
    ):
        names |= {
            n for entry in re.findall(r"^ {2,4}(\S[^:]*):", section, re.M) for n in re.findall(r"\w+", entry)
        }
    if inspect.isclass(thing):
        node = _definition(thing)
        names |= set(_literals(node)) if node is not None else set()
        if dataclasses.is_dataclass(thing):
            names |= {field.name for field in dataclasses.fields(thing) if field.metadata.get("help")}
        for key, field in (getattr(thing, "model_fields", None) or {}).items():
            names |= {key} if field.description else set()
        constructor = vars(thing).get("__init__")
        text = inspect.cleandoc(getattr(constructor, "__doc__", None) or "")
        names |= set(re.findall(r"^ {2,4}\**(\w+)[^:\n]*:", text, re.M))
    return names
