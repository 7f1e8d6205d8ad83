"""Pictures of samples as PNG: images in a grid, points as a scatter plot."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from bench.data.pixels import to_uint8

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from torch import Tensor

    from bench.types import Array

SIDE = 64
"""Pixels to which the longer side of an image is enlarged, by a whole factor of 2 or more."""
POINTS = 2000
"""Greatest number of points of each kind in a scatter plot."""
SAMPLES, TRUTH = "#0072B2", "#B0B0B0"
"""Colors of samples (the blue of Okabe and Ito, 2008) and of the truth behind them."""
MARGIN = 0.25
"""Share of the truth's extent that a scatter plot shows about it."""


def preview_png(
    items: Tensor, columns: int, data_range: tuple[float, float], truth: Tensor | None = None
) -> bytes | None:
    """The picture of a run's samples.

    Args:
        items: Images (B, C, H, W) with one channel or three, images (B, H, W), or points (B, D), on the unit
            range.
        columns: Images side by side.
        data_range: The values of the data's own coordinates that are 0 and 1 on the unit range.
        truth: Points (n, D) that samples are compared with; unused with images.

    Returns:
        PNG bytes; None for images of another number of channels.
    """
    if items.dim() == 2:
        return points_png(items, data_range, truth)
    images = items.unsqueeze(1) if items.dim() == 3 else items
    return grid_png(images, columns) if images.shape[1] in (1, 3) else None


def grid_png(images: Tensor, columns: int, scale: int | None = None, gap: int = 2) -> bytes:
    """Images (B, C, H, W) on [0, 1] -> PNG bytes of a grid row by row.

    Each pixel becomes a square of ``scale`` pixels; None for a scale by which small images reach `SIDE`.
    """
    import numpy as np
    from PIL import Image

    if scale is None:
        scale = max(2, math.ceil(SIDE / max(images.shape[2:])))
    pixels = to_uint8(images).permute(0, 2, 3, 1).numpy().repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, channels = pixels.shape
    rows = math.ceil(count / columns)
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for i, image in enumerate(pixels):
        y, x = (gap + n * (size + gap) for n, size in zip(divmod(i, columns), (height, width), strict=True))
        canvas[y : y + height, x : x + width] = image
    out = io.BytesIO()
    Image.fromarray(canvas.squeeze(2) if channels == 1 else canvas).save(
        out,
        format="PNG",
        compress_level=1,  # a tenth larger than the default, in a fifth of its time
    )
    return out.getvalue()


def points_png(points: Tensor, data_range: tuple[float, float], truth: Tensor | None = None) -> bytes:
    """Points (B, D) on the unit range -> PNG bytes of a plot of the first two coordinates, the truth in gray.

    Axes are in the data's own coordinates and of equal scale. They show the truth's extent and a quarter of
    it on each side; the legend says how many points lie beyond. A single coordinate is drawn as a histogram.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    low, high = data_range
    ours, theirs = (
        None if x is None else x[:POINTS, :2].double().numpy() * (high - low) + low for x in (points, truth)
    )
    assert ours is not None
    bounds = _bounds(ours if theirs is None else theirs)
    beyond = int((abs(ours - bounds.mean(axis=0)) > (bounds[1] - bounds[0]) / 2).any(axis=1).sum())
    label = f"{len(ours)} samples" + (f", {beyond} of them beyond" if beyond else "")
    style: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    out = io.BytesIO()
    with mpl.rc_context(style):
        figure = Figure(figsize=(5.0, 5.3), dpi=120, layout="constrained")
        axes = figure.subplots()
        (_histogram if ours.shape[1] == 1 else _scatter)(axes, ours, theirs, label, bounds)
        figure.legend(loc="outside upper center", ncols=2, frameon=False, markerscale=3)
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _bounds(points: Array) -> np.ndarray[Any, Any]:
    """Least and greatest coordinates (2, D) that a plot shows."""
    import numpy as np

    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * np.maximum(high - low, 1e-9)
    return np.stack([low - margin, high + margin])


def _scatter(axes: Axes, ours: Array, theirs: Array | None, label: str, bounds: Array) -> None:
    if theirs is not None:
        axes.scatter(theirs[:, 0], theirs[:, 1], s=4, color=TRUTH, linewidths=0, label="truth")
    axes.scatter(ours[:, 0], ours[:, 1], s=4, color=SAMPLES, linewidths=0, alpha=0.7, label=label)
    axes.set(xlim=bounds[:, 0], ylim=bounds[:, 1], xlabel="coordinate 1", ylabel="coordinate 2")
    axes.set_aspect("equal")
    axes.set_anchor("N")


def _histogram(axes: Axes, ours: Array, theirs: Array | None, label: str, bounds: Array) -> None:
    import numpy as np

    bins: Any = np.linspace(bounds[0, 0], bounds[1, 0], 61)
    if theirs is not None:
        axes.hist(theirs[:, 0], bins, density=True, color=TRUTH, label="truth")
    axes.hist(ours[:, 0], bins, density=True, histtype="step", color=SAMPLES, linewidth=1.5, label=label)
    axes.set(xlim=bounds[:, 0], xlabel="coordinate 1", ylabel="density")
