"""The file of a page: its size, and what `bench.report` says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench
from bench.errors import BenchError
from bench.results.store import Store
from tests.support.made_up import fill, suite_plan
from tests.support.made_up_pages import suite_page


def test_table1_of_five_seeds_with_pictures_has_at_most_3_mb(tmp_path: Path) -> None:
    """Of noise, the pictures that compress least."""
    page, text = suite_page(tmp_path, "table1", seeds=5)
    assert (page.cells, page.runs, page.pictures) == (26, 130, 26)
    assert page.size == len(text.encode()) <= 3_000_000
    assert text.count("data:image/png") == 26


def test_2000_runs_without_pictures_have_at_most_2_mb(tmp_path: Path) -> None:
    page, _ = suite_page(tmp_path, "nfe", seeds=12, pictures=False)
    assert page.runs >= 2000
    assert page.size <= 2_000_000


def test_the_numbers_are_those_of_the_page(tmp_path: Path) -> None:
    page, text = suite_page(tmp_path, failed=[(3, 0)], missing=[(5, 0)])
    assert not page.complete
    assert page.failed == 1
    assert page.path == tmp_path / "report.html"
    assert json.loads(json.dumps(page.plain()))["size"] == len(text.encode())
    assert page.text.startswith(f"{page.path}: 1 table, 26 cells, 51 runs, 1 of them failed, samples of 24; ")


def test_several_sources_are_one_page(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(Store(tmp_path / name), suite_plan("table1", seeds=1))
    page = bench.report(tmp_path / "a", tmp_path / "b", to=tmp_path / "deep" / "report.html")
    assert (page.tables, page.runs, page.complete) == (2, 52, True)
    assert page.path.exists()


def test_a_file_that_can_not_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    fill(Store(tmp_path), suite_plan("table1", seeds=1))
    with pytest.raises(BenchError, match=r"can't be written .*: name another file$"):
        bench.report("table1", out=tmp_path, to=tmp_path)
    with pytest.raises(BenchError, match="to must name a file"):
        bench.report("table1", out=tmp_path, to="")
