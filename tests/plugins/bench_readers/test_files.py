"""Files that may hold anything."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench import BenchError
from bench_readers.files import safetensors_file, torch_file


class Acts:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.marker,))


def test_tensors_are_read(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(2)}, tmp_path / "a.pt")
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    assert torch.equal(torch_file(tmp_path / "a.pt")["x"], torch.ones(2))
    assert torch.equal(safetensors_file(tmp_path / "a.safetensors")["x"], torch.ones(2))


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"x": Acts(tmp_path / "ran")}, tmp_path / "a.pt")
    with pytest.raises(BenchError, match="which is not data; nothing of it was run"):
        torch_file(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is missing"), (b"<html>", "is a web page"), (b"", "damaged"), (b"PK\x03\x04", "damaged")],
)
def test_other_files_are_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.bin"
    if content is not None:
        path.write_bytes(content)
    for read in (torch_file, safetensors_file):
        with pytest.raises(BenchError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith("a.bin ")
        assert "\n" not in str(caught.value)


def test_a_pickle_that_could_inflate_is_refused(tmp_path: Path) -> None:
    """30 MB of instructions compress to 30 kB."""
    path, stored = tmp_path / "a.pt", tmp_path / "stored.pt"
    torch.save({"x": torch.ones(2)}, stored)
    for method, pickled in (
        (zipfile.ZIP_DEFLATED, b"}" * 30_000_000),
        (zipfile.ZIP_STORED, b"}" * 8_000_001),
    ):
        with zipfile.ZipFile(stored) as whole, zipfile.ZipFile(path, "w", method) as archive:
            for name in whole.namelist():
                archive.writestr(name, pickled if name.endswith("data.pkl") else whole.read(name))
        tracemalloc.start()
        with pytest.raises(BenchError, match=r"a\.pt is not a file of torch.save's, or damaged"):
            torch_file(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()


def test_a_file_of_the_old_format_is_read(tmp_path: Path) -> None:
    """Tensors are larger than the bound of all else."""
    x, half = torch.arange(2_500_000.0), torch.ones(3, dtype=torch.bfloat16)
    torch.save({"x": x, "half": half, "epoch": 7}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    result = torch_file(tmp_path / "a.pt")
    assert torch.equal(result["x"], x)
    assert torch.equal(result["half"], half)
    assert result["epoch"] == 7


def test_a_large_pickle_of_the_old_format_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(["x" * 1000] * 2, path, _use_new_zipfile_serialization=False)
    start = path.read_bytes().partition(b"]q")[0]
    path.write_bytes(start + b"X" + struct.pack("<I", 30_000_000) + bytes(30_000_000))
    tracemalloc.start()
    with pytest.raises(BenchError, match="damaged"):
        torch_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


def test_a_large_directory_of_an_archive_is_refused(tmp_path: Path) -> None:
    """Its end says 100 MB, which are there."""
    path = tmp_path / "a.pt"
    size = 100_000_000
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, size, 0, 0))
    tracemalloc.start()
    with pytest.raises(BenchError, match="damaged"):
        torch_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
