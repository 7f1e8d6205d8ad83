"""A folder of reports: an index, a page for each source, and their records."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench
from bench import BenchError, Record
from bench.reporting.page.site import folder_names, without_paths
from bench.results.store import Store
from tests.support.made_up import failed_record, fill, record, suite_plan
from tests.support.made_up_pages import MARKUP, ScriptTexts


def links(folder: Path) -> list[str]:
    """Where the links of the index lead."""
    tags = ScriptTexts((folder / "index.html").read_text()).tags
    return [f"{attributes['href']}" for tag, attributes in tags if tag == "a"]


def test_every_link_of_the_index_leads_to_a_file_of_the_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(Store(tmp_path / name), suite_plan("table1", seeds=2), failed=[(3, 0)])
    site = bench.publish(tmp_path / "a", tmp_path / "b", to=tmp_path / "public")
    places = links(site.folder)
    assert len(places) == len(set(places)) == 2 * (1 + 52)
    assert all((site.folder / place).is_file() for place in places)
    files = {str(path.relative_to(site.folder)) for path in site.folder.rglob("*") if path.is_file()}
    assert files == {"index.html", *places}
    assert not site.complete
    assert site.text == f"{site.folder / 'index.html'}: 2 reports, 104 records"


def test_a_suite_publishes_its_own_records_alone_and_they_read_back(tmp_path: Path) -> None:
    plan = suite_plan("table1", seeds=1)
    store = Store(tmp_path / "results")
    fill(store, plan)
    other = record(0, fingerprint="e" * 16, title="no run of the suite")
    store.write_record(other)
    site = bench.publish("table1", to=tmp_path / "public", out=tmp_path / "results")
    files = sorted((site.folder / "table1" / "records").iterdir())
    assert [path.stem for path in files] == sorted({run.fingerprint for run in plan.cells})
    for path in files:
        published = Record.from_json(path.read_bytes())
        original = store.read_record(path.stem)
        assert original is not None
        assert published == without_paths(original)


def test_no_path_of_the_machine_is_in_a_published_record() -> None:
    one = failed_record(0, log="/home/me/results/logs/0.log", preview="/home/me/results/images/0.png")
    assert "/home/me" not in without_paths(one).model_dump_json()
    assert without_paths(one).reason == one.reason


def test_a_second_time_replaces_and_other_files_stay(tmp_path: Path) -> None:
    fill(Store(tmp_path / "results"), suite_plan("table1", seeds=1))
    public = tmp_path / "public"
    public.mkdir()
    (public / "CNAME").write_text("example.org")
    bench.publish(tmp_path / "results", to=public)
    before = (public / "index.html").read_text()
    bench.publish(tmp_path / "results", to=public)
    assert (public / "index.html").read_text() == before
    assert (public / "CNAME").read_text() == "example.org"


@pytest.mark.parametrize("name", ["index.html", "results/report.html"])
def test_a_page_of_another_program_is_not_replaced(name: str, tmp_path: Path) -> None:
    fill(Store(tmp_path / "results"), suite_plan("table1", seeds=1))
    page = tmp_path / "public" / name
    page.parent.mkdir(parents=True)
    page.write_text("<!DOCTYPE html>\n<title>my project</title>")
    with pytest.raises(BenchError, match=r"is no page of bench: name another folder by -o"):
        bench.publish(tmp_path / "results", to=tmp_path / "public")
    assert "my project" in page.read_text()
    assert [path for path in (tmp_path / "public").rglob("*") if path.is_file()] == [page]


def test_names_are_safe_and_each_once() -> None:
    assert folder_names(["fast", "Fast", "a b/../c", "..", ""]) == [
        "fast",
        "Fast-2",
        "a-b-..-c",
        "report",
        "report-2",
    ]
    assert folder_names(["index.html", "Index.html"]) == ["index.html-2", "Index.html-3"]
    assert max(len(name) for name in folder_names(["x" * 300])) <= 80


def test_a_results_folder_may_have_the_name_of_the_index(tmp_path: Path) -> None:
    fill(Store(tmp_path / "index.html"), suite_plan("table1", seeds=1))
    site = bench.publish(tmp_path / "index.html", to=tmp_path / "public")
    assert [report.name for report in site.reports] == ["index.html-2"]
    assert "index.html-2/report.html" in links(site.folder)


def test_a_name_that_would_be_markup_is_text_in_the_index(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.write_record(record(0, title=MARKUP))
    site = bench.publish(tmp_path / "results", to=tmp_path / "public")
    parsed = ScriptTexts((site.folder / "index.html").read_text())
    assert not [tag for tag, _ in parsed.tags if tag in ("script", "img")]
    assert any(MARKUP in text for text in parsed.texts)


def test_a_folder_that_can_not_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    fill(Store(tmp_path / "results"), suite_plan("table1", seeds=1))
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="can't be written"):
        bench.publish(tmp_path / "results", to=tmp_path / "file")
    with pytest.raises(BenchError, match="to must name a folder"):
        bench.publish(tmp_path / "results", to="")
