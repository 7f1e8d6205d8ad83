"""Pages of made-up runs: their files, and their data as the page's program reads it."""

from __future__ import annotations

import html.parser
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import bench
from bench.data.preview import grid_png
from bench.reporting.page.report import PageReport
from bench.results.manifest import SuitePlan
from bench.results.store import Store
from tests.support.made_up import fill, sampled, suite_plan

MARKUP = "</script><img src=x onerror=\"document.title='broken'\"> & 'quoted'"
"""A name that would be markup."""
SHAPE = (3, 32, 32)


class ScriptTexts(html.parser.HTMLParser):
    """Collects the texts of a page's script elements, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.cdata_elem == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def page_data_of(text: str) -> dict[str, Any]:
    """The data in a page, with its ``pictures``."""
    texts = {attributes.get("id"): own for attributes, own in ScriptTexts(text).scripts}
    plain: dict[str, Any] = json.loads(texts["data"])
    return plain | {"pictures": json.loads(texts["pictures"])}


def rows_of(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of `bench.reporting.page.encoding.columns`, with the things of `lists` in them."""
    rows: list[dict[str, Any]] = [{} for _ in range(columns["n"])]
    for name, values in columns.items():
        if isinstance(values, dict) and "i" in values:
            texts, numbers = values["d"], values["i"]
            values = [[texts[i] for i in n] if isinstance(n, list) else texts[n] for n in numbers]
        if isinstance(values, list):
            for row, value in zip(rows, values, strict=True):
                row[name] = value
    return rows


def put_pictures(
    store: Store, names: Sequence[str], samples: int = 64, shape: tuple[int, ...] = SHAPE
) -> None:
    """Previews of noise, which no compression makes smaller."""
    for number, name in enumerate(names):
        generator = torch.Generator().manual_seed(number)
        images = torch.rand(min(samples, 64), *shape, generator=generator)
        path = store.image_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(grid_png(images, 8))


def suite_page(
    root: Path,
    suite: str = "table1",
    seeds: int = 2,
    *,
    plan: SuitePlan | None = None,
    pictures: bool = True,
    **gaps: Any,
) -> tuple[PageReport, str]:
    """The page of a suite whose records are made up, with the plugins that its runs have; its text too."""
    store = Store(root / "results")
    plan = plan or suite_plan(suite, seeds)
    fill(store, plan, runs=sampled(plan), **gaps)
    if pictures:
        put_pictures(store, [run.fingerprint for run in plan.cells if run.seed == 0])
    page = bench.report(suite, to=root / "report.html", out=root / "results")
    return page, page.path.read_text()
