"""Published figures as points of a plot."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.reporting.published_points import published_points
from tests.support.made_up import figure


def test_every_figure_is_a_point_and_a_cell_without_any_keeps_its_line() -> None:
    cells = pd.DataFrame({"row": ["a", "b"]})
    figures = pd.Series([(figure(value=3.0, std=0.1), figure(value=4.0)), ()])
    points = published_points(cells.assign(published=figures), "published")
    assert points["row"].tolist() == ["a", "a", "b"]
    np.testing.assert_array_equal(points["published_value"], [3.0, 4.0, np.nan])
    np.testing.assert_array_equal(points["published_spread"], [0.1, np.nan, np.nan])
