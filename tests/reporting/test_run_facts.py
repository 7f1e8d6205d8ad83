"""A recorded run as plain data."""

from __future__ import annotations

import json
from pathlib import Path

from bench.reporting.matching import Matcher
from bench.reporting.run_facts import batch_sizes, run_facts
from bench.results.record import BatchRecord
from bench.results.store import Store
from tests.reporting.test_matching import run
from tests.support.made_up import METRIC, failed_record, figure, record
from tests.support.plugins import installed

NONE = Matcher(())
"""No published figures."""


def test_facts_are_strict_json_with_the_same_keys_for_every_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    finished, failed = (run_facts(one, store, NONE).plain() for one in (record(0), failed_record(1)))
    assert list(finished) == list(failed)
    for facts in (finished, failed):
        assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    value = run_facts(record(0), store, NONE).metrics[METRIC].value
    assert value == record(0).metrics[METRIC].value
    assert (finished["nfe"], finished["solver"], finished["predictor"]) == (10, None, "made_up")
    assert (failed["nfe"], failed["metrics"], failed["log"]) == (None, {}, "nowhere")
    assert finished["record"] == str(tmp_path / "records" / f"{record(0).fingerprint}.json")
    assert (finished["samples_folder"], finished["preview"]) == (None, None)


def test_files_on_disk_are_counted(tmp_path: Path) -> None:
    store, one = Store(tmp_path), record(0)
    path = store.batch_path(one.key, 1, 50)
    path.parent.mkdir()
    path.touch()
    store.write_image(one.fingerprint, b"png")
    facts = run_facts(one, store, NONE).plain()
    assert (facts["batches"], facts["batches_on_disk"]) == (2, 1)
    assert facts["samples_folder"] == str(path.parent)
    assert facts["preview"] == str(tmp_path / "images" / f"{one.fingerprint}.png")


def test_the_sizes_of_batches_are_recorded_or_planned() -> None:
    parts = tuple(BatchRecord(size=n, nfe=1, seconds=1.0, network_seconds=1.0) for n in (64, 36))
    assert batch_sizes(record(0, batches=parts)) == [64, 36]
    assert batch_sizes(failed_record(0)) == [50, 50]
    assert batch_sizes(failed_record(0, samples=101)) == [50, 50, 1]


def test_published_figures_of_the_same_come_with_a_metric_and_others_on_request(tmp_path: Path) -> None:
    same, unlike, other = figure(), figure(nfe=18), figure(checkpoint="edm-cifar10-uncond-ve")
    matcher, store = Matcher([same, unlike, other], installed()), Store(tmp_path)
    facts = run_facts(run(), store, matcher, [other]).metrics["fid-edm"]
    assert facts.published == [same]
    assert facts.published_elsewhere == [other]
    assert run_facts(run(), store, matcher).metrics["fid-edm"].published_elsewhere == []
    plain = json.loads(json.dumps(run_facts(run(), store, matcher).plain()))
    assert plain["metrics"]["fid-edm"]["published"] == [same.plain()]
