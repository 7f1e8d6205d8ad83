"""Masks: which pixels of an image are known."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import BenchError, did_you_mean, printable, user_path

Mask = NDArray[np.bool_]
EXAMPLES = ("left", "box", "random:0.5")
SUFFIXES = (".png", ".npy")
MOST_PIXELS = 2**24


def known_pixels(mask: str, height: int, width: int) -> Mask:
    """The mask of that name or file, True where a pixel is known.

    Args:
        mask: ``left``, the left half; ``box``, all but a box in the middle of half the height and width;
            ``random:p``, a share p of the pixels, the same ones in every run; or the path of a ``.png`` or
            ``.npy``, whose greater one of two values is known.
        height: Height of the images in pixels.
        width: Width of the images in pixels.

    Returns:
        Truth values (height, width).

    Raises:
        BenchError: There is no such mask, its file is damaged or of another size, or it knows everything or
            nothing.
    """
    path = _file(mask)
    known = _named(mask, height, width) if path is None else _read(path)
    if known.shape != (height, width):
        sizes = ["x".join(map(str, shape[::-1])) for shape in (known.shape, (height, width))]
        raise BenchError(f"the mask {mask} is {sizes[0]} pixels, the images are {sizes[1]}")
    if known.all() or not known.any():
        what = (
            "everything: there is nothing to fill in" if known.all() else "nothing: that is --task generate"
        )
        raise BenchError(f"the mask {mask} knows {what}")
    return known


def mask_label(mask: str) -> str:
    """A mask's name in records: a file's name and hash, without its folder."""
    path = _file(mask)
    return mask if path is None else f"{path.name} {hashlib.sha256(_bytes(path)).hexdigest()[:16]}"


def _file(mask: str) -> Path | None:
    """The path of a mask that is a file; None for a mask that has a name."""
    path = user_path(mask)
    return path if path.suffix.lower() in SUFFIXES else None


def _bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # opening a FIFO would wait for its other end
        raise BenchError(f"the mask {path} can't be read: it is not a file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BenchError(f"the mask {path} can't be read: {error.strerror}") from error


def _named(mask: str, height: int, width: int) -> Mask:
    known = np.zeros((height, width), dtype=np.bool_)
    name, _, share = mask.partition(":")
    if mask == "left":
        known[:, : width // 2] = True
    elif mask == "box":
        known[:] = True
        known[height // 4 : height - height // 4, width // 4 : width - width // 4] = False
    elif name == "random":
        p = _share(share)
        chosen = np.random.default_rng(0).permutation(known.size)[: round(p * known.size)]
        known.flat[chosen] = True
    else:
        raise BenchError(f"unknown mask {mask!r}{did_you_mean(mask, EXAMPLES)}; or give a PNG or .npy file")
    return known


def _share(text: str) -> float:
    try:
        p = float(text)
    except ValueError:
        p = float("nan")
    if not 0 < p < 1:
        raise BenchError(f"a random mask's share of known pixels must lie between 0 and 1, not {text!r}")
    return p


def _read(path: Path) -> Mask:
    """A mask from a file of two values, of which the greater one is known."""
    content = _bytes(path)
    values = _png(path, content) if path.suffix.lower() == ".png" else _npy(path, content)
    greatest = values.max(initial=0)
    if values.ndim != 2 or not np.isin(values, (0, greatest)).all():
        raise BenchError(
            f"the mask {path} must be black and white (height, width): 0 where unknown and 1, 255 or True "
            "where known"
        )
    return np.asarray(values > 0, dtype=np.bool_)


def _png(path: Path, content: bytes) -> NDArray[Any]:
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode not in ("1", "L", "RGB"):
                raise BenchError(f"the mask {path} is {image.mode}: save it in black and white")
            if image.width * image.height > MOST_PIXELS:
                raise BenchError(f"the mask {path} is of more than {MOST_PIXELS} pixels")
            pixels = np.array(image)
    except BenchError:
        raise
    except Exception as error:  # decoders raise errors of many types on damaged files
        reason = " ".join(f"{error}".split()).partition(" <_io")[0]
        raise BenchError(f"the mask {path} is no PNG, or damaged: {reason}") from error
    gray = pixels.ndim == 3 and (pixels == pixels[..., :1]).all()
    return pixels[..., 0] if gray else pixels


def _npy(path: Path, content: bytes) -> NDArray[Any]:
    import io

    try:
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # the parser of a damaged header raises errors of many types
        raise BenchError(f"the mask {path} is no .npy, or damaged: {printable(f'{error}')}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise BenchError(f"the mask {path} must be an array of numbers or truth values")
    return values
