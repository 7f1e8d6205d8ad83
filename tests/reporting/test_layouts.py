"""Tables laid out for readers."""

from __future__ import annotations

from bench.reporting.layouts import (
    Entry,
    TextTable,
    cost_layout,
    elsewhere_layout,
    grid_layout,
    list_layout,
    terminal_layout,
    value_entry,
)
from tests.support.made_up import cell, figure, table


def test_an_entry_is_its_status_or_its_value_with_marks() -> None:
    assert value_entry(cell(status="failed")) == Entry("failed")
    entry = value_entry(cell(value=1.0, std=0.1, best=True, note="few samples", seeds=1))
    assert (entry.text, entry.best, entry.flagged, entry.suffix) == ("1.00 ± 0.10", True, True, " (1 of 2)")
    assert entry.plain == "*1.00 ± 0.10 †* (1 of 2)"


def test_a_grid_has_a_line_of_values_and_lines_of_exact_and_published_ones() -> None:
    layout = grid_layout(
        table(
            cell(column="P", exact=0.5, published=(figure(value=3.2, std=0.02),)),
            cell(column="PC", row="other", limit=0.25),
        )
    )
    assert layout.header == ("sde", "row", "", "P", "PC")
    assert [[entry.plain for entry in line] for line in layout.lines] == [
        ["ve", "r", "fd_dct", "1.00 ± 0.10", ""],
        ["", "", "fd_dct, exact", "0.5", ""],
        ["", "", "fd_dct, published", "3.20 ± 0.02", ""],
        ["ve", "other", "fd_dct", "", "1.00 ± 0.10"],
        ["", "", "fd_dct, limit at tolerance 0", "", "0.25"],
    ]


def test_sources_that_disagree_stand_in_one_cell_with_their_numbers() -> None:
    one, other = figure(value=15.93, source="one"), figure(value=16.57, source="other")
    made_up = table(cell(column="P", published=(one, other)), cell(column="Q", published=(other,)))
    assert [entry.plain for entry in grid_layout(made_up).lines[1]] == [
        *("", "", "fd_dct, published", "15.93 [1]; 16.57 [2]", "16.57 [2]")
    ]
    lines = list_layout(made_up, made_up.cells).lines
    assert [line[-2].plain for line in lines] == ["15.93 [1]; 16.57 [2]", "16.57 [2]"]


def test_figures_of_other_checkpoints_have_a_layout_of_their_own() -> None:
    elsewhere = (figure(value=15.93), figure(value=16.57, preset="song2021"))
    made_up = table(cell(column="P", published_elsewhere=elsewhere), cell(row="s", column="P"))
    assert "published" not in " ".join(str(line) for line in grid_layout(made_up).lines)
    layout = elsewhere_layout(made_up)
    assert [[entry.plain for entry in line] for line in layout.lines] == [
        ["ve", "r", "fid-edm", "15.93"],
        ["", "", "fid-song2021", "16.57"],
    ]


def test_a_list_calls_a_value_by_theory_what_it_is() -> None:
    for field, name in (("exact", "exact"), ("limit", "limit at tolerance 0")):
        made_up = table(cell(**{field: 0.5}), layout="list")
        layout = list_layout(made_up, made_up.cells)
        row = dict(zip(layout.header, (entry.plain for entry in layout.lines[0]), strict=True))
        assert row[name] == "0.5"
        assert {"exact", "limit at tolerance 0"} & row.keys() == {name}


def test_a_list_leaves_out_empty_columns() -> None:
    made_up = table(cell(), cell(row="s", pace=None), layout="list")
    assert list_layout(made_up, made_up.cells).header == (
        "sde",
        "row",
        "column",
        "fd_dct",
        "NFE",
        "samples/s",
    )


def test_costs_of_a_cell_without_runs_are_dashes() -> None:
    nothing = {"nfe": None, "pace": None, "network_share": None, "device": "", "peak_host_bytes": None}
    layout = cost_layout([cell(**nothing)])
    assert [entry.text for entry in layout.lines[0][3:]] == ["–"] * 4 + ["50"]
    assert layout.header[-1] == "batch size"  # device and memory are unknown


def test_costs_hold_batch_size_device_and_memory() -> None:
    layout = cost_layout([cell(peak_gpu_bytes=2 * 10**9), cell(peak_host_bytes=None)])
    assert layout.header[7:] == ("batch size", "device", "host memory", "GPU memory")
    assert [[entry.text for entry in line[7:]] for line in layout.lines] == [
        ["50", "cpu AVX2", "300 MB", "2 GB"],
        ["50", "cpu AVX2", "", ""],
    ]


def test_a_narrow_terminal_gets_a_line_per_cell() -> None:
    made_up = table(*(cell(column=f"a column {i}") for i in range(9)))
    assert terminal_layout(made_up, 200) == grid_layout(made_up)
    assert len(terminal_layout(made_up, 80).lines) == 9


def test_the_width_is_that_of_the_widest_entries() -> None:
    assert TextTable(("a", "long"), ((Entry("four"), Entry("b", best=True)),)).width == 4 + 3 + 4 + 3
