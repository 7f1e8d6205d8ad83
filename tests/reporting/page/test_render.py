"""The page as a file: its policy, its texts, and colors that everyone can tell from the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import bench
import bench.reporting.page
from bench.results.store import Store
from tests.support.made_up import failed_record, fill, suite_plan
from tests.support.made_up_pages import MARKUP, ScriptTexts, page_data_of, suite_page

FOLDER = Path(bench.reporting.page.__file__).parent


def test_the_policy_forbids_every_request(tmp_path: Path) -> None:
    _, text = suite_page(tmp_path)
    tags = ScriptTexts(text).tags
    (policy,) = [own["content"] for tag, own in tags if own.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "data:"
    assert rules == {
        "script-src": "'unsafe-inline'",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    addresses = [
        own.get(name)
        for _, own in tags
        for name in ("src", "href", "action", "srcset", "data")
        if name in own
    ]
    assert all(address is not None and address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"@import|url\(", text.partition("</style>")[0])


def test_names_that_are_markup_are_texts(tmp_path: Path) -> None:
    plan = suite_plan("table1")
    cells = tuple(
        run.model_copy(update={"row": MARKUP + run.row, "title": MARKUP}) if i % 26 % 5 == 0 else run
        for i, run in enumerate(plan.cells)
    )
    _, text = suite_page(tmp_path, plan=plan.model_copy(update={"cells": cells}), failed=[(0, 0)])
    page = ScriptTexts(text)
    assert [own.get("id") for own, _ in page.scripts] == ["data", "pictures", None]
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [own for _, own in page.tags if any(name.startswith("on") for name in own)]
    names = page_data_of(text)["tables"][0]["cells"]["row"]["d"]
    assert any(name.startswith(MARKUP) for name in names)
    assert any(MARKUP in one for one in page.texts), "the summary names the failed run"


def test_a_page_is_ascii_and_loses_no_text(tmp_path: Path) -> None:
    name = "Größe † 大 \U0001f600"
    plan = suite_plan("table1", seeds=1)
    cells = tuple(run.model_copy(update={"row": f"{name} {run.row}", "title": name}) for run in plan.cells)
    _, text = suite_page(tmp_path, plan=plan.model_copy(update={"cells": cells}), failed=[(0, 0)])
    assert text.isascii()
    assert all(one.startswith(name) for one in page_data_of(text)["tables"][0]["cells"]["row"]["d"])
    page = ScriptTexts(text)
    assert any(name in one for one in page.texts), "the summary names the failed run"
    escape = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")
    program = escape.sub(lambda match: chr(int(match[1] or match[2], 16)), page.scripts[2][1])
    assert all(path.read_text() in program for path in (FOLDER / "js").glob("*.js"))


def test_two_folders_of_the_same_runs_have_lines_tables_and_records_of_their_own(tmp_path: Path) -> None:
    for name, seeds, failed in (("a", 1, [(3, 0)]), ("b", 2, [])):
        fill(Store(tmp_path / name), suite_plan("table1", seeds=seeds), failed=failed)
    bench.report(tmp_path / "a", tmp_path / "b", to=tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    words = " ".join(" ".join(ScriptTexts(text).texts).split())
    assert "25 finished, 1 failed" in words
    assert "52 finished" in words
    assert "a · runs · fd_dct on" in words
    assert "b · runs · fd_dct on" in words
    data = page_data_of(text)
    assert data["runs"]["n"] == 26 + 52
    status = data["runs"]["status"]
    for table in data["tables"]:
        own = table["cells"]["status"]
        for i, numbers in enumerate(table["cells"]["runs"]):
            states = {status["d"][status["i"][number]] for number in numbers}
            assert own["d"][own["i"][i]] in states


def test_the_summary_counts_runs_and_names_failures(tmp_path: Path) -> None:
    _, text = suite_page(tmp_path, failed=[(3, 0)], missing=[(5, 0), (5, 1)])
    words = " ".join(" ".join(ScriptTexts(text).texts).split())
    assert "49 finished, 1 failed , 2 missing" in words
    assert "ValueError: it broke | here" in words


def test_a_page_of_runs_that_failed_has_their_reasons(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    broken = failed_record()
    results = bench.Results([broken], store)
    page = bench.report(results, to=tmp_path / "report.html")
    assert (page.tables, page.runs, page.failed) == (0, 1, 1)
    assert "it broke" in page.path.read_text()


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    fill(Store(tmp_path), suite_plan("table1"))
    files = [bench.report("table1", out=tmp_path, to=tmp_path / name).path.read_bytes() for name in "ab"]
    assert files[0] == files[1]


def _themes() -> list[dict[str, str]]:
    """The colors of the light theme, and of the dark one as it is chosen and as the system asks for it."""
    style = (FOLDER / "report.css").read_text().partition("@media print")[0]
    blocks = re.findall(r"\{([^{}]*--page:[^{}]*)\}", style)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]


def _luminance(color: str) -> float:
    """Relative luminance of WCAG 2: linear light of sRGB."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2, from 1 to 21."""
    low, high = sorted([_luminance(one), _luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_contrast_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_colors_have_the_contrast_of_aa() -> None:
    themes = _themes()
    assert len(themes) == 3
    assert themes[1] == themes[2]
    for theme in themes:
        for surface in ("page", "panel"):
            for text in ("text", "quiet", "link", "warn"):
                assert contrast(theme[text], theme[surface]) >= 4.5, (text, surface)
        assert contrast(theme["mark-text"], theme["mark"]) >= 4.5
        for i in range(8):
            assert contrast(theme[f"c{i}"], theme["page"]) >= 3, i


# Machado, Oliveira and Fernandes (2009), severity 1: what protanopes and deuteranopes see, in linear light
DEFICIENCIES = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
}


def _lab(color: str, matrix: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    """CIE L*a*b* of a color as it is seen."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    r, g, b = (min(1.0, max(0.0, sum(m * v for m, v in zip(row, linear, strict=True)))) for row in matrix)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    f = [value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in (x, y, z)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colors_differ_for_color_blind_readers(deficiency: str) -> None:
    """By a distance of 10 in L*a*b*, some four times what is just seen; shapes and dashes differ too."""
    for theme in _themes():
        seen_colors = [_lab(theme[f"c{i}"], DEFICIENCIES[deficiency]) for i in range(8)]
        for i in range(8):
            for j in range(i):
                distance = (
                    sum((a - b) ** 2 for a, b in zip(seen_colors[i], seen_colors[j], strict=True)) ** 0.5
                )
                assert distance > 10, (i, j, distance)
