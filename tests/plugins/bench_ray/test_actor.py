"""The actors' class, called without Ray: a plain class is all it is."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest

from bench import Batch, BatchFailure, BatchResult, BenchError, Card, FolderWork, RunSpec
from bench_ray.actor import Actor, CardFiles, Unfit, file_bytes, install, kind_of
from bench_ray.code import code_facts
from tests.support.plans import quick_spec
from tests.support.worker_work import Fatal, Raising


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return quick_spec()


@pytest.fixture
def card(tmp_path: Path, spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> Card:
    """A card on a machine that lacks its file, and has an empty cache."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    card = spec.card.model_copy()
    card._home = tmp_path / "elsewhere"
    return card


def test_its_report(spec: RunSpec) -> None:
    report = Actor(pickle.dumps(Raising(-1)), 0).ready("cpu")
    assert report.kind == spec.identity.device == kind_of("cpu")
    assert report.code == code_facts()


def test_it_shows_the_last_step(spec: RunSpec, tmp_path: Path) -> None:
    actor = Actor(pickle.dumps(Fatal(tmp_path)), 0)
    assert actor.sign() is None
    outcome = pickle.loads(actor.compute(pickle.dumps(Batch(spec, 1)), 0, []))
    assert isinstance(outcome, BatchResult)
    step = actor.sign()
    assert step is not None
    assert step.batch == 1


def test_an_exception_that_no_pickle_restores_is_plain_data(spec: RunSpec) -> None:
    actor = Actor(pickle.dumps(Raising(0)), 0)
    outcome = pickle.loads(actor.compute(pickle.dumps(Batch(spec, 0)), 0, []))
    assert isinstance(outcome, BatchFailure)
    assert outcome.reason == "TwoPartsError: two parts"
    assert "worker_work" in outcome.log


def test_sys_exit_is_a_crash(spec: RunSpec) -> None:
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        Actor(pickle.dumps(Raising(0, leaves=True)), 0).compute(pickle.dumps(Batch(spec, 0)), 0, [])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1


def test_where_the_folder_is_shared_the_worker_writes(spec: RunSpec, tmp_path: Path) -> None:
    actor = Actor(pickle.dumps(FolderWork(tmp_path)), 3)
    outcome = pickle.loads(actor.compute(pickle.dumps(Batch(spec, 0)), 1, []))
    assert (outcome.outputs, outcome.stored) == ({}, True)
    assert (outcome.facts.worker, outcome.facts.retries) == (3, 1)
    assert len(list(tmp_path.glob("samples/*/*.safetensors"))) == 1


def test_a_checkpoint_is_fetched_where_it_is_missing_and_only_there(spec: RunSpec, card: Card) -> None:
    files = file_bytes(spec.card)
    calls = []

    def fetch() -> dict[str, bytes]:
        calls.append(1)
        return files

    with pytest.raises(BenchError):
        card.check()
    install(card, fetch)
    card.check()
    assert card.folder.parts[-3:] == ("cache", "checkpoints", card.name)
    install(card, fetch)
    assert len(calls) == 1


def test_two_workers_of_a_machine_fetch_a_checkpoint_once(spec: RunSpec, card: Card) -> None:
    """The second one must not remove the folder that the first one reads."""
    files = file_bytes(spec.card)
    calls = []
    second = threading.Thread(target=lambda: install(card, fetch))

    def fetch() -> dict[str, bytes]:
        calls.append(1)
        if len(calls) == 1:
            second.start()
            time.sleep(0.5)  # it finds no checkpoint, as this one has not arrived
        return files

    install(card, fetch)
    place = card.folder.stat().st_ino
    second.join(60)
    assert not second.is_alive()
    assert len(calls) == 1
    assert card.folder.stat().st_ino == place


def test_the_hash_is_checked_where_the_file_arrives(spec: RunSpec, card: Card) -> None:
    files = {
        name: content + b" " if "." in name else content for name, content in file_bytes(spec.card).items()
    }
    files["installed.json"] = file_bytes(spec.card)["installed.json"]
    with pytest.raises(BenchError, match=r"hash|SHA-256"):
        install(card, lambda: files)


def test_a_machine_that_cannot_hold_the_checkpoint_is_unfit_and_the_batch_is_not_at_fault(
    spec: RunSpec, card: Card, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the cache should be")
    actor = Actor(pickle.dumps(Raising(0)), 0)
    answer = pickle.loads(actor.compute(pickle.dumps(Batch(spec, 0)), 0, [CardFiles(card, [])]))
    assert isinstance(answer, Unfit)
    assert "checkpoint can't be written" in answer.reason
