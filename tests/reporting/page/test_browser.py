"""The page in Chromium: every filter, switch, sort and drawer, by mouse and by keys."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bench
from bench.reporting.page.render import render
from bench.reporting.page.sources import PageSource
from bench.results.store import Store
from tests.benchmarks.page import EMPTY, filter_ms, load_ms, plain_page
from tests.support.browser import OpenPage, require_browser, started_browser, wait_for
from tests.support.made_up import METRIC, cell, figure, metric_record, plugin, put, suite_plan, table
from tests.support.made_up_pages import MARKUP, page_data_of, rows_of, suite_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NOTE = "too few samples"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table 1, made up: a name that is markup, a failed cell with its log, a missing one, one with a dagger,
    negative values, pictures."""
    require_browser()
    root = tmp_path_factory.mktemp("page")
    plan = suite_plan("table1")
    first = plan.cells[0].row
    cells = [
        one.model_copy(update={"row": MARKUP + first}) if one.row == first else one for one in plan.cells
    ]
    plan = plan.model_copy(update={"cells": tuple(cells)})
    gaps: dict[str, Any] = {"failed": [(3, 0), (3, 1)], "missing": [(5, 0), (5, 1)]}
    suite_page(root, plan=plan, **gaps)
    store = Store(root / "results")
    for run in (plan.cells[1], plan.cells[27]):
        record = store.read_record(run.fingerprint)
        assert record is not None
        put(store, record.model_copy(update={"metrics": {METRIC: metric_record(1, value=-0.25, note=NOTE)}}))
    store.log_path(plan.cells[3].fingerprint).parent.mkdir(exist_ok=True)
    store.log_path(plan.cells[3].fingerprint).write_text(f"Traceback\n  {MARKUP}\n")
    return bench.report("table1", to=root / "report.html", out=root / "results").path


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[OpenPage]:
    """The page, which sends no request and writes nothing to the console."""
    opened = OpenPage(browser, file, viewport={"width": 1100, "height": 800})
    yield opened
    opened.check(file)
    assert opened.page.title().startswith("Samplers compared")
    opened.page.close()


@pytest.fixture
def page(opened: OpenPage) -> Page:
    return opened.page


def cell_count(page: Page) -> int:
    """The number of cells that the filters let through, as the page says."""
    return int(page.locator("#filter-count").inner_text().split()[0])


def charts(page: Page) -> str:
    """The charts of the first table as markup."""
    markup: str = page.locator(".panels").first.inner_html()
    return markup


def test_every_filter_hides_its_cells_and_shows_them_again(page: Page, file: Path) -> None:
    rows = rows_of(page_data_of(file.read_text())["tables"][0]["cells"])
    buttons = page.locator("[data-filter]").all()
    assert {button.get_attribute("data-filter") for button in buttons} == {"sde", "sampler", "grid"}
    for button in buttons:
        key, value = button.get_attribute("data-filter") or "", button.get_attribute("data-value")
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        assert cell_count(page) == sum(row[key] != value for row in rows) < len(rows)
        button.click()
        assert cell_count(page) == len(rows)
    page.locator("#filter-text").fill("VP reverse")
    expected = sum(row["sde"] == "vp" and "reverse" in row["row"] + row["column"] for row in rows)
    wait_for(page, f"document.getElementById('filter-count').textContent.startsWith('{expected} of ')")
    assert page.locator(".panel").count() == 1
    page.locator("#filter-reset").click()
    assert cell_count(page) == len(rows)
    assert page.locator("#filter-text").input_value() == ""


def test_a_filter_does_not_move_the_linear_part(page: Page) -> None:
    width = page.locator(".plot > p").inner_text().partition("within ±")[2].split()[0]
    page.locator("#filter-text").fill("ancestral")
    wait_for(page, "!document.getElementById('filter-count').textContent.startsWith('26 ')")
    assert f"within ±{width} " in page.locator(".plot > p").inner_text()


def test_every_switch_draws_anew(page: Page) -> None:
    pictures = [charts(page)]
    for name in ("seconds", "samples/s", "plain log", "linear", "around zero", "NFE"):
        button = page.locator(".plot .choice", has_text=name).first
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        pictures.append(charts(page))
    assert pictures[-1] == pictures[0]
    assert pictures[-2] == pictures[2]
    assert len(set(pictures)) == 5


def test_a_plain_log_has_what_lies_below_on_its_floor(page: Page) -> None:
    page.locator(".plot .choice", has_text="plain log").click()
    assert (
        "1 of 24 values are zero or negative: open triangles on the floor"
        in page.locator(".plot > p").inner_text()
    )


def test_the_legend_hides_and_shows_series(page: Page) -> None:
    entries = page.locator(".legend [data-series]")
    before = charts(page)
    for entry in entries.all():
        box = entry.bounding_box()
        assert box is not None
        assert box["height"] == pytest.approx(26)
        entry.click()
        assert entry.get_attribute("aria-pressed") == "false"
        assert charts(page) != before
        entry.click()
        assert charts(page) == before
    page.locator(".legend .none").click()
    assert "No value is left to draw" in page.locator(".panels").inner_text()
    page.locator(".legend .all").click()
    assert charts(page) == before


def test_a_pointer_shows_the_full_setting_and_opens_the_run(page: Page) -> None:
    chart = page.locator(".panel svg").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    place = page.evaluate(
        """() => {
        const path = document.querySelector('.panel svg path[fill^="var"]').getAttribute("d");
        return path.match(/M([\\d.]+),([\\d.]+)/).slice(1).map(Number);
    }"""
    )
    page.mouse.move(box["x"] + place[0] + 2, box["y"] + place[1])
    tip = page.locator(".tip").first
    assert tip.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.tip')).top").endswith("px")
    above, below = tip.bounding_box(), chart.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] < below["y"] + below["height"]
    words = tip.inner_text()
    assert METRIC in words
    assert "predictor" in words
    assert "steps" in words
    page.mouse.down()
    page.mouse.up()
    assert page.locator("#drawer").is_visible()


def test_keys_go_from_point_to_point(page: Page) -> None:
    page.locator(".panel svg").first.focus()
    sentences = []
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
        sentences.append(page.locator("#live").inner_text())
    assert all(METRIC in sentence and "NFE" in sentence for sentence in sentences)
    assert sentences[1] != sentences[0] == sentences[2]
    page.keyboard.press("Enter")
    assert page.locator("#drawer").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#drawer").is_visible()


def test_every_header_sorts_both_ways(page: Page) -> None:
    table = page.locator(".wide table")
    for i in range(table.locator("thead th").count()):
        button, head = table.locator("thead button").nth(i), table.locator("thead th").nth(i)
        orders = []
        for expected in ("ascending", "descending"):
            button.click()
            assert head.get_attribute("aria-sort") == expected
            texts = [row.locator("th, td").nth(i).inner_text() for row in table.locator("tbody tr").all()]
            orders.append([text for text in texts if text])
        assert table.locator("[aria-sort=ascending], [aria-sort=descending]").count() == 1
        if i > 1:
            numbers = [
                [float(text.split()[0]) for text in order if text[0] in "-0123456789"] for order in orders
            ]
            assert numbers[0] == sorted(numbers[0])
            assert numbers[1] == sorted(numbers[1], reverse=True)


def test_a_dagger_explains_itself_in_place(page: Page) -> None:
    button = page.locator(".wide .dagger").first
    note = page.locator(".wide .explained").first
    assert not note.is_visible()
    button.click()
    assert note.inner_text() == f"† {NOTE}"
    assert button.get_attribute("aria-expanded") == "true"
    button.click()
    assert not note.is_visible()


def test_each_plot_has_its_data_as_a_table_and_a_csv(page: Page, file: Path) -> None:
    page.locator(".legend [data-series]").first.click()
    page.locator("summary", has_text="Data of this plot").click()
    with page.expect_download() as download:
        page.locator(".plot details .csv").click()
    rows = page.locator(".plot details tbody tr").count()
    lines = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    cells = rows_of(page_data_of(file.read_text())["tables"][0]["cells"])
    hidden = next(row["series"] for row in cells if row.get("value") is not None)
    values = [row["value"] for row in cells if row.get("value") is not None and row["series"] != hidden]
    assert sorted(float(line["value"]) for line in lines) == sorted(values)
    assert rows == len(lines)
    assert any(line["row"].startswith(MARKUP) for line in lines) or hidden.startswith(MARKUP)


def test_a_drawer_has_everything_of_a_run(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".wide .value .link:not([disabled])").first.click()
    drawer = page.locator("#drawer")
    for heading in ("Values", "Cost", "Made by", "Settings", "Device", "Versions", "Hashes"):
        assert drawer.locator("h3", has_text=heading).count() == 1
    assert "[object" not in drawer.inner_text()
    command = drawer.locator(".command").inner_text()
    assert command.startswith("bench run --profile none")
    assert "--seed 0" in command
    drawer.locator(".choice", has_text="1").click()
    assert "--seed 1" in drawer.locator(".command").inner_text()
    drawer.locator(".copy").click()
    wait_for(page, "document.querySelector('#drawer [role=status]').textContent === ' copied'")
    assert page.evaluate("navigator.clipboard.readText()") == drawer.locator(".command").inner_text()
    drawer.locator(".close").click()
    assert not drawer.is_visible()


def test_every_cell_with_a_record_has_a_drawer(page: Page) -> None:
    links = page.locator(".wide .value .link:not([disabled])").all()
    assert len(links) == 25
    titles = set()
    for link in links:
        link.click()
        titles.add(page.locator("#drawer-heading").inner_text())
        page.keyboard.press("Escape")
    assert len(titles) == 25


def test_a_failed_run_shows_its_log_as_text(page: Page) -> None:
    page.locator(".failures .link").first.click()
    drawer = page.locator("#drawer")
    assert "ValueError: it broke" in drawer.inner_text()
    assert MARKUP in drawer.locator(".log").inner_text()
    assert page.locator("img[src=x]").count() == 0


def _pixels(page: Page, row: int, column: int) -> list[int]:
    """The pixels of a canvas of the samples."""
    pixels: list[int] = page.evaluate(
        """([row, column]) => {
        const line = document.querySelectorAll("#samples-view tbody tr")[row];
        const canvas = line.querySelectorAll("canvas")[column];
        return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
    }""",
        [row, column],
    )
    return pixels


def test_samples_stand_side_by_side_with_their_differences(page: Page) -> None:
    wait_for(page, "document.querySelectorAll('#samples-view canvas').length === 16 * 5")
    assert page.locator("#samples-view tbody tr").count() == 16
    for factor in (4, 16):
        page.locator("#samples-controls .choice", has_text=f"×{factor}").last.click()
        wait_for(page, f"document.querySelector('#samples-view thead').textContent.includes('×{factor}')")
        for row in (0, 15):
            first, second, difference = (_pixels(page, row, column) for column in range(3))
            for i, (a, b, d) in enumerate(zip(first, second, difference, strict=True)):
                expected = 255 if i % 4 == 3 else min(255, max(0, 127.5 + factor * (b - a)))
                assert abs(d - expected) <= 0.5


def test_samplers_are_chosen_by_boxes_and_groups(page: Page) -> None:
    wait_for(page, "document.querySelectorAll('#samples-view canvas').length === 16 * 5")
    boxes = page.locator("#samples-controls input[type=checkbox]")
    boxes.locator("nth=-1").click()
    box = page.locator("#samples-controls input:not(:checked)").first
    box.check()
    wait_for(page, "document.querySelectorAll('#samples-view canvas').length >= 16 * 7")
    for _ in range(5):
        if not page.locator("#samples-controls input:checked").count():
            break
        page.locator("#samples-controls input:checked").first.uncheck()
    wait_for(page, "document.querySelector('#samples-view').textContent.includes('Choose two samplers')")
    select = page.locator("#samples-group")
    assert select.locator("option").count() == 2
    select.select_option(index=1)
    wait_for(page, "document.querySelectorAll('#samples-view canvas').length === 16 * 5")


def test_completions_stand_side_by_side_too(browser: Browser, tmp_path: Path) -> None:
    store, plan = Store(tmp_path / "results"), suite_plan("table1", 1)
    suite_page(tmp_path, plan=plan)
    for number, run in enumerate(plan.cells):
        record = store.read_record(run.fingerprint)
        assert record is not None
        task = plugin(("inpaint", "colorize")[number % 2])
        identity = record.identity.model_copy(update={"task": task})
        put(store, record.model_copy(update={"identity": identity}))
    file = bench.report("table1", to=tmp_path / "report.html", out=store.root).path
    opened = OpenPage(browser, file)
    wait_for(opened.page, "document.querySelectorAll('#samples-view canvas').length === 16 * 5")
    labels = opened.page.locator("#samples-group option").all_inner_texts()
    assert {label.split(" · ")[-1] for label in labels} == {"inpaint", "colorize"}
    assert len(labels) == 4, "of each task and SDE its own"
    view = opened.page.locator("#samples-view").inner_text()
    assert "Pictures of the task inpaint as its preview has them, 8 to a row." in view
    first = opened.page.locator("#samples-view canvas").first.get_attribute("aria-label") or ""
    assert first.startswith("Picture 0 of ")
    opened.check(file)
    opened.page.close()


def test_what_was_chosen_last_is_drawn(page: Page) -> None:
    """Also where a picture that an earlier choice waits for comes later."""
    wait_for(page, "document.querySelectorAll('#samples-view canvas').length === 16 * 5")
    page.evaluate(
        """() => {
        const box = document.querySelector("#samples-controls input:not(:checked)");
        box.click();
        box.click();
    }"""
    )
    page.wait_for_timeout(500)
    assert page.locator("#samples-view canvas").count() == 16 * 5


def test_the_theme_goes_round(page: Page) -> None:
    colors = []
    for name in ("light", "dark", "auto"):
        page.locator("#theme").click()
        assert page.locator("#theme-name").inner_text() == name
        colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colors == ["rgb(255, 255, 255)", "rgb(20, 23, 27)", "rgb(255, 255, 255)"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_has_no_serious_finding(browser: Browser, file: Path, theme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    opened = OpenPage(browser, file, viewport={"width": 1100, "height": 800}, color_scheme=theme)
    page = opened.page
    page.locator("summary", has_text="Data of this plot").click()
    page.locator(".wide .dagger").first.click()
    findings = Axe().run(page).response["violations"]
    page.locator(".failures .link").first.click()
    findings += Axe().run(page).response["violations"]
    serious = [
        (finding["id"], node["html"][:200], node["failureSummary"])
        for finding in findings
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
    ]
    assert serious == []
    opened.check(file)
    page.close()


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window(browser: Browser, file: Path, width: int) -> None:
    opened = OpenPage(browser, file, viewport={"width": width, "height": 800})
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    widths = opened.page.evaluate(
        "[...document.querySelectorAll('.panel svg')].map((one) => one.clientWidth)"
    )
    assert all(250 < one <= width for one in widths)
    opened.page.close()


def test_charts_follow_the_window(page: Page) -> None:
    page.locator("#filter-text").fill("vp")
    wait_for(page, "document.querySelectorAll('.panel').length === 1")
    widths = []
    for width in (1100, 600, 1100):
        page.set_viewport_size({"width": width, "height": 800})
        wait_for(page, f"document.querySelector('.panel svg').viewBox.baseVal.width > {width} * 0.7")
        wait_for(page, f"document.querySelector('.panel svg').viewBox.baseVal.width <= {width}")
        widths.append(page.evaluate("document.querySelector('.panel svg').viewBox.baseVal.width"))
    assert widths[0] == widths[2] > widths[1]


def test_print_is_black_on_white_without_controls(browser: Browser, file: Path) -> None:
    opened = OpenPage(browser, file, color_scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not opened.page.locator("#theme").is_visible()
    assert not opened.page.locator("#filters").is_visible()
    assert opened.page.locator(".panel svg").first.is_visible()
    opened.page.close()


def test_the_benchmark_runs(browser: Browser, tmp_path: Path) -> None:
    """Playwright has one session a thread: the benchmark uses this one."""
    empty = tmp_path / "empty.html"
    empty.write_text(EMPTY)
    page, _ = suite_page(tmp_path, "table1", 1, pictures=False)
    for path in (empty, page.path, plain_page(tmp_path, "table1")):
        assert load_ms(browser, path) > 0
    pictured, _ = suite_page(tmp_path / "pictured", "table1", 1)
    assert load_ms(browser, pictured.path, "samples") > 0
    assert filter_ms(browser, page.path, 1) > 0


def test_published_figures_are_stars_with_their_sources(browser: Browser, tmp_path: Path) -> None:
    figures = (figure(), figure(value=3.25, source="another paper", year=2023))
    cells = (cell(nfe=19.0, published=figures), cell(column="d", nfe=30.0))
    file = tmp_path / "report.html"
    file.write_text(render([PageSource((table(*cells, layout="grid"),), Store(tmp_path))], {}))
    opened = OpenPage(browser, file)
    stars = opened.page.locator('.panel path[stroke="var(--text)"]')
    assert [(one.get_attribute("d") or "").count("M") for one in stars.all()] == [2]
    opened.page.locator(".panel svg").focus()
    opened.page.keyboard.press("ArrowRight")
    words = opened.page.locator(".tip").inner_text()
    assert all(f"{one.text} ({one.citation})" in words for one in figures)
    opened.page.locator(".plot .choice", has_text="seconds").click()
    assert stars.count() == 0
    opened.check(file)
    opened.page.close()
