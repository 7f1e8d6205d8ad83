"""Reading of files that may hold anything: the result is tensors, or an error of one line."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from bench import BenchError, is_web_page, printable

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Buffer

MOST_PICKLE = 8_000_000
"""Greatest size of the pickle in a file of `torch.save`, and of its archive's directory; those of published
networks have some 100 kB."""

PAGE = "is a web page, not the file: fetch it in a browser"


def torch_file(path: Path) -> Any:
    """The content of a file of ``torch.save``, on the host: tensors and plain containers, nothing else."""
    import pickle
    import warnings
    import zipfile

    import torch

    damaged = f"{path.name} is not a file of torch.save's, or damaged: fetch it again"
    if is_web_page(path):
        raise BenchError(f"{path.name} {PAGE}")
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols: unreadable files are refused below
            if zipfile.is_zipfile(path):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            with path.open("rb") as file:  # torch before 1.6: pickles, then the tensors' bytes
                return torch.load(cast("IO[bytes]", BoundedFile(file)), map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BenchError(f"{path.name} is missing") from error
    except pickle.UnpicklingError as error:
        name = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        if name is None:
            raise BenchError(damaged) from error
        raise BenchError(
            f"{path.name} asks for {printable(name[1], 80)!r}, which is not data; nothing of it was run: "
            "take the file from a source that you trust"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise BenchError(damaged) from error


class BoundedFile(io.RawIOBase):
    """A file of which `read` and `readline` give `MOST_PICKLE` bytes in all.

    By them pickles and the directories of archives are read. Torch reads tensors by `readinto`, which has no
    bound but the file's size.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._left = MOST_PICKLE

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._counted(self._file.read(self._bounded(size)))

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._counted(self._file.readline(self._bounded(size)))

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer).cast("B")
        content = self._file.read(len(view))
        view[: len(content)] = content
        return len(content)

    def _bounded(self, size: int | None) -> int:
        """The size of a read: not beyond the file's end, and one more than what is left at most."""
        rest = max(0, self._size - self._file.tell())
        return min(rest, self._left + 1) if size is None or size < 0 else min(size, rest, self._left + 1)

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"over {MOST_PICKLE} bytes that are no tensors")
        return content


def _check_archive(path: Path) -> None:
    """`ValueError` for a zip archive that is not as `torch.save` writes it: stored whole, its pickle small.

    A compressed pickle could inflate to a thousand times its size, and its instructions to more.
    """
    import zipfile

    if not zipfile.is_zipfile(path):
        return
    with path.open("rb") as file, zipfile.ZipFile(BoundedFile(file)) as archive:
        for member in archive.infolist():
            whole = member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size
            if not whole:
                raise ValueError(f"{member.filename} is compressed")
            if member.filename.endswith("data.pkl") and member.file_size > MOST_PICKLE:
                raise ValueError(f"{member.filename} has {member.file_size} bytes")


def safetensors_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise BenchError(f"{path.name} is missing") from error
    except (SafetensorError, OSError) as error:
        if is_web_page(path):
            raise BenchError(f"{path.name} {PAGE}") from error
        raise BenchError(
            f"{path.name} is not a safetensors file, or damaged: {printable(str(error))}"
        ) from error
