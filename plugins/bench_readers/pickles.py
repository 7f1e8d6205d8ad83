"""Network pickles of EDM (Karras et al. 2022) and EDM2 (2024), read as data: nothing in them is ever run.

EDM's ``torch_utils.persistence`` pickles a module as a call of ``_reconstruct_persistent_obj`` on a dict of
its class's name, the Python source of the class, and the module's ``__dict__``. Python's unpickler would
import and call what a file names. This module uses no unpickler: `pickletools` splits the file into its
instructions, and they are executed on lists, dicts, tensors and inert stand-ins; names are mere strings.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import BenchError

NETWORKS = {"EDMPrecond": ("SongUNet", "DhariwalUNet"), "Precond": ("UNet",)}
"""The classes of networks that EDM and EDM2 published, each with those of its inner model."""

_INNER = {"EDMPrecond": "model", "Precond": "unet"}
"""The name of the inner model in each."""

_MOST = 2_000_000
"""Greatest number of instructions in a pickle; the CIFAR-10 networks have about 50 thousand."""

_MAGIC = 0x1950A86A20F9469CFC6C
"""The first number of a file of `torch.save` that is not a zip archive; 1001 follows."""

_REMEDY = "give the .pkl file that EDM published"

_STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

_NAMES = re.compile(
    r"torch_utils\.persistence\._reconstruct_persistent_obj|dnnlib\.util\.EasyDict"
    r"|collections\.OrderedDict|builtins\.set"
    r"|torch\._utils\._rebuild_(parameter|tensor_v2)|torch\.storage\._load_from_bytes"
    r"|torch\.nn\.modules\.[a-z]{1,40}\.[A-Z][A-Za-z0-9]{,40}"
    r"|torch\.(Size|device|bool|u?int(8|16|32|64)|b?float(16|32|64))"
    r"|numpy\.(dtype|ndarray)|numpy\._?core\.multiarray\.(scalar|_reconstruct)"
)
_STORAGE_NAMES = re.compile("|".join(map(re.escape, _STORAGES)))

_SCALARS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
)


class _RefusedError(Exception):
    """Why a file is refused, in words that follow its name."""


@dataclass(eq=False, slots=True)
class _Name:
    """A name that a pickle refers to; never looked up."""

    name: str


@dataclass(eq=False, slots=True)
class _Stub:
    """The pickle's description of an instance of the class of that name; never instantiated."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None


@dataclass(eq=False, slots=True)
class _Storage:
    """A reference to ``count`` numbers that follow the pickle."""

    dtype: torch.dtype
    key: str
    count: int


class _Pickles:
    """Consecutive pickles in ``data``; they may refer to the names that ``names`` matches."""

    def __init__(self, data: bytes, names: re.Pattern[str]) -> None:
        self.stream = io.BytesIO(data)
        self.names = names
        self.budget = len(data)

    def load(self) -> Any:
        """The next object; raises any exception where the bytes are not a pickle of data."""
        stack: list[Any] = []
        below: list[list[Any]] = []
        memo: dict[int, Any] = {}
        for count, (opcode, operand, _) in enumerate(pickletools.genops(self.stream)):
            arg: Any = operand
            if count == _MOST:
                raise _RefusedError(f"its pickle has more than {_MOST} instructions, as no EDM network has")
            match opcode.name:
                case "PROTO" | "FRAME":
                    pass
                case "STOP":
                    return stack.pop()
                case name if name in _SCALARS:
                    stack.append(arg)
                case "NONE":
                    stack.append(None)
                case "NEWTRUE" | "NEWFALSE":
                    stack.append(opcode.name == "NEWTRUE")
                case "EMPTY_LIST":
                    stack.append([])
                case "EMPTY_DICT":
                    stack.append({})
                case "EMPTY_SET":
                    stack.append(set())
                case "EMPTY_TUPLE":
                    stack.append(())
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    size = int(opcode.name[-1])
                    stack[-size:] = [tuple(stack[-size:])]
                case "MARK":
                    below.append(stack)
                    stack = []
                case "TUPLE":
                    items, stack = stack, below.pop()
                    stack.append(tuple(items))
                case "APPEND" | "SETITEM":
                    size = 1 if opcode.name == "APPEND" else 2
                    items = stack[-size:]
                    del stack[-size:]
                    _fill(stack[-1], opcode.name + "S", items)
                case "APPENDS" | "SETITEMS" | "ADDITEMS":
                    items, stack = stack, below.pop()
                    _fill(stack[-1], opcode.name, items)
                case "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                case "BINPUT" | "LONG_BINPUT":
                    memo[arg] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[arg])
                case "POP":
                    stack.pop()
                case "GLOBAL":
                    stack.append(self.named(*arg.split(" ", 1)))
                case "STACK_GLOBAL":
                    items = stack[-2:]
                    del stack[-2:]
                    stack.append(self.named(*items))
                case "REDUCE" | "NEWOBJ":
                    args = stack.pop()
                    stack.append(self.call(stack.pop(), args))
                case "BUILD":
                    state = stack.pop()
                    if not isinstance(stack[-1], _Stub):
                        raise _RefusedError("its pickle sets the insides of something that has none")
                    stack[-1].state = state
                case "BINPERSID":
                    stack.append(self.promised(stack.pop()))
                case name:
                    raise _RefusedError(f"its pickle has the instruction {name}, which no EDM network has")
        raise AssertionError("genops ends at STOP or raises")

    def named(self, module: Any, name: Any) -> _Name:
        """A name that the file refers to, where networks need it; refused otherwise."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise _RefusedError("its pickle asks for something whose name is no string")
        full = f"{module}.{name}"
        if "." in name or not self.names.fullmatch(full):
            raise _RefusedError(
                f"its pickle asks for {full[:80]!a}, which is not data; nothing of it was run. "
                "Take a file from a source you trust, or convert it where it was made"
            )
        return _Name(full)

    def call(self, what: Any, args: Any) -> Any:
        """The data that a call of ``what`` stands for."""
        if not isinstance(what, _Name) or not isinstance(args, tuple):
            raise _RefusedError("its pickle calls something that has no name; nothing of it was run")
        match what.name, args:
            case "collections.OrderedDict" | "dnnlib.util.EasyDict", ():
                return {}
            case "builtins.set", (list(items),):
                members: set[str] = set()
                _fill(members, "ADDITEMS", items)
                return members
            case (
                "torch_utils.persistence._reconstruct_persistent_obj",
                ({"type": "class", "class_name": str(name), "state": dict(state)},),
            ):
                return _Stub(name, state=state)
            case "torch.storage._load_from_bytes", (bytes(data),):
                self.budget -= len(data)
                if self.budget < 0:
                    raise _RefusedError("its tensors add up to more than the file holds")
                return _storage(data)
            case (
                "torch._utils._rebuild_tensor_v2",
                (Tensor() as storage, int(offset), tuple(size), tuple(stride), *_),
            ):
                return _strided(storage, offset, size, stride)
            case "torch._utils._rebuild_parameter", (Tensor() as tensor, *_):
                return tensor
            case (
                "numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar",
                (_Stub("numpy.dtype", (str(code), *_), (_, str(order), *_)), bytes(data)),
            ) if re.fullmatch("[<>|=][biuf][1248]", order + code):
                return np.frombuffer(data, np.dtype(order + code)).item()
            case name, _ if name.startswith(("torch.nn.", "torch.Size", "torch.device", "numpy.")):
                return _Stub(name, args)
        raise _RefusedError(f"its pickle calls {what.name} in a way that EDM's networks do not")

    def promised(self, reference: Any) -> _Storage:
        """The storage that follows the pickle; only the pickles of storages refer to one."""
        match reference:
            case ("storage", _Name(name), str(key), str(), int(count), None) if name in _STORAGES:
                return _Storage(_STORAGES[name], key, count)
        raise _RefusedError("its pickle refers to something outside of it, as no EDM network does")


def _fill(target: Any, how: str, items: list[Any]) -> None:
    """Put items into a list, a dict or a set. Keys must be strings: a file could make others slow to hash."""
    if how == "APPENDS" and isinstance(target, list):
        target.extend(items)
        return
    keys = items[::2] if how == "SETITEMS" else items
    if not all(isinstance(key, str) for key in keys):
        raise _RefusedError("its pickle has keys that are not strings, as no EDM network has")
    if how == "SETITEMS" and isinstance(target, dict):
        target.update(zip(keys, items[1::2], strict=True))
    elif how == "ADDITEMS" and isinstance(target, set):
        target.update(keys)
    else:
        raise _RefusedError(f"its pickle has {how} on something else")


def _storage(data: bytes) -> Tensor:
    """A storage as `torch.save` wrote it before its zip archives: five pickles, a count, the raw numbers.

    ``torch.load(weights_only=True)`` is not used: crafted files passed it in torch before 2.6 and before 2.10
    (CVE-2025-32434, CVE-2026-24747).
    """
    pickles = _Pickles(data, _STORAGE_NAMES)
    if (pickles.load(), pickles.load()) != (_MAGIC, 1001):
        raise _RefusedError("a tensor in it is in an unknown format")
    pickles.load()  # the sizes of C's types where it was written
    storage, keys = pickles.load(), pickles.load()
    count = int.from_bytes(pickles.stream.read(8), "little")
    raw = bytearray(pickles.stream.read())
    if not isinstance(storage, _Storage) or keys != [storage.key] or count != storage.count:
        raise _RefusedError("a tensor in it is in an unknown format")
    if len(raw) != count * storage.dtype.itemsize:
        raise _RefusedError(f"a tensor in it has {len(raw)} bytes where {count} numbers should be")
    return torch.frombuffer(raw, dtype=storage.dtype) if count else torch.empty(0, dtype=storage.dtype)


def _strided(storage: Tensor, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...]) -> Tensor:
    """A tensor in a storage; refused unless all of it is inside and it is no larger than the storage."""
    whole = all(type(n) is int and n >= 0 for n in (offset, *size, *stride))
    whole = whole and len(size) == len(stride) <= 16
    if whole and 0 in size:
        return storage.new_empty(size)
    length = storage.numel()
    fits = whole and all(n <= length for n in size) and math.prod(size) <= length
    if not fits or offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) >= length:
        raise _RefusedError("a tensor in it does not fit its storage")
    return storage.as_strided(size, stride, offset)


def _tensors(module: Any, where: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a module, then of what is in it, as ``state_dict`` orders them."""
    place = where.rstrip(".") or "the network"
    match module:
        case _Stub(state={"_parameters": dict(own), "_buffers": dict(buffers), "_modules": dict(inner)}):
            passing = module.state.get("_non_persistent_buffers_set") or ()
        case _:
            raise _RefusedError(f"{place} in it is not a module as torch pickles one")
    if id(module) in seen:
        raise _RefusedError(f"{place} in it is a module that has another place too")
    seen.add(id(module))
    if len(where) > 500:
        raise _RefusedError(f"{place[:80]}... in it is nested too deep")
    for name in (*own, *buffers, *inner):
        if not re.fullmatch("[A-Za-z0-9_]{1,64}", name):
            raise _RefusedError(f"{place} in it has a part with the odd name {name[:80]!a}")
    persistent = {name: buffer for name, buffer in buffers.items() if name not in passing}
    for name, tensor in (*own.items(), *persistent.items()):
        if isinstance(tensor, Tensor):
            yield where + name, tensor
        elif tensor is not None:
            raise _RefusedError(f"{where}{name} in it is not a tensor")
    for name, part in inner.items():
        if part is not None:
            yield from _tensors(part, f"{where}{name}.", seen)


def _described(module: Any, known: tuple[str, ...], what: str) -> dict[str, Any]:
    """Class and keyword arguments of a persistent module; refused where the class is unknown."""
    if not isinstance(module, _Stub) or not isinstance(module.state, dict):
        raise _RefusedError(f"{what} is not a network as EDM pickles one")
    if module.name not in known:
        raise _RefusedError(
            f"{what} is of class {module.name[:80]!a}; known: {', '.join(known)}. "
            "Take one of EDM's own networks"
        )
    match module.state.get("_init_args"), module.state.get("_init_kwargs"):
        case (), dict(kwargs):
            return {"class_name": module.name, "kwargs": {name: _plain(v) for name, v in kwargs.items()}}
    raise _RefusedError(f"{what} does not tell the keyword arguments that it was made with")


def _plain(value: Any) -> Any:
    """A number, a string, None, or a list of them; anything else is refused."""
    if isinstance(value, (list, tuple)) and len(value) <= 64 and all(map(_scalar, value)):
        return list(value)
    if not _scalar(value):
        raise _RefusedError("its network was made with arguments that are neither numbers nor short strings")
    return value


def _scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 200
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _network(content: Any, key: str) -> _Stub:
    """The network that a file has under ``key``; refused where it has none."""
    if content == _MAGIC:
        raise _RefusedError(f"it was written by torch.save; {_REMEDY}")
    if not isinstance(content, dict):
        raise _RefusedError(f"its pickle is not a dict of networks; {_REMEDY}")
    network = content.get(key, content)
    if isinstance(network, dict) and any(isinstance(value, Tensor) for value in network.values()):
        raise _RefusedError(f"it holds bare tensors by name, not a network of EDM; {_REMEDY}")
    if key not in content:
        names = ", ".join(ascii(name[:40]) for name in list(content)[:8])
        raise _RefusedError(f"it has no network {key!r} (it has: {names or 'nothing'})")
    if not isinstance(network, _Stub):
        raise _RefusedError(f"its {key!r} is not a network as EDM pickles one")
    return network


def _read(data: bytes, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if data.startswith(b"PK"):
        raise _RefusedError(f"it is a zip archive, as torch.save writes; {_REMEDY}")
    if not data.startswith(b"\x80"):
        raise ValueError("not of protocol 2 or later")
    network = _network(_Pickles(data, _NAMES).load(), key)
    about = _described(network, tuple(NETWORKS), f"its {key!r}")
    tensors = dict(_tensors(network, "", set()))
    inner = network.state["_modules"].get(_INNER[network.name])
    about["model"] = _described(inner, NETWORKS[network.name], "its model")
    if sum(tensor.nbytes for tensor in tensors.values()) > 2 * len(data):
        raise _RefusedError("its tensors add up to more than the file holds")
    return {name: t.clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}, about


def persistent_tensors(path: Path, key: str = "ema") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the network that one of EDM's files has under ``key``, without running anything of the file.

    Args:
        path: The file.
        key: Name of the network in it.

    Returns:
        Its tensors as ``state_dict`` names and orders them, each contiguous, on the host and in the file's
        dtype; and the ``class_name`` and ``kwargs`` that the network was made with, under ``model`` those of
        its inner model.

    Raises:
        BenchError: The file is anything else. The message is one line.
    """
    try:
        return _read(path.read_bytes(), key)
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error
    except _RefusedError as error:
        raise BenchError(f"{path}: {error}") from error
    except Exception as error:  # bytes that are not a pickle can break any step
        raise BenchError(f"{path}: not a pickle, or not a whole one: fetch it again") from error
