"""Markdown, LaTeX, HTML and CSV of tables."""

from __future__ import annotations

import csv

from bench.reporting.layouts import Entry, TextTable, cost_layout, list_layout
from bench.reporting.writers import cost_csv, html, latex, markdown, runs_csv, wide_csv
from tests.support.made_up import cell, table


def test_names_cannot_break_the_tables() -> None:
    """What users name (rows, suites, reasons) is escaped in Markdown, LaTeX and HTML."""
    lines = ((Entry("<script>"), Entry("x_1", best=True)), (Entry("a\\b"), Entry("~^&#{}")))
    layout = TextTable(("a|b", "50 %_$"), lines)
    text = markdown("t", layout, [])
    assert "<script>" not in text
    assert "a\\|b" in text
    assert "**x_1**" in text
    tex = latex("t", layout, ["±"])
    assert r"50 \%\_\$" in tex
    assert r"\textbf{x\_1}" in tex
    assert r"a\textbackslash{}b" in tex
    assert r"\textasciitilde{}\textasciicircum{}\&\#\{\}" in tex
    page = html("<t>", layout, ["<note>"])
    assert "<script>" not in page
    assert "<b>x_1</b>" in page
    assert page.count("<note>") == page.count("<t>") == 0


def test_asterisks_in_a_name_are_no_mark() -> None:
    layout = TextTable(("a",), ((Entry("*rows*"),),))
    assert "| *rows* |" in markdown("t", layout, [])
    assert "textbf" not in latex("t", layout, [])


def test_the_marks_of_an_entry_are_in_every_format() -> None:
    layout = TextTable(("a",), ((Entry("1 ± 2", best=True, flagged=True, suffix=" (1 of 2)"),),))
    assert "| **1 ± 2 †** (1 of 2) |" in markdown("t", layout, [])
    assert r"\textbf{1 $\pm$ 2 $^\dagger$} (1 of 2)" in latex("t", layout, [])
    assert "<b>1 ± 2 †</b> (1 of 2)" in html("t", layout)


def test_csv_has_every_bit_or_ten_digits() -> None:
    made_up = table(cell(value=1 / 3, column="P1000", best=True), cell(row="s", column="other"))
    (names, first, second), rest = wide_csv(made_up).decode().splitlines(), cost_csv(made_up.cells).decode()
    values = dict(zip(names.split(","), first.split(","), strict=True))
    assert (values["P1000"], values["P1000 best"], values["other"]) == ("0.3333333333", "True", "")
    assert second.startswith("mine,gaussian-cifar10,100,1,fd_dct,ve,s,,")
    assert rest.splitlines()[1] == "ve,r,P1000,finished,10,,50,,0.5,1000,50,cpu AVX2,300000000,,,"
    assert runs_csv([]).decode().startswith("suite,checkpoint,steps_scale,sde,row,column,x,title,cell,seed,")


def test_the_most_network_calls_of_a_sample_stand_beside_the_mean() -> None:
    made_up = table(cell(nfe=97.25, nfe_max=143.0))
    assert cost_csv(made_up.cells).decode().splitlines()[1].startswith("ve,r,c,finished,97.25,143,50,")
    for layout in (cost_layout(made_up.cells), list_layout(made_up, made_up.cells)):
        assert "97.25 (max 143)" in [entry.plain for entry in layout.lines[0]]


HOSTILE = "a\x1b[2Jb\x07\u202ec\u2066d\r\ne\x85f\u200bg"
"""Escape sequences, a bell, bidirectional marks and line ends."""


def test_control_characters_of_names_are_in_no_output() -> None:
    layout = TextTable((HOSTILE,), ((Entry(HOSTILE, best=True, suffix=HOSTILE),),))
    made_up = table(cell(row=HOSTILE, column=HOSTILE, sde=HOSTILE))
    texts = [write(HOSTILE, layout, [HOSTILE]) for write in (markdown, latex, html)]
    texts += [wide_csv(made_up).decode(), cost_csv(made_up.cells).decode()]
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n"))
        assert "202e" in text
    assert wide_csv(made_up).count(b"\n") == 2


def test_names_make_no_links_or_code_in_markdown() -> None:
    names = ("[x](http://y)", "`rm`", "\\[x](y)", "![x](y)", "https://x", "www.x.org")
    text = markdown(names[0], TextTable(names, (tuple(map(Entry, names)),)), names)
    assert "\\[x\\](http&#58;&#47;&#47;y)" in text
    assert "\\`rm\\`" in text
    assert "&#92;\\[x\\](y)" in text
    for raw in ("://", "www.", "][", "[x]", " `"):
        assert raw not in text


def test_a_bracket_is_no_option_of_a_line_break_in_latex() -> None:
    assert "\\\\\n  [" not in latex("t", TextTable(("a",), ((Entry("[2pt]"),), (Entry("[2pt]"),))), [])


def test_cells_of_a_csv_are_no_formulas() -> None:
    made_up = table(cell(row="=1+1", column="@x", sde="+y", value=-0.5))
    lines = [*csv.reader(wide_csv(made_up).decode().splitlines())]
    assert lines[0][-11] == "'@x"
    assert lines[1][5:8] == ["'+y", "'=1+1", "-0.5"]
    assert [*csv.reader(cost_csv(made_up.cells).decode().splitlines())][1][:2] == ["'+y", "'=1+1"]
