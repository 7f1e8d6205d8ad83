"""A folder of pages for a web server: an index of several reports, and the records behind each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.files import replace_file
from bench.reporting.page.report import PageReport, write_page
from bench.reporting.text import count, make_printable

if TYPE_CHECKING:
    from bench.plugins.registry import Registry
    from bench.reporting.page.sources import PageSource
    from bench.results.record import Record
    from bench.types import JSONObject

REPORT = "report.html"
"""Name of a report's page in its folder."""
INDEX = "index.html"
"""Name of the index in the site's folder."""
RECORDS = "records"
"""Name of the folder of a report's records in its folder."""
MARK = b'<meta name="generator" content="sampler-bench">'
"""What the head of every page of bench holds, within its first `HEAD` bytes."""
HEAD = 1000
LONGEST_NAME = 80
"""Greatest number of characters of a report's folder."""


@dataclasses.dataclass(frozen=True)
class SiteReport:
    """One report of a site.

    Args:
        name: Name of its folder.
        title: What the index calls it.
        page: Its page, in numbers.
        records: The records behind it.
    """

    name: str
    title: str
    page: PageReport
    records: tuple[Record, ...]


@dataclasses.dataclass(frozen=True)
class Site:
    """A folder that was written.

    Args:
        folder: The folder; ``index.html`` is its first page.
        reports: Its reports.
    """

    folder: Path
    reports: tuple[SiteReport, ...]

    @property
    def complete(self) -> bool:
        """Whether every planned run of every report is finished and has its metrics."""
        return all(report.page.complete for report in self.reports)

    @property
    def text(self) -> str:
        """The site in a line."""
        records = sum(len(report.records) for report in self.reports)
        parts = f"{count(len(self.reports), 'report')}, {count(records, 'record')}"
        return f"{self.folder / INDEX}: {parts}"

    def plain(self) -> JSONObject:
        """The site as JSON data."""
        return {
            "folder": str(self.folder),
            "complete": self.complete,
            "reports": [
                {
                    "name": report.name,
                    "title": report.title,
                    "records": len(report.records),
                    "page": report.page.plain(),
                }
                for report in self.reports
            ],
        }


def write_site(
    titles: Sequence[str],
    sources: Sequence[PageSource],
    to: Path,
    registry: Registry,
    *,
    pictures: bool = True,
) -> Site:
    """Write a page per source into ``to``/NAME/, its records beside it, and the index last.

    Other files of the folder stay, so that it may be a repository. A kill leaves the earlier index.

    Args:
        titles: What the index calls the sources.
        sources: The tables of each report, and their results folder.
        to: The folder.
        registry: Plugins by name, for the commands that make the runs again.
        pictures: Whether samples are in the pages.

    Raises:
        BenchError: The folder can't be written, or a page of another program would be replaced.
    """
    names = folder_names(titles)
    for path in (to / INDEX, *(to / name / REPORT for name in names)):
        _check_own(path)
    reports = []
    for name, title, source in zip(names, titles, sources, strict=True):
        page = write_page([source], to / name / REPORT, registry, pictures=pictures)
        reports.append(SiteReport(name, title, page, tuple(_records(source))))
    site = Site(to, tuple(reports))
    try:
        for report in reports:
            folder = to / report.name / RECORDS
            folder.mkdir(parents=True, exist_ok=True)
            for record in report.records:
                replace_file(folder / f"{record.fingerprint}.json", without_paths(record).to_json())
        replace_file(to / INDEX, index_page(site).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise BenchError(f"{to} can't be written ({error.strerror}): name another folder by -o") from error
    return site


def _check_own(path: Path) -> None:
    """`BenchError` for a page that another program, or a person, wrote."""
    try:
        with path.open("rb") as file:
            own = MARK in file.read(HEAD)
    except OSError:  # none is here; or it can't be written either
        return
    if not own:
        raise BenchError(f"{path} is no page of bench: name another folder by -o, or move it away")


def without_paths(record: Record) -> Record:
    """The record without the paths of the machine that made it, which mean nothing elsewhere.

    Args:
        record: The record.
    """
    return record.model_copy(update={"preview": "", "log": ""})


def folder_names(titles: Sequence[str]) -> list[str]:
    """A folder's name for each title: letters, digits, dots, hyphens, underscores; each once, none `INDEX`.

    Args:
        titles: Names of suites or paths of results folders.
    """
    names: list[str] = []
    for title in titles:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", title)[-LONGEST_NAME:].strip(".-") or "report"
        numbers = (f"{plain}-{number}" for number in range(2, len(titles) + 3))
        folded = [INDEX, *(one.casefold() for one in names)]
        names.append(next(one for one in (plain, *numbers) if one.casefold() not in folded))
    return names


def index_page(site: Site) -> str:
    """The index as HTML: a line per report, with links to its page and to each of its records.

    Args:
        site: The site.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    reports = [
        {
            "name": report.name,
            "title": make_printable(report.title),
            "page": report.page,
            "records": [
                {
                    "file": f"{record.fingerprint}.json",
                    "label": make_printable(record.label),
                    "status": record.status,
                }
                for record in report.records
            ],
        }
        for report in site.reports
    ]
    template = environment.get_template("index.html.j2")
    return template.render(
        reports=reports, report_file=REPORT, records_folder=RECORDS, version=version("sampler-bench")
    )


def _records(source: PageSource) -> list[Record]:
    """The records behind the tables of a source, each once, in the tables' order."""
    records = {record.fingerprint: record for record in source.records}
    for table in source.tables:
        for row in table.runs:
            if row.fingerprint not in records:
                record = source.store.read_record(row.fingerprint)
                if record is not None:
                    records[row.fingerprint] = record
    return list(records.values())
