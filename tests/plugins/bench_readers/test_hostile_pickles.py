"""Pickles that try to run something, to grow without end, or are damaged: one line each, and nothing runs.

Attacks are written as pickle instructions that leave one object on the stack.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bench import BenchError
from bench_readers import pickles
from bench_readers.pickles import persistent_tensors
from tests.plugins.bench_readers.test_pickles import EDMLoss, network, refusal, torch_saved, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.pkl"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str) -> bytes:
    """The instructions that ask for a name."""
    return text(module) + text(name) + b"\x93"


def called(module: str, name: str, argument: bytes) -> bytes:
    """The instructions that call it with one argument."""
    return named(module, name) + argument + b"\x85R"


def stored(data: bytes) -> bytes:
    """The instructions that make a storage of what `torch.save` wrote."""
    return called("torch.storage", "_load_from_bytes", b"B" + struct.pack("<I", len(data)) + data)


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


TOUCH = "touch marker"
CODE = "open('marker', 'w').close()"
SYSTEM = called("posix", "system", text(TOUCH))
HEADER: list[Any] = [pickles._MAGIC, 1001, {}]
LEGACY = b"".join(pickle.dumps(part, 2) for part in HEADER)
MODULE = named("torch.nn.modules.container", "ModuleDict") + b")\x81"
IMPORT = called("builtins", "__import__", text("os"))

ACTIVE = {
    "system": SYSTEM,
    "eval": called("builtins", "eval", text(CODE)),
    "exec": called("builtins", "exec", text(CODE)),
    "older": b"cposix\nsystem\n" + text(TOUCH) + b"\x85R",
    "inst": b"(" + text(TOUCH) + b"iposix\nsystem\n",
    "obj": b"(" + named("posix", "system") + text(TOUCH) + b"o",
    "dotted": called("torch", "os.system", text(TOUCH)),
    "dotted twice": called("torch", "serialization.os.system", text(TOUCH)),
    "getattr": named("builtins", "getattr") + IMPORT + text("system") + b"\x86R" + text(TOUCH) + b"\x85R",
    "in a storage": stored(b"\x80\x02" + SYSTEM + b"."),
    "in a storage, further on": stored(LEGACY + b"\x80\x02" + SYSTEM + b"."),
    "setstate": MODULE + b"}" + text("__setstate__") + named("posix", "system") + b"sb" + text(TOUCH) + b"b",
}
PASSIVE = {
    "popen": named("subprocess", "Popen") + b"]" + text("touch") + b"a" + text("marker") + b"a\x85\x81",
    "class": MODULE + b"}" + text("__class__") + named("subprocess", "Popen") + b"sb",
    "dunders": MODULE + b"}(" + b"".join(text(f"__{n}__") + text(CODE) for n in ("class", "reduce")) + b"ub",
    "state of a name": named("torch.nn.modules.container", "ModuleDict") + b"}" + text("forward") + b"Nsb",
    "state of a dict": b"}}" + text("__class__") + b"Nsb",
    "call of an object": MODULE + b")R",
    "call of a string": text("posix.system") + text(TOUCH) + b"\x85R",
    "called with a string": named("collections", "OrderedDict") + text("ab") + b"R",
    "reconstructor": named("copyreg", "_reconstructor") + named("subprocess", "Popen") + b"NN\x87R",
    "torch.load": called("torch.serialization", "load", text("marker")),
    "persistent id": text("marker") + b"Q",
    "storage outside": b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + b"tQ",
    "extension": b"\x82\x01",
    "names": b"](" + text("a") + b"e" + b"](" + text("b") + b"e\x93",
    "dtype of objects": named("numpy.core.multiarray", "scalar")
    + (called("numpy", "dtype", text("O8")) + b"(K\x03" + text("|") + b"tb" + b"C\x01a\x86R"),
}


@pytest.mark.parametrize("place", [b"\x80\x04%b.", b"\x80\x04}" + text("ema") + b"%bs."])
@pytest.mark.parametrize("name", [*ACTIVE, *PASSIVE])
def test_nothing_is_run(path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: bytes) -> None:
    monkeypatch.chdir(path.parent)
    marker = path.with_name("marker")
    data = place % (ACTIVE | PASSIVE)[name]
    if name in ACTIVE:  # the danger is real
        with contextlib.suppress(Exception):
            pickle.loads(data)
        marker.unlink()
    message = refusal(path, data)
    if name in ACTIVE:
        assert "nothing of it was run" in message or "no EDM network has" in message
    assert not marker.exists()


def test_a_network_with_more_in_it_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    instance = network()
    instance.model.get_submodule("enc").extra = Calls(os.system, TOUCH)  # type: ignore[assignment]
    message = "its pickle asks for 'posix.system', which is not data; nothing of it was run. Take a file "
    message += "from a source you trust, or convert it where it was made"
    assert refusal(path, written({"ema": instance})) == message
    assert refusal(path, written({"ema": network(), "loss_fn": Calls(os.system, TOUCH)})) == message
    assert not path.with_name("marker").exists()


def rebuilt(offset: Any, size: Any, stride: Any, storage: Any = None) -> Calls:
    """A tensor on a storage of four numbers."""
    storage = storage or torch.ones(4)._typed_storage()
    return Calls(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


def with_buffer(buffer: Any, name: str = "x") -> bytes:
    instance = network()
    instance.__dict__["_buffers"][name] = buffer
    return written({"ema": instance})


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, (2,), (4,)),
        (0, (4, 4), (1, 0)),
        (0, (10**12,), (0,)),
        (4, (), ()),
        (0, (1,) * 20, (1,) * 20),
        (0, (2.0,), (1,)),
        (0, (True,), (1,)),
        (2**70, (2,), (2**70,)),
    ],
)
def test_tensors_stay_in_their_storage(path: Path, offset: Any, size: Any, stride: Any) -> None:
    assert "does not fit its storage" in refusal(path, with_buffer(rebuilt(offset, size, stride)))


def test_storages_are_whole(path: Path) -> None:
    class Bytes:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def __reduce__(self) -> tuple[Any, ...]:
            return torch.storage._load_from_bytes, (self.data,)

    data = torch_saved(torch.ones(4)._typed_storage(), _use_new_zipfile_serialization=False)
    path.write_bytes(with_buffer(rebuilt(0, (4,), (1,), Bytes(data))))
    assert torch.equal(persistent_tensors(path)[0]["x"], torch.ones(4))
    for cut in (1, 16, 17, 20, 60, len(data) - 3):
        assert refusal(path, with_buffer(rebuilt(0, (4,), (1,), Bytes(data[:-cut]))))
    assert "17 bytes where 4" in refusal(path, with_buffer(rebuilt(0, (4,), (1,), Bytes(data + b"\0"))))
    assert "unknown format" in refusal(path, with_buffer(rebuilt(0, (4,), (1,), Bytes(pickle.dumps(1) * 2))))
    many = data.replace(struct.pack("<q", 4), struct.pack("<q", 2**40))
    assert "unknown format" in refusal(path, with_buffer(rebuilt(0, (4,), (1,), Bytes(many))))


def doubled(times: int) -> bytes:
    """A list of two of a list of two of ..., shared, so that it is small."""
    return b"]\x94" + b"".join(b"](h%bh%be\x94" % (bytes([n]), bytes([n])) for n in range(times))


BOMBS = {
    "a name that is never written out": doubled(60) + doubled(1) + b"\x93",
    "a key with a deep hash": b"}" + b")" + b"\x85" * 100_000 + b"Ns",
    "keys with one hash": b"}("
    + b"".join(b"\x8a\x09" + (n * (2**61 - 1)).to_bytes(9, "little") + b"N" for n in range(9))
    + b"u",
    "a set of numbers": b"\x8f(K\x01\x90",
    "2^60 bytes": b"\x8e" + struct.pack("<Q", 2**60),
    "2^63 bytes": b"\x8e" + struct.pack("<Q", 2**63),
    "2^31 bytes of a number": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "a memo of 2^31": b"}r" + struct.pack("<I", 2**31),
    "a frame of 2^60": b"\x95" + struct.pack("<Q", 2**60) + b"}",
    "nothing to pop": b"0000",
    "no such memo": b"h\x07",
    "given that double": b"}" + text("ema") + doubled(60) + b"s",
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_stay_small(path: Path, name: str) -> None:
    """Whoever expands one needs more than this memory; a loop over its numbers hits the test's timeout."""
    tracemalloc.start()
    try:
        assert refusal(path, b"\x80\x04" + BOMBS[name] + b".")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_networks_that_grow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = network()
    twice.other = twice.model
    assert "another place" in refusal(path, written({"ema": twice}))
    loop = nn.ModuleDict()
    loop["x"] = loop
    cyclic = network()
    cyclic.loop = loop
    assert "another place" in refusal(path, written({"ema": cyclic}))
    deep = nn.ModuleDict()
    for _ in range(60):
        deep = nn.ModuleDict({"a" * 20: deep})
    nested = network()
    nested.deep = deep
    assert "nested too deep" in refusal(path, written({"ema": nested}))
    assert "odd name 'a.b\\n'" in refusal(path, with_buffer(torch.ones(1), "a.b\n"))
    assert "is not a tensor" in refusal(path, with_buffer([1.0]))
    large = network()
    tensor = torch.ones(10_000)
    for n in range(50):
        large.register_buffer(f"b{n}", tensor)
    assert "more than the file holds" in refusal(path, written({"ema": large}))
    data = torch_saved(tensor._typed_storage(), _use_new_zipfile_serialization=False)
    again = (
        b"\x80\x04"
        + stored(data)[:-2]
        + b"\x940"
        + b"".join(named("torch.storage", "_load_from_bytes") + b"h\x00\x85R" for _ in range(50))
    )
    assert "more than the file holds" in refusal(path, again + b".")
    monkeypatch.setattr(pickles, "_MOST", 1000)
    assert "more than 1000 instructions" in refusal(path, b"\x80\x04" + b"}" * 2000 + b".")


DATA = written({"ema": network(), "loss_fn": EDMLoss()}, "import os\n" * 10)
here = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_part_of_a_file_is_refused(path: Path) -> None:
    for end in (*range(0, len(DATA), 17), *range(len(DATA) - 50, len(DATA))):
        assert "not a whole one" in refusal(path, DATA[:end])


@here
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(path: Path, data: bytes) -> None:
    assert refusal(path, data)
    assert refusal(path, b"\x80\x04" + data)


@here
@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_are_refused_or_data(path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(DATA)
    for place, value in changes:
        data[place] = value
    path.write_bytes(data)
    try:
        persistent_tensors(path)
    except BenchError:
        assert refusal(path, bytes(data))


PIECES = [bytes([code]) for code in b"N\x88\x89])}\x8f(tesu\x86\x87\x85a\x94R\x81b0Q."] + [
    *(b"h\x00", b"h\x01", b"q\x01", b"K\x02", b"C\x01a", text("ema"), text("state"), MODULE),
    named("torch_utils.persistence", "_reconstruct_persistent_obj"),
    named("torch._utils", "_rebuild_tensor_v2"),
    named("torch._utils", "_rebuild_parameter"),
    named("torch.storage", "_load_from_bytes"),
    named("numpy.core.multiarray", "scalar"),
    named("collections", "OrderedDict"),
    stored(torch_saved(torch.ones(4)._typed_storage(), _use_new_zipfile_serialization=False)),
]


@here
@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_instructions_are_refused(path: Path, parts: list[bytes]) -> None:
    assert refusal(path, b"\x80\x04" + b"".join(parts) + b".")
    assert refusal(path, b"\x80\x04}" + text("ema") + b"".join(parts) + b"s.")
