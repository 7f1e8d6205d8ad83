"""Hashes of objects that have no module of their own: a class of a notebook cell, a network in memory."""

from __future__ import annotations

import ast
import copyreg
import dataclasses
import dis
import functools
import hashlib
import inspect
import linecache
import sys
import types
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np

from bench.plan.source_hash import ModuleClosure, declared_files
from bench.plan.syntax import DIGITS, Import, imports_of, tree_digest


class Unhashable(Exception):
    """Something that an object depends on has no readable source or content."""


def object_hash(thing: object) -> str | None:
    """Digest of a class or an instance, and of everything that it computes with: 16 hexadecimal digits.

    Functions and methods are hashed as syntax trees, with their defaults, closures and the globals that they
    read; classes by their methods, attributes and bases; numbers, texts, arrays, tensors and containers by
    content; other objects by class and state. Installed distributions are hashed by version, other modules by
    their source. The hash covers all of these transitively.

    None where a part has no source (code from ``exec`` or a plain prompt, an extension module of no
    distribution) or no readable state (an open file). A run of such an object is never taken from the cache.
    """
    try:
        return _Walk(thing).hexdigest()
    except (Unhashable, RecursionError):
        return None


_Location = tuple[int, int]

# Attributes of a class that Python writes itself, or that do not affect what it computes.
_BOOKKEEPING = {
    *("__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__"),
    *("__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__"),
    *("__match_args__", "__module__", "__parameters__", "__qualname__", "__static_attributes__"),
    *("__slotnames__", "__weakref__", "_abc_impl"),
}

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))

_C_FUNCTIONS = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)


class _Walk:
    """One pass over everything that an object depends on; each part enters the hash once."""

    def __init__(self, thing: object) -> None:
        self.sha = hashlib.sha256()
        self.closure = ModuleClosure()
        self.seen: dict[int, int] = {}
        self.alive: list[object] = []  # keeps the ids in `seen` from being reused
        self.visit(thing)

    def hexdigest(self) -> str:
        """The digest, with the sources and versions of the modules that the parts import."""
        if not self.closure.complete:
            raise Unhashable
        self.write("modules", self.closure.digest, *sorted(map(repr, self.closure.libraries.items())))
        return self.sha.hexdigest()[:DIGITS]

    def write(self, *tokens: str | bytes) -> None:
        for token in tokens:
            data = token.encode() if isinstance(token, str) else token
            self.sha.update(b"%d:" % len(data))
            self.sha.update(data)

    def visit(self, thing: object) -> None:
        """Add an object to the hash: by content or, at a repeated visit, by the number of its first visit."""
        if type(thing) in _PLAIN:
            self.write(type(thing).__name__, repr(thing))
            return
        if id(thing) in self.seen:
            self.write("again", str(self.seen[id(thing)]))
            return
        self.seen[id(thing)] = len(self.seen)
        self.alive.append(thing)
        self._visit_new(thing)

    def _visit_new(self, thing: Any) -> None:
        if isinstance(thing, type):
            self._class(thing)
        elif isinstance(thing, types.FunctionType):
            self._function(thing)
        elif isinstance(thing, types.MethodType):
            self.write("method")
            self.visit(thing.__func__)
            self.visit(thing.__self__)
        elif isinstance(thing, types.ModuleType):
            self._module(thing.__name__)
        elif isinstance(thing, _C_FUNCTIONS):
            self._c_function(thing)
        elif isinstance(thing, staticmethod | classmethod):
            self.write(type(thing).__name__)
            self.visit(thing.__func__)
        elif isinstance(thing, property):
            self.write("property")
            self._all(thing.fget, thing.fset, thing.fdel)
        elif isinstance(thing, functools.cached_property):
            self.write("cached_property")
            self.visit(thing.func)
        elif "__wrapped__" in getattr(thing, "__dict__", ()):
            self.write("wrapper", _name(type(thing)))
            self.visit(thing.__wrapped__)
        elif type(thing) in (list, tuple):
            self.write(type(thing).__name__, str(len(thing)))
            self._all(*thing)
        elif type(thing) in (set, frozenset):
            self._set(thing)
        elif type(thing) in (dict, types.MappingProxyType):
            self.write(type(thing).__name__, str(len(thing)))
            for key, value in thing.items():
                self._all(key, value)
        elif isinstance(thing, np.ndarray) and thing.dtype != object:
            self.write("array", thing.dtype.str, repr(thing.shape), np.ascontiguousarray(thing).tobytes())
        elif isinstance(thing, np.generic):
            self.write("scalar", thing.dtype.str, thing.tobytes())
        elif _is_tensor(thing):
            self._tensor(thing)
        else:
            self._instance(thing)

    def _all(self, *things: object) -> None:
        for thing in things:
            self.visit(thing)

    def _set(self, things: set[Any] | frozenset[Any]) -> None:
        if not all(isinstance(item, bool | int | float | str | bytes | None) for item in things):
            raise Unhashable  # the order of other members differs from process to process
        self.write(type(things).__name__, *sorted(repr(item) for item in things))

    def _module(self, name: str) -> None:
        self.write("module", name)
        self.closure.add(Import(name))

    def _external(self, module: str) -> bool:
        """Whether a module's code is hashed by version, or not at all."""
        return module != "__main__" and self.closure.origin(module) in ("core", "standard", "library")

    def _class(self, cls: type) -> None:
        self.write("class", _name(cls))
        if self._external(cls.__module__):
            return
        file = _module_file(cls.__module__)
        if file is not None and file.name.endswith(tuple(EXTENSION_SUFFIXES)):
            raise Unhashable
        self.write(str(len(cls.__bases__)))
        self._all(type(cls), *cls.__bases__)
        fields = dataclasses.fields(cls) if "__dataclass_fields__" in vars(cls) else ()
        for field in fields:
            default = None if field.default is dataclasses.MISSING else field.default
            factory = None if field.default_factory is dataclasses.MISSING else field.default_factory
            self.write("field", field.name, field.type if isinstance(field.type, str) else _name(field.type))
            self._all(default, factory)
        for name in sorted(vars(cls).keys() - _BOOKKEEPING):
            value = vars(cls)[name]
            if name == "__hash__" and value is None:
                continue
            if isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType):
                self.write("slot", name)
            elif not _generated(value):
                self.write("attribute", name)
                self.visit(value)
        if getattr(cls, "files", ()) and file is not None:
            digests, present = declared_files(cls, file.parent)
            if not present:
                raise Unhashable
            self.write("files", repr(sorted(digests.items())))

    def _function(self, function: types.FunctionType) -> None:
        self.write("function", function.__qualname__)
        # not `__module__`, which a decorator of a library copies from what it wraps
        external = self._external(function.__globals__.get("__name__", ""))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self.write("closure", name)
            try:
                self.visit(cell.cell_contents)
            except ValueError:  # a cell that is not filled yet
                self.write("empty")
        if "__wrapped__" in function.__dict__:
            self.visit(function.__wrapped__)  # type: ignore[attr-defined]
        if external:
            return
        tree = _source_tree(function)
        self.write(tree_digest(tree))
        self._all(function.__defaults__, function.__kwdefaults__)
        for name in sorted(set(_globals_read(function.__code__))):
            if name in function.__globals__:
                self.write("global", name)
                self.visit(function.__globals__[name])
        package = function.__globals__.get("__package__") or ""
        self.closure.add(*sorted(set(imports_of(tree, package))))

    def _c_function(self, function: Any) -> None:
        owner = getattr(function, "__self__", None)
        home = function if getattr(function, "__module__", None) else getattr(function, "__objclass__", None)
        module: str = getattr(home, "__module__", "builtins")
        self.write("built-in", function.__qualname__, module)
        if not self._external(module) and not isinstance(owner, types.ModuleType):
            raise Unhashable
        if owner is not None and not isinstance(owner, types.ModuleType):
            self.visit(owner)

    def _tensor(self, tensor: Any) -> None:
        import torch

        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            raise Unhashable
        plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        self.write("tensor", _name(type(tensor)), str(tensor.dtype), repr(tuple(tensor.shape)))
        self.write(memoryview(plain.view(torch.uint8).numpy()).tobytes() if plain.numel() else b"")

    def _instance(self, thing: Any) -> None:
        cls = type(thing)
        self.write("instance")
        self.visit(cls)
        if isinstance(thing, types.CodeType | types.FrameType | types.GeneratorType):
            raise Unhashable
        reduce = copyreg.dispatch_table.get(cls)
        methods = ("__reduce_ex__", "__reduce__")
        plain = reduce is None and all(getattr(cls, name) is getattr(object, name) for name in methods)
        try:
            reduced = thing.__reduce_ex__(4) if reduce is None else reduce(thing)
        except Exception as error:  # objects without a readable state raise many kinds of errors
            raise Unhashable from error
        if isinstance(reduced, str):
            self.write("named", reduced)
            return
        for index, part in enumerate(reduced):
            if not (plain and index == 2):  # a state that `__getstate__` may shorten: `_state` adds all of it
                self.visit(list(part) if isinstance(part, Iterator) else part)
        if plain:
            self._state(thing)

    def _state(self, thing: Any) -> None:
        """The attributes of an object of a plain class, without the values of its cached properties."""
        cls = type(thing)
        attributes = getattr(thing, "__dict__", {})
        for name in sorted(attributes):
            if not isinstance(inspect.getattr_static(cls, name, None), functools.cached_property):
                self.write("attribute", name)
                self.visit(attributes[name])
        for name in sorted({slot for base in cls.__mro__ for slot in _slots(base)}):
            if hasattr(thing, name):
                self.write("slot", name)
                self.visit(getattr(thing, name))


def _name(thing: Any) -> str:
    """Module and qualified name of a class, without addresses."""
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return str(thing)


def _is_tensor(thing: object) -> bool:
    torch = sys.modules.get("torch")
    return bool(torch is not None and isinstance(thing, torch.Tensor))


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _generated(value: object) -> bool:
    """Whether `dataclasses` or `typing.NamedTuple` wrote a method: its source is the fields."""
    function = value.__func__ if isinstance(value, staticmethod) else value
    if not isinstance(function, types.FunctionType) or not function.__name__.startswith("__"):
        return False
    innermost = inspect.unwrap(function)  # `__repr__` is wrapped against recursion
    return bool(innermost.__code__.co_filename.startswith("<string>"))


def _module_file(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else Path(file)


def _globals_read(code: types.CodeType) -> Iterator[str]:
    """Names of the globals that a function, or a function within it, reads."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_read(constant)


def _source_tree(function: types.FunctionType) -> ast.AST:
    """The function's own part of the syntax tree of its file or notebook cell; `Unhashable` without one."""
    code = function.__code__
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    if not source:
        raise Unhashable
    try:
        tree = _parsed(source)
    except (SyntaxError, ValueError) as error:
        raise Unhashable from error
    nodes = [node for node in ast.walk(tree) if _defines(node, code)]
    if len(nodes) != 1:
        raise Unhashable
    return nodes[0]


@functools.lru_cache(maxsize=64)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _defines(node: ast.AST, code: types.CodeType) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return first == code.co_firstlineno and node.name == code.co_name
    if isinstance(node, ast.Lambda) and code.co_name == "<lambda>" and node.lineno == code.co_firstlineno:
        starts = {(line, column) for line, _, column, _ in code.co_positions()}
        return (node.body.lineno, node.body.col_offset) in starts
    return False
