"""Figures of a table's cells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.reporting import plots


def test_a_curve_has_a_place_for_zero() -> None:
    """An abscissa of 0 has a place and a label of its own; without one the axis is log, as ever."""
    for x, scale in (([0.0, 0.5, 1.0], "symlog"), ([0.5, 1.0, 2.0], "log")):
        cells = pd.DataFrame({"x": x, "mean": [1.0, 2.0, 3.0], "sde": "vp", "row": "ddim"})
        cells = cells.assign(std=np.nan, exact=np.nan, error=np.nan, published=np.nan)
        (axes,) = plots.curve(cells, "x", "scale", "fd", "").axes
        low, high = axes.get_xlim()
        assert (axes.get_xscale(), low <= x[0], x[-1] <= high) == (scale, True, True)
        if scale == "symlog":
            assert axes.get_xticks().tolist() == x
