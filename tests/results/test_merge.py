"""Results folders joined into one: nothing of the target is lost, the same call goes on, sources stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bench
from bench import BenchError
from bench.results.record import BatchFacts, Record
from bench.results.store import Store
from tests.support import made_up

FACTS = BatchFacts(nfe=1, seconds=1.0, network_seconds=0.5, warm_seconds=0.0)


def folder(path: Path, *records: Record) -> Path:
    """A results folder with these records and two batches of samples for each."""
    store = Store(path)
    for record in records:
        made_up.put(store, record)
        for index in range(2):
            store.write_batch(record.key, index, 1, {"images": torch.full((1, 2), float(index))}, FACTS)
    return path


def content(path: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_records_and_samples_of_all_folders_are_there_once(tmp_path: Path) -> None:
    one, two, three = (made_up.record(seed=seed) for seed in range(3))
    a, b = folder(tmp_path / "a", one, two), folder(tmp_path / "b", two, three)
    before = content(a), content(b)
    result = bench.merge(a, b, out=tmp_path / "c")
    store = Store(tmp_path / "c", writes=False)
    assert {record.fingerprint for record in store.records()} == {r.fingerprint for r in (one, two, three)}
    keys = {record.key for record in (one, two, three)}
    assert (result.records, result.batches) == (3, 2 * len(keys))
    for record in (one, two, three):
        batch = store.read_batch(record.key, 1, 1)
        assert batch is not None
        assert batch[0]["images"].tolist() == [[1.0, 1.0]]
    assert (content(a), content(b)) == before
    whole = content(tmp_path / "c")
    again = bench.merge(a, b, out=tmp_path / "c")
    assert (again.records, again.batches) == (0, 0)
    assert content(tmp_path / "c") == whole
    assert (tmp_path / "c" / "runs.csv").read_text().count("\n") > 3


def test_a_finished_record_comes_before_a_failed_one_in_any_order(tmp_path: Path) -> None:
    finished = made_up.record()
    failed = made_up.failed_record().model_copy(update={"fingerprint": finished.fingerprint})
    for name, first, second in (("c", finished, failed), ("d", failed, finished)):
        one, two = folder(tmp_path / f"{name}1", first), folder(tmp_path / f"{name}2", second)
        bench.merge(one, two, out=tmp_path / name)
        (record,) = Store(tmp_path / name).records()
        assert record.status == "finished"


def test_metrics_are_joined_and_the_first_value_counts(tmp_path: Path) -> None:
    base = made_up.record()
    (label,) = base.metrics
    mine = base.metrics[label]
    other = base.model_copy(
        update={"metrics": {label: mine.model_copy(update={"value": -1.0}), "kid": made_up.metric_record()}}
    )
    bench.merge(folder(tmp_path / "a", base), folder(tmp_path / "b", other), out=tmp_path / "c")
    (record,) = Store(tmp_path / "c").records()
    assert record.metrics.keys() == {label, "kid"}
    assert record.metrics[label].value == mine.value


def test_pictures_logs_and_suites_come_along(tmp_path: Path) -> None:
    finished, failed = made_up.record(), made_up.failed_record(seed=1)
    a = folder(tmp_path / "a", finished, failed)
    store = Store(a)
    finished = finished.model_copy(
        update={"preview": str(store.write_image(finished.fingerprint, b"picture"))}
    )
    failed = failed.model_copy(update={"log": str(store.write_log(failed.fingerprint, "why"))})
    for record in (finished, failed):
        store.write_record(record)
    plan = made_up.suite_plan("table1")
    store.write_suite(plan)
    bench.merge(a, out=tmp_path / "c")
    c = Store(tmp_path / "c")
    records = {record.fingerprint: record for record in c.records()}
    assert Path(records[finished.fingerprint].preview) == c.image_path(finished.fingerprint)
    assert Path(records[finished.fingerprint].preview).read_bytes() == b"picture"
    assert Path(records[failed.fingerprint].log).read_text() == "why"
    assert [one.cells for one in c.read_suites("table1")] == [plan.cells]


def test_what_is_no_results_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="empty is no results folder: it has no records and no samples"):
        bench.merge(tmp_path / "empty", out=tmp_path / "c")
    a = folder(tmp_path / "a", made_up.record())
    for target in (a, a / "within"):
        with pytest.raises(BenchError, match=r"is in the source .*a: choose another -o"):
            bench.merge(a, out=target)
    with pytest.raises(BenchError, match="there is nothing to join: give results folders"):
        bench.merge(out=a)


def test_links_among_samples_are_left_out(tmp_path: Path) -> None:
    record = made_up.record()
    a = folder(tmp_path / "a", record)
    path = Store(a).batch_path(record.key, 1, 1)
    path.unlink()
    (tmp_path / "secret").write_text("secret")
    path.symlink_to(tmp_path / "secret")
    bench.merge(a, out=tmp_path / "c")
    assert [one.name for one in (tmp_path / "c" / "samples" / record.key).iterdir()] == [
        "00000-1.safetensors"
    ]
