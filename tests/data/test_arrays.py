"""Arrays in archives: what a file declares is checked before it is read."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench import BenchError
from bench.data.arrays import MAX_ARRAYS, open_arrays, read_header


def header(text: str, version: bytes = b"\1\0") -> bytes:
    """The header of an array with this text as its dictionary."""
    body = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(body)) + body


def described(descr: str = "'|u1'", shape: str = "(4, 8, 8, 3)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    "content",
    [
        header(described(shape="(4, 8")),
        header(described(shape="(" * 3000)),
        header(described(shape="(1" + "0" * 5000 + ",)")),
        header(described(shape="(-1,)")),
        header(described(shape="(True,)")),
        header(described(shape=f"({2**40 + 1},)")),
        header(described(shape="(1,) * 9")),
        header(described(shape="(1, 1, 1, 1, 1, 1, 1, 1, 1)")),
        header(described().replace("'shape'", "b'shape'")),
        header(described(descr="[")),
        header(described(descr="'<q9'")),
        header("[" * 5000),
        header(described(), version=b"\x09\0"),
        header(described())[:20],
        b"",
        b"nothing",
    ],
)
def test_damaged_headers_are_one_line(content: bytes) -> None:
    with pytest.raises(ValueError, match="array") as caught:
        read_header(io.BytesIO(content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_headers_are_those_of_numpy() -> None:
    for array in (np.zeros((4, 8, 8, 3), np.uint8), np.asfortranarray(np.eye(3)), np.array("text")):
        file = io.BytesIO()
        np.save(file, array)
        file.seek(0)
        parsed = read_header(file)
        assert (parsed.shape, parsed.dtype, parsed.nbytes) == (array.shape, array.dtype, array.nbytes)
        assert parsed.fortran == (array.ndim == 2)


def error_of(path: Path) -> str:
    """The line by which a file is refused."""
    with pytest.raises(BenchError) as caught, open_arrays(path, "an .npz"):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_members_that_numpy_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    content = header(described()) + bytes(4 * 8 * 8 * 3)
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("x.npy", content)
        assert "compressed by a method that NumPy does not write" in error_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(MAX_ARRAYS + 1):
            archive.writestr(f"{number}.npy", content)
    assert f"it has {MAX_ARRAYS + 1} arrays, more than {MAX_ARRAYS}" in error_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header(described(shape="(1000000000000, 8, 8, 3)")) + bytes(100))
    assert "'x' has 100 bytes where 192000000000000 belong" in error_of(path)


@pytest.mark.parametrize("place", [20, 24])
def test_sizes_that_lie(tmp_path: Path, place: int) -> None:
    """A member that declares 2 GB, compressed or not, of which a few bytes are there."""
    path = tmp_path / "x.npz"
    shape = f"({2**31 - 100},)"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header(described(shape=shape)))
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\1\2")
    content[directory + place : directory + place + 4] = struct.pack("<I", 2**31 - 10)
    path.write_bytes(content)
    tracemalloc.start()
    line = error_of(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert "is not an .npz, or damaged" in line


def test_arrays_are_read(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array("text")}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
        with open_arrays(tmp_path / "x.npz", "an .npz") as (_, file):
            assert file.headers["a"].shape == (2, 3)
            for name, array in arrays.items():
                assert np.array_equal(file.read(name), array)
