"""Loggers: every record of a command comes once, from disk too, and no error in one harms a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench
from bench import BenchError, Logger, RecordedRun, silent
from bench.events import Event, Notice
from bench.results.loggers import Loggers
from bench.results.store import Store
from tests.support.loggers import Absent, Changes, Exits, Fails, Pages, Prints
from tests.support.made_up import record as made_up_record
from tests.support.plugins import hooks
from tests.support.runs import exit_status, forbid_batches, records_in, registry_with

RUN = ("run", "--checkpoint", "gaussian-cifar10", "--samples", "4", "--batch-size", "4")
DDIM = ("--predictor", "ddim", "--steps", "3")
REGISTRY = registry_with(hooks("loggers", Pages, Fails, Exits, Absent, Prints, Changes))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pages(folder: str = "results/pages") -> dict[str, dict[str, object]]:
    """What `Pages` wrote, by fingerprint."""
    return {path.stem: json.loads(path.read_text()) for path in Path(folder).glob("*.json")}


def test_a_logger_receives_the_record_of_every_run_with_its_preview() -> None:
    assert exit_status(*RUN, *DDIM, "--repeats", "2", "--logger", "pages", registry=REGISTRY) == 0
    fingerprints = {record.fingerprint for record in records_in()}
    assert len(fingerprints) == 2
    assert pages() == {
        name: {"status": "finished", "metrics": ["fd_dct"], "preview": True} for name in fingerprints
    }


def test_records_on_disk_come_again_so_that_a_logger_can_be_added_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert exit_status(*RUN, *DDIM, registry=REGISTRY) == 0
    assert pages() == {}
    forbid_batches(monkeypatch)
    assert exit_status(*RUN, *DDIM, "--logger", "pages", registry=REGISTRY) == 0
    assert list(pages()) == [record.fingerprint for record in records_in()]


def test_a_failed_run_comes_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("as the test wants")

    monkeypatch.setattr("bench.engine.ledger.measure_run", fail)
    assert exit_status(*RUN, *DDIM, "--logger", "pages", registry=REGISTRY) == 1
    assert [page["status"] for page in pages().values()] == ["failed"]


@pytest.mark.parametrize(
    ("name", "reason"), [("fails", "ConnectionError: no tracker"), ("exits", "no account")]
)
def test_a_failing_logger_is_one_line_and_the_results_stay(
    capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    flags = ("--repeats", "3", "--logger", name, "--logger", "pages", "--json")
    assert exit_status(*RUN, *DDIM, *flags, registry=REGISTRY) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["finished"] == 3
    lines = [line for line in err.splitlines() if f"logger {name}" in line]
    assert len(lines) == 2
    assert f"logger {name} failed on" in lines[0]
    assert reason in lines[0]
    assert f"logger {name} missed 3 of 3 records in all" in lines[1]
    assert "Traceback" not in err
    assert len(pages()) == 3  # the other logger received all


def test_a_logger_that_can_not_work_stops_the_command_before_any_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_batches(monkeypatch)
    assert exit_status(*RUN, *DDIM, "--logger", "absent", registry=REGISTRY) == 2
    assert capsys.readouterr().err == "bench: the logger absent needs a library: pip install it\n"
    assert not Path("results").exists()


def test_prints_of_a_logger_leave_the_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(*RUN, *DDIM, "--logger", "prints", "--json", registry=REGISTRY) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["finished"] == 1
    assert "logged " in err


def test_a_dry_run_logs_nothing() -> None:
    assert exit_status(*RUN, *DDIM, "--logger", "pages", "--dry-run", registry=REGISTRY) == 0
    assert not Path("results").exists()


def test_bench_toml_selects_loggers_and_sets_their_parameters() -> None:
    Path("bench.toml").write_text(
        '[defaults]\nlogger = "pages"\n[defaults.parameters.logger]\nfolder = "own"\n', encoding="utf-8"
    )
    assert exit_status(*RUN, *DDIM, "--logger", "none", registry=REGISTRY) == 0
    assert not Path("results/own").exists()
    assert exit_status(*RUN, *DDIM, registry=REGISTRY) == 0
    assert len(pages("results/own")) == 1
    assert exit_status(*RUN, *DDIM, "-P", "logger.folder=other", registry=REGISTRY) == 0
    assert len(pages("results/other")) == 1


def test_a_suite_takes_loggers_and_their_parameters() -> None:
    flags = ("--suite", "fast", "--only", "vp * 5", "--samples", "4", "--checkpoint", "gaussian-cifar10")
    logger = ("--logger", "pages", "-P", "logger.folder=of_suite")
    assert exit_status("run", *flags, *logger, registry=REGISTRY) == 0
    assert set(pages("results/of_suite")) == {record.fingerprint for record in records_in()}


def test_python_takes_a_logger_as_an_object() -> None:
    results = bench.run(
        checkpoint="gaussian-cifar10",
        predictor="ddim",
        steps=3,
        samples=4,
        logger=Pages(folder="objects"),
        emit=silent,
    )
    assert list(pages("results/objects")) == [results[0].fingerprint]


def test_companions_that_no_one_asked_for_are_not_logged() -> None:
    flags = ("--metric", "flow_error", "--logger", "pages")
    assert exit_status(*RUN, *DDIM, *flags, registry=REGISTRY) == 0
    records = records_in()
    assert len(records) == 3  # with two fine solutions
    (name,) = pages()
    (ddim,) = (record for record in records if "ddim" in record.title)
    assert name == ddim.fingerprint


def test_of_several_processes_the_first_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert exit_status(*RUN, *DDIM, "--logger", "pages", registry=REGISTRY) == 0
    assert pages() == {}
    monkeypatch.setenv("RANK", "0")
    assert exit_status(*RUN, *DDIM, "--logger", "pages", registry=REGISTRY) == 0
    assert len(pages()) == 1


def test_a_record_at_two_places_comes_once_and_a_change_to_it_stays_with_the_logger() -> None:
    class Counts(Logger):
        name = "counts"

        def log(self, run: RecordedRun) -> None:
            received.append(run.record.fingerprint)

    received: list[str] = []
    events: list[Event] = []
    record = made_up_record()
    before = record.model_dump_json()
    loggers = Loggers([Changes(), Counts(), Fails()], Store(Path("results")), events.append)
    loggers.log(record)
    loggers.log(record)
    loggers.close()
    assert received == [record.fingerprint]
    assert record.model_dump_json() == before
    (notice,) = events
    assert isinstance(notice, Notice)
    assert "\n" not in notice.text


def test_a_logger_has_no_say_in_what_a_run_is() -> None:
    """The fingerprint of a run is the same with and without a logger."""
    assert exit_status(*RUN, *DDIM, registry=REGISTRY) == 0
    assert exit_status(*RUN, *DDIM, "--logger", "pages", "--rerun", "all", registry=REGISTRY) == 0
    assert len(records_in()) == 1


def test_an_unknown_logger_object_is_refused() -> None:
    with pytest.raises(BenchError, match="unknown logger"):
        bench.run(checkpoint="gaussian-cifar10", samples=4, logger="page", emit=silent)
