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


def preview_images(png: bytes, shape: tuple[int, ...], samples: int) -> NDArray[np.uint8]:
    """The images of a preview, pixel by pixel as the run's samples had them in 8 bits.

    Args:
        png: A preview as `bench.data.preview.grid_png` draws it: images of ``shape``, each pixel a square.
        shape: Channels, height and width of an image.
        samples: Number of samples of the run.

    Returns:
        The first images (n, H, W, 3), at most `IMAGES`.

    Raises:
        ValueError: The picture is not such a grid.
    """
    import numpy as np
    from PIL import Image

    _, height, width = shape
    scale = max(2, math.ceil(SIDE / max(height, width)))
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    count = min(64, samples)
    across = math.ceil(math.sqrt(count))
    expected = [
        math.ceil(count / across) * (height * scale + GAP) + GAP,
        across * (width * scale + GAP) + GAP,
    ]
    if list(pixels.shape[:2]) != expected:
        raise ValueError(f"the preview has {pixels.shape[1]}x{pixels.shape[0]} pixels")
    images = []
    for i in range(min(count, IMAGES)):
        y, x = (
            GAP + n * (size * scale + GAP) for n, size in zip(divmod(i, across), (height, width), strict=True)
        )
        images.append(pixels[y : y + height * scale : scale, x : x + width * scale : scale])
    return np.stack(images)


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
    """

    png: bytes
    images: NDArray[np.uint8] | None

    def first(self, n: int) -> Picture:
        """The picture of the first ``n`` images; a scatter plot as it is."""
        if self.images is None or len(self.images) <= n:
            return self
        return Picture(strip(self.images[:n]), self.images[:n])

    def plain(self) -> JSONObject:
        """The picture as JSON data: ``src``, a data URL, and ``n`` images of ``width`` and ``height`` in it,
        ``n`` 0 for a scatter plot."""
        n, height, width = (0, 0, 0) if self.images is None else self.images.shape[:3]
        src = f"data:image/png;base64,{base64.b64encode(self.png).decode()}"
        return {"src": src, "n": n, "width": width, "height": height}


def picture_of(record: Record, store: Store) -> Picture | None:
    """The samples of a run; None where it has no picture of plain samples.

    Tasks other than generation lay their pictures out in ways of their own, and are left out.
    """
    identity, path = record.identity, store.image_path(record.fingerprint)
    if record.status != "finished" or identity.task.name != DEFAULT_TASK:
        return None
    try:
        with path.open("rb") as file:
            png = file.read(MAX_PREVIEW)
        if len(identity.checkpoint.shape) == 1:
            return Picture(png, None)
        images = preview_images(png, identity.checkpoint.shape, record.samples)
    except (OSError, ValueError):  # a page without a picture is better than none
        return None
    return Picture(strip(images), images)


def within_budget(pictures: Sequence[Picture], budget: int = BUDGET) -> list[Picture]:
    """The pictures with as many images each as ``budget`` bytes allow, four at least."""
    size = sum(len(picture.png) for picture in pictures)
    n = IMAGES if size <= budget else max(FEWEST, int(IMAGES * budget / size))
    return [picture.first(n) for picture in pictures]
