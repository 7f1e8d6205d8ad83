"""Opening files that may hold anything: tensors alone come out, and one clear line where they don't."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import BenchError
from bench.cache import is_web_page
from bench.errors import printable

if TYPE_CHECKING:
    from torch import Tensor


PAGE = "is a web page, not the file: fetch it in a browser"


def torch_file(path: Path) -> Any:
    """What ``torch.save`` wrote, on the host. Nothing but tensors and plain containers is ever made."""
    import pickle
    import warnings
    import zipfile

    import torch

    damaged = f"{path.name} is not a file of torch.save's, or damaged: fetch it again"
    if is_web_page(path):
        raise BenchError(f"{path.name} {PAGE}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols: what can't be read is refused below
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None
            )
    except FileNotFoundError as error:
        raise BenchError(f"{path.name} is missing") from error
    except pickle.UnpicklingError as error:
        asked = re.search(r"(?:GLOBAL|class) ([\w.]+)", str(error))
        if asked is None:
            raise BenchError(damaged) from error
        raise BenchError(
            f"{path.name} asks for {printable(asked[1], 80)!r}, which is not data; nothing of it was run: "
            "take the file from a source that you trust"
        ) from error
    except Exception as error:  # a damaged pickle fails in any way it likes
        raise BenchError(damaged) from error


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
