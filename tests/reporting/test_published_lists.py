"""Published figures as a list and as a picture."""

from __future__ import annotations

import numpy as np
import pytest

from bench import BenchError
from bench.reporting.published_lists import figures_layout, figures_plot, sorted_by
from tests.support.made_up import figure


def test_a_line_says_what_a_figure_is_of_and_what_is_not_stated() -> None:
    layout = figures_layout(
        [
            figure(std=0.25, parameters={"predictor.s_churn": None, "grid.rho": 7.0}, sde="ve"),
            figure(checkpoint="", sampler="", grid="", nfe=None, preset="", guidance="", kind="learned"),
        ]
    )
    first, second = (
        dict(zip(layout.header, (entry.plain for entry in line), strict=True)) for line in layout.lines
    )
    assert first == {
        "checkpoint": "edm-cifar10-uncond-vp",
        "data set": "cifar10-train",
        "metric": "fid-edm",
        "SDE": "ve",
        "sampler": "heun (s_churn=?)",
        "in the source": "Heun",
        "grid": "polynomial (rho=7)",
        "NFE": "19",
        "value": "2.50 ± 0.25",
        "source": "a paper, Table 1 (2022): paper text",
    }
    expected = {
        "checkpoint": "(EDM)",
        "metric": "fid ?",
        "sampler": "",
        "NFE": "",
        "in the source": "Heun (learned)",
    }
    assert {name: second[name] for name in expected} == expected


def test_lines_are_sorted_and_otherwise_stay() -> None:
    figures = [figure(nfe=None, value=3.0), figure(nfe=9, value=2.0, year=None), figure(nfe=5, value=4.0)]
    assert [one.nfe for one in sorted_by("nfe", figures)] == [5, 9, None]
    assert [one.value for one in sorted_by("value", figures)] == [2.0, 3.0, 4.0]
    assert sorted_by("year", figures)[0].year is None
    assert sorted_by("checkpoint", figures) == figures


def test_a_picture_has_a_curve_per_sampler_and_source_with_every_figure() -> None:
    figures = [figure(nfe=n, value=v, source=s) for s in ("one", "other") for n, v in ((5, 9.0), (10, 3.0))]
    figures += [figure(nfe=10, value=7.0, preset="song2021"), figure(nfe=None, value=100.0)]
    picture = figures_plot(figures)
    titles = [axes.get_title() for axes in picture.axes]
    assert titles == ["edm-cifar10-uncond-vp · fid-edm", "edm-cifar10-uncond-vp · fid-song2021"]
    first, second = picture.axes
    points = [
        sorted(zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True))
        for line in first.lines
    ]
    assert points == [[(5.0, 9.0), (10.0, 3.0)]] * 2
    assert len({str(line.get_linestyle()) + str(line.get_markerfacecolor()) for line in first.lines}) == 2
    assert [list(np.asarray(line.get_ydata())) for line in second.lines] == [[7.0]]
    names = [text.get_text() for text in picture.legends[0].get_texts()]
    assert names == ["Heun", "one", "other", "a paper"]


def test_what_can_t_be_drawn_says_why() -> None:
    with pytest.raises(BenchError, match="give --metric fid or kid"):
        figures_plot([figure(), figure(metric="kid")])
    with pytest.raises(BenchError, match="no figure of these states its network calls"):
        figures_plot([figure(nfe=None)])
