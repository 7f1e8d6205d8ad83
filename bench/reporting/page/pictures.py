"""Samples of runs for the page: the first images of each run's preview, side by side in one small PNG."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.data.preview import SIDE
from bench.plan.settings import DEFAULT_TASK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.results.record import Record
    from bench.results.store import Store
    from bench.types import JSONObject

IMAGES = 16
"""Greatest number of samples that a page shows of a run."""
FEWEST = 4
"""Number of samples that it shows at least."""
BUDGET = 1_700_000
"""Bytes of all pictures of a page, beyond which it shows fewer samples of each run; base64 adds a third."""
GAP = 2
"""Pixels between the images of a preview (`bench.data.preview.grid_png`)."""
MAX_PREVIEW = 8_000_000
"""Greatest size of a preview file that is read, in bytes."""


def preview_images(png: bytes, shape: tuple[int, ...], samples: int | None) -> tuple[NDArray[np.uint8], int]:
    """The images of a preview, pixel by pixel as the run's samples had them in 8 bits.

    Args:
        png: A preview as `bench.data.preview.grid_png` draws it: images of ``shape``, each pixel a square.
        shape: Channels, height and width of an image.
        samples: Number of images, if they are fewer than the grid has room for; None where it is not known,
            so that what is white at the grid's end is no image.

    Returns:
        The first images (n, H, W, 3), at most `IMAGES`, and the number of images in a row of the grid.

    Raises:
        ValueError: The picture is not such a grid.
    """
    import numpy as np
    from PIL import Image

    _, height, width = shape
    scale = max(2, math.ceil(SIDE / max(height, width)))
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    (rows, beyond), (columns, beside) = (
        divmod(pixels.shape[axis] - GAP, size * scale + GAP) for axis, size in enumerate((height, width))
    )
    if beyond or beside or not rows * columns:
        raise ValueError(f"the preview has {pixels.shape[1]}x{pixels.shape[0]} pixels")
    images = []
    for i in range(min(rows * columns, IMAGES if samples is None else min(samples, IMAGES))):
        y, x = (
            GAP + n * (size * scale + GAP)
            for n, size in zip(divmod(i, columns), (height, width), strict=True)
        )
        images.append(pixels[y : y + height * scale : scale, x : x + width * scale : scale])
    while samples is None and len(images) > 1 and (images[-1] == 255).all():
        images.pop()
    return np.stack(images), columns


def strip(images: NDArray[np.uint8]) -> bytes:
    """Images (n, H, W, 3) -> a PNG of them side by side."""
    import numpy as np
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.concatenate(list(images), axis=1)).save(out, format="PNG", optimize=True)
    return out.getvalue()


@dataclasses.dataclass(frozen=True)
class Picture:
    """Samples of a run as a page holds them.

    Args:
        png: Images side by side, or a scatter plot of points.
        images: Their pixels (n, H, W, 3); None for a scatter plot.
        columns: Images in a row of the preview, where the task gives their places a meaning; 0 for samples.
    """

    png: bytes
    images: NDArray[np.uint8] | None
    columns: int = 0

    def first(self, n: int) -> Picture:
        """The picture of the first ``n`` images; a scatter plot as it is."""
        if self.images is None or len(self.images) <= n:
            return self
        return Picture(strip(self.images[:n]), self.images[:n], self.columns)

    def plain(self) -> JSONObject:
        """The picture as JSON data: ``src``, a data URL, and ``n`` images of ``width`` and ``height`` in it,
        ``n`` 0 for a scatter plot; ``columns`` of them in a row of the preview."""
        n, height, width = (0, 0, 0) if self.images is None else self.images.shape[:3]
        src = f"data:image/png;base64,{base64.b64encode(self.png).decode()}"
        return {"src": src, "n": n, "width": width, "height": height, "columns": self.columns}


def picture_of(record: Record, store: Store) -> Picture | None:
    """The samples of a run, of tasks other than generation the images of its preview; None where it has none.

    Args:
        record: The record of the run.
        store: Its results folder.
    """
    identity, path = record.identity, store.image_path(record.fingerprint)
    plain = identity.task.name == DEFAULT_TASK
    if record.status != "finished":
        return None
    try:
        with path.open("rb") as file:
            png = file.read(MAX_PREVIEW)
        if len(identity.checkpoint.shape) == 1:
            return Picture(png, None)
        samples = record.samples if plain else None
        images, columns = preview_images(png, identity.checkpoint.shape, samples)
    except (OSError, ValueError):  # a page without a picture is better than none
        return None
    return Picture(strip(images), images, 0 if plain else columns)


def within_budget(pictures: Sequence[Picture], budget: int = BUDGET) -> list[Picture]:
    """The pictures with as many images each as ``budget`` bytes allow, four at least."""
    size = sum(len(picture.png) for picture in pictures)
    n = IMAGES if size <= budget else max(FEWEST, int(IMAGES * budget / size))
    return [picture.first(n) for picture in pictures]
