"""Tables with published figures: beside the runs of their own key, and below the table for those of
others."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.reporting.published_figures import PublishedFigure
from bench.reporting.suite_tables import make_tables, tables_of_records
from bench.reporting.table import Table
from bench.results.store import Store
from tests.reporting.test_matching import run
from tests.support.made_up import figure, put

EDM = "edm-cifar10-uncond-vp"


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> list[PublishedFigure]:
    """A list that stands for the figures that ship with the project."""
    figures: list[PublishedFigure] = []
    monkeypatch.setattr("bench.reporting.suite_tables.all_figures", lambda: figures)
    return figures


def tables(tmp_path: Path, *runs: Any, published_of: list[str] | None = None) -> list[Table]:
    """The tables of these runs, written to the folder."""
    store = Store(tmp_path)
    for index, one in enumerate(runs):
        title = f"{one.identity.checkpoint.name} · vp · sampler {index}"
        changes = {"fingerprint": f"{index:016x}", "title": title}
        put(store, one.model_copy(update=changes))
    return make_tables(None, store, to=tmp_path / "tables", plots=False, published_of=published_of)


def test_disagreeing_sources_are_in_the_cell_and_in_every_file(
    tmp_path: Path, shipped: list[PublishedFigure]
) -> None:
    shipped += [
        figure(value=15.93, source="A"),
        figure(value=16.57, std=0.2, source="B"),
        figure(value=99.0, preset="song2021", source="C"),
        figure(value=98.0, checkpoint="another"),
    ]
    (table,) = tables(tmp_path, run(), run("ddim", nfe=10))
    assert [tuple(one.value for one in cell.published) for cell in table.cells] == [(15.93, 16.57), ()]
    assert not table.elsewhere
    assert table.sources == ("A, Table 1 (2022)", "B, Table 1 (2022)")
    assert table.folder is not None
    for name in ("fid-edm.md", "fid-edm.tex"):
        text = (table.folder / name).read_text()
        assert "15.93" in text
        assert "16.6 " in text
        assert "98" not in text
    assert "15.93 [1]; 16.6 ± 0.2 [2]" in table._repr_html_()
    with (table.folder / "cells.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["published"], first["published_std"]) == ("15.93; 16.57", "; 0.2")
    assert first["published_source"] == "A, Table 1 (2022); B, Table 1 (2022)"
    assert (second["published"], second["published_std"], second["published_source"]) == ("", "", "")
    with (table.folder / "fid-edm.csv").open(newline="") as file:
        wide = list(csv.DictReader(file))
    assert [row["value published"] for row in wide] == ["15.93; 16.57", ""]
    # what is near is named with what is another
    assert any("99 (C, Table 1 (2022); preset song2021" in note for note in table.notes)
    assert not any("98" in note for note in table.notes)


def test_no_figure_of_another_checkpoint_is_in_a_cell(tmp_path: Path, shipped: list[PublishedFigure]) -> None:
    shipped += [figure(value=15.93), figure(sampler="ddim", nfe=10, value=3.0)]
    runs = [run(checkpoint="gaussian-cifar10"), run("ddim", nfe=10, checkpoint="gaussian-cifar10")]
    (table,) = tables(tmp_path, *runs)
    assert not any(cell.published or cell.published_elsewhere for cell in table.cells)
    (table,) = tables(tmp_path, *runs, published_of=[EDM])
    assert not any(cell.published for cell in table.cells)
    assert [tuple(one.value for one in cell.published_elsewhere) for cell in table.cells] == [
        (15.93,),
        (3.0,),
    ]
    assert table.elsewhere_heading == f"Published fid-edm, of another checkpoint: {EDM}"
    assert table.folder is not None
    below = table.folder / "fid-edm-published.csv"
    with below.open(newline="") as file:
        assert [row["published_value"] for row in csv.DictReader(file)] == ["15.93", "3.0"]
    tables(tmp_path, *runs)
    assert not below.exists()
    with pytest.raises(BenchError, match="no published figure of 'nobody'"):
        tables(tmp_path, *runs, published_of=["nobody"])


def test_orders_are_compared_below_the_table(tmp_path: Path, shipped: list[PublishedFigure]) -> None:
    """Three runs of one column whose published order is the reverse of the measured one."""
    names = ("heun", "ddim", "dpmpp_2m")
    shipped += [figure(sampler=name, value=9.0 - i) for i, name in enumerate(names)]
    runs = [run(name, checkpoint="gaussian-cifar10") for name in names]
    values = [one.metrics["fid-edm"] for one in runs]
    runs = [
        one.model_copy(
            update={"metrics": {"fid-edm": value.model_copy(update={"value": float(i), "exact": None})}}
        )
        for i, (one, value) in enumerate(zip(runs, values, strict=True))
    ]
    (table,) = tables(tmp_path, *runs, published_of=[EDM])
    assert table.elsewhere_notes == (
        "Kendall's τ between the measured order and this, vp: -1.00 over 3 cells.",
        "Source: a paper, Table 1 (2022).",
    )


def test_the_end_of_a_run_has_the_figures_of_its_own_records(shipped: list[PublishedFigure]) -> None:
    shipped += [figure(value=15.93)]
    one, other = run(), run(checkpoint="gaussian-cifar10")
    other = other.model_copy(update={"fingerprint": "1" * 16})
    first, second = tables_of_records([one, other], [EDM])
    assert [cell.published for cell in first.cells] == [(shipped[0],)]
    assert not first.elsewhere
    assert second.elsewhere == (shipped[0],)
    assert not second.cells[0].published
