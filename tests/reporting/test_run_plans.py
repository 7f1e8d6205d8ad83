"""All runs of a folder as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.events import Event, Notice
from bench.reporting.run_plans import RUNS, plans_of_runs
from bench.reporting.suite_tables import make_tables
from bench.results.identity import DataIdentity
from bench.results.record import Record
from bench.results.store import Store
from tests.support.made_up import METRIC, failed_record, identity, metric_record, plugin, put, record


def titled(index: int = 0, seed: int = 0, **changes: Any) -> Record:
    title = f"gaussian-cifar10 · vp (eps=0.01) · made_up (index={index}), 10 steps"
    return record(index, seed, **({"title": title} | changes))


def other(**changes: Any) -> Record:
    """A record of other settings."""
    seed = int(changes.pop("number", 1))
    own = identity(0, 0, **changes)
    return titled(0, identity=own, fingerprint=f"{seed:016x}")


def test_seeds_are_one_line_and_a_line_is_the_title_without_the_checkpoint() -> None:
    (plan,), older = plans_of_runs([titled(0, 0), titled(0, 1), titled(1, 0)])
    assert older == 0
    assert (plan.suite, plan.name, plan.layout, plan.metrics) == (
        RUNS,
        "gaussian-cifar10-100",
        "list",
        (METRIC,),
    )
    assert [(run.sde, run.row, run.seed) for run in plan.cells] == [
        ("vp (eps=0.01)", "made_up (index=0), 10 steps", 0),
        ("vp (eps=0.01)", "made_up (index=0), 10 steps", 1),
        ("vp (eps=0.01)", "made_up (index=1), 10 steps", 0),
    ]
    inpaint = "inpaint (mask=left) · gaussian-cifar10 · ve · ddim, 3 steps · of a · b"
    (plan,), _ = plans_of_runs([titled(title=inpaint)])
    assert (plan.cells[0].sde, plan.cells[0].row) == ("ve", "inpaint (mask=left) · ddim, 3 steps · of a · b")
    (plan,), _ = plans_of_runs([titled(title="what someone wrote")])
    assert (plan.cells[0].sde, plan.cells[0].row) == ("vp", "what someone wrote")


def test_only_what_compares_shares_a_table() -> None:
    data = [DataIdentity(kind="folder", n=3, sha256=digit * 64) for digit in "ab"]
    records = [
        titled(0),
        other(number=1, precision="bf16"),
        other(number=2, compile=True),
        other(number=3, task=plugin("encode")),
        other(number=4, data=data[0]).model_copy(update={"data": "my images/six.npz"}),
        other(number=5, data=data[1]).model_copy(update={"data": "more images/six.npz"}),
        titled(0, samples=50, fingerprint="6" * 16),
    ]
    plans, _ = plans_of_runs(records)
    assert [plan.name for plan in plans] == [
        "gaussian-cifar10-100",
        "gaussian-cifar10-100-bf16",
        "gaussian-cifar10-100-compiled",
        "gaussian-cifar10-encode-100",
        "gaussian-cifar10-100-six-aaaaaaaa",
        "gaussian-cifar10-100-six-bbbbbbbb",
        "gaussian-cifar10-50",
    ]


def test_the_newest_of_a_cell_and_seed_counts() -> None:
    new = other(batch_size=25).model_copy(update={"created": "2027-01-01T00:00:00+00:00"})
    for records in ([titled(0), new], [new, titled(0)]):
        (plan,), older = plans_of_runs(records)
        assert ([run.fingerprint for run in plan.cells], older) == ([new.fingerprint], 1)


def test_cells_of_one_title_stay_apart() -> None:
    same = titled(0).title
    (plan,), _ = plans_of_runs([titled(0), titled(1, title=same)])
    assert [run.row for run in plan.cells] == [
        f"made_up (index=0), 10 steps (cell {titled(i).cell[:6]})" for i in (0, 1)
    ]


def test_the_tables_of_a_folder_show_what_each_run_has(tmp_path: Path) -> None:
    notices: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)

    store = Store(tmp_path, emit=emit)
    more = {METRIC: metric_record(1), "fid": metric_record(1, value=3.0)}
    for one in (
        titled(0, 0),
        titled(0, 1),
        titled(1, metrics=more),
        failed_record(2),
        other(number=9, batch_size=25),
    ):
        put(store, one)
    tables = {table.metric: table for table in make_tables(None, store, to=tmp_path)}
    assert list(tables) == [METRIC, "fid"]
    assert [cell.status for cell in tables[METRIC].cells] == ["failed", "finished", "finished"]
    assert [cell.value for cell in tables["fid"].cells if cell.status == "finished"] == [3.0]
    assert not tables["fid"].complete
    assert sorted(cell.seeds for cell in tables[METRIC].cells) == [0, 1, 2]
    folder = tmp_path / "runs" / "gaussian-cifar10-100"
    assert {"cells.csv", f"{METRIC}.csv", f"{METRIC}-nfe.png", "fid.md"} <= {p.name for p in folder.iterdir()}
    assert notices == ["1 older record of the same cell and seed left out of the tables"]
    assert [table.metric for table in make_tables(None, store, metric="fid")] == ["fid"]
    with pytest.raises(
        BenchError, match=r"has no 'fdi' \(did you mean 'fid'\?.*bench measure --metric NAME adds a metric"
    ):
        make_tables(None, store, metric="fdi")
    with pytest.raises(BenchError, match="has no table 'net'"):
        make_tables(None, store, name="net")


def test_a_folder_without_a_finished_run_is_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, failed_record(0))
    with pytest.raises(BenchError, match=r"there is no finished run in .*: bench run makes one"):
        make_tables(None, store)
