"""What a page takes of results folders: records, logs, commands, pictures of first seeds."""

from __future__ import annotations

from pathlib import Path

import bench
from bench.reporting.page.sources import LOG_TAIL, PageSource, page_runs
from bench.results.store import Store
from tests.support.made_up import failed_record, fill, suite_plan
from tests.support.made_up_pages import put_pictures
from tests.support.plugins import installed


def test_each_cell_has_the_picture_of_its_first_finished_seed(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), suite_plan("table1", seeds=3)
    fill(store, plan, failed=[(1, 0)])
    put_pictures(store, [run.fingerprint for run in plan.cells])
    tables = bench.table("table1", out=tmp_path)
    runs = page_runs([PageSource(tuple(tables), store)], installed())
    assert len(runs) == len(plan.cells)
    pictured = {run.record.seed: 0 for run in runs.values() if run.picture is not None}
    for run in runs.values():
        pictured[run.record.seed] = pictured.get(run.record.seed, 0) + (run.picture is not None)
    cells = len(plan.cells) // 3
    assert pictured == {0: cells - 1, 1: 1, 2: 0}
    bare = page_runs([PageSource(tuple(tables), store)], installed(), pictures=False)
    assert all(run.picture is None for run in bare.values())


def test_a_failed_run_has_the_end_of_its_log(tmp_path: Path) -> None:
    store = Store(tmp_path)
    broken = failed_record()
    source = PageSource((), store, (broken,))
    assert page_runs([source], installed())[source.key(broken.fingerprint)].log == ""
    store.log_path(broken.fingerprint).parent.mkdir(parents=True, exist_ok=True)
    store.log_path(broken.fingerprint).write_text("x" * LOG_TAIL + "the end")
    log = page_runs([source], installed())[source.key(broken.fingerprint)].log
    assert log.endswith("the end")
    assert len(log) == LOG_TAIL + 2


def test_a_log_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    store, broken = Store(tmp_path), failed_record()
    path = store.log_path(broken.fingerprint)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        'Traceback (most recent call last):\n  File "/home/me/a project/bench_mine/step.py", line 3, in f\n'
        '  File "/usr/x.py", line 1\n  File "<string>", line 7\nValueError: 1/2\n'
    )
    source = PageSource((), store, (broken,))
    assert page_runs([source], installed())[source.key(broken.fingerprint)].log == (
        'Traceback (most recent call last):\n  File "…/bench_mine/step.py", line 3, in f\n'
        '  File "…/usr/x.py", line 1\n  File "<string>", line 7\nValueError: 1/2\n'
    )


def test_commands_name_no_folder_of_this_machine(tmp_path: Path) -> None:
    store = Store(tmp_path)
    broken = failed_record()
    (run,) = page_runs([PageSource((), store, (broken,))], installed()).values()
    assert run.commands
    assert not any(str(tmp_path) in word for words in run.commands for word in words)
    assert run.commands[0][-2:] != []
    assert "results" in run.commands[0]
