"""How long the page of `bench report` takes to load and to filter, as multiples of an empty page's load.

`python -m tests.benchmarks.page results/reference` writes page-speed.csv: for made-up results of 130 and of
2,112 runs the page's size, its time until the first frame with all charts and tables, then until the samples
stand below them, the time of a filter, and the load of a plain page (its table as HTML, no program) of the
same data. Times are medians of loads in turns; ratios are within one run.
"""

from __future__ import annotations

import csv
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from tests.support.browser import OpenPage, started_browser, wait_for
from tests.support.made_up_pages import suite_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EMPTY = '<!DOCTYPE html><html lang="en" data-ready="true"><title>empty</title><body></body></html>\n'
# in a page before its own program: when its first whole frame is painted, and when the samples are in it
TIMES = """addEventListener("DOMContentLoaded", () => {
    window.times = {};
    const after = new MessageChannel(), samples = document.getElementById("samples-view");
    after.port1.onmessage = () => { times.load = performance.now(); };
    requestAnimationFrame(() => after.port2.postMessage(null));
    const drawn = new MutationObserver(() => { times.samples = performance.now(); });
    if (samples) drawn.observe(samples, { childList: true });
});"""
FILTER = """() => {
    const box = document.getElementById("filter-text"), button = document.querySelector("[data-filter]");
    const start = performance.now();
    button.click();
    document.body.getBoundingClientRect();
    const time = performance.now() - start;
    button.click();
    return time;
}"""
CASES = (("table1", 5), ("nfe", 12))
COLUMNS = (
    "page",
    "runs",
    "bytes",
    "load_ms",
    "load_ratio",
    "samples_ms",
    "samples_ratio",
    "filter_ms",
    "filter_ratio",
    "plain_load_ms",
    "plain_ratio",
)


def load_ms(browser: Browser, file: Path, until: str = "load") -> float:
    """Milliseconds from the start of the navigation until the page is painted.

    Args:
        browser: The browser.
        file: The page.
        until: ``load``, the first frame with all charts and tables, or ``samples``, its samples.
    """
    page = browser.new_page()
    page.add_init_script(TIMES)
    page.goto(file.as_uri())
    time = float(wait_for(page, f"window.times?.{until}"))
    page.close()
    return time


def filter_ms(browser: Browser, file: Path, rounds: int) -> float:
    """Milliseconds of a filter until the page is laid out anew, median."""
    opened = OpenPage(browser, file)
    times = [float(opened.page.evaluate(FILTER)) for _ in range(rounds)]
    opened.page.close()
    return statistics.median(times)


def plain_page(root: Path, suite: str) -> Path:
    """The tables of a suite as HTML without a program."""
    tables = "".join(one._repr_html_() for one in bench.table(suite, out=root / "results"))
    file = root / "plain.html"
    file.write_text(EMPTY.replace("</body>", f"{tables}</body>"))
    return file


def measure_pages(to: Path, cases: tuple[tuple[str, int], ...] = CASES, rounds: int = 9) -> Path:
    """Write page-speed.csv to a folder; its path."""
    lines = []
    with started_browser() as browser, tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.html"
        empty.write_text(EMPTY)
        # the first page of a browser pays for its start
        load_ms(browser, empty)
        for suite, seeds in cases:
            root = Path(folder) / suite
            pictures = suite == "table1"
            page, _ = suite_page(root, suite, seeds, pictures=pictures)
            files = (empty, page.path, plain_page(root, suite))
            loads = [[load_ms(browser, file) for file in files] for _ in range(rounds)]
            unit, load, plain = map(statistics.median, zip(*loads, strict=True))
            samples = None
            if pictures:
                samples = statistics.median(load_ms(browser, page.path, "samples") for _ in range(rounds))
            change = filter_ms(browser, page.path, rounds)
            times = [
                "" if value is None else f"{value:.3g}"
                for ms in (load, samples, change, plain)
                for value in (ms, None if ms is None else ms / unit)
            ]
            lines.append([suite, page.runs, page.size, *times])
    path = to / "page-speed.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *lines])
    return path


if __name__ == "__main__":
    print(measure_pages(Path(sys.argv[1])).read_text(), end="")
