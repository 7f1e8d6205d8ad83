"""Batches as plain data, and executors: their parameters, their duties, work in other processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file

import bench
from bench import (
    Batch,
    BatchFailure,
    BenchError,
    Executor,
    FolderWork,
    Noise,
    Outcome,
    Predictor,
    Step,
    Update,
    param,
)
from bench.engine.batch import attempt_batch
from bench.plugins.registry import Registry
from bench.results.record import BatchFacts
from tests.support.executors import Pool
from tests.support.plans import quick_spec
from tests.support.plugins import hooks
from tests.support.runs import exit_status, records_in, registry_with

RUN = ("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--batch-size", "8", "--samples", "20")
PC = ("--steps", "30", "--corrector", "langevin")


class Chunks(Executor):
    """Takes batches in chunks."""

    name = "chunks"
    chunks: ClassVar[list[list[tuple[str, int]]]] = []
    """Title and index of the batches of each chunk."""

    size: int = param(default=1, help="batches per chunk", low=1)

    def map(
        self, work: Callable[[Batch], Outcome], batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome]]:
        chunk: list[Batch] = []
        for batch in batches:
            chunk.append(batch)
            if len(chunk) == self.size:
                yield from self.flush(chunk, work)
                chunk = []
        yield from self.flush(chunk, work)

    def flush(self, chunk: list[Batch], work: Callable[[Batch], Outcome]) -> Iterator[tuple[Batch, Outcome]]:
        self.chunks.append([(batch.spec.title, batch.index) for batch in chunk])
        for batch in chunk:
            yield batch, work(batch)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """What is installed, and the executors of this file, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Chunks, "chunks", [])
    return registry_with(hooks("executors", Chunks, Pool))


def bits(out: str) -> dict[str, bytes]:
    """Bits of every output of every batch under a results folder, by file."""
    root = Path(out, "samples")
    return {
        f"{path.relative_to(root)} {name}": tensor.numpy().tobytes()
        for path in sorted(root.glob("*/*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def test_batches_have_names_and_sizes() -> None:
    spec = quick_spec(samples=20)
    batches = [Batch(spec, index) for index in range(spec.batch_count)]
    assert [batch.size for batch in batches] == [8, 8, 4]
    assert [batch.name for batch in batches] == [
        f"{spec.key}-00000-8",
        f"{spec.key}-00001-8",
        f"{spec.key}-00002-4",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"corrector": ["langevin"]},
        {"solver": ["rk45"], "metric": ["fd_cifar10"]},
        {"task": "inpaint", "metric": ["known_error"], "samples": 8, "batch_size": 4},
        {"checkpoint": ["cifar10-tiny"], "metric": ["fd_cifar10"]},
    ],
)
def test_batches_and_outcomes_are_plain_data(changes: dict[str, Any]) -> None:
    """A copy of a batch by pickle gives the bits of the batch itself, and so does a copy of its outcome."""
    batch = Batch(quick_spec(**({"samples": 4, "batch_size": 2} | changes)), 1)
    copy = pickle.loads(pickle.dumps(batch))
    assert (copy.name, copy.spec.fingerprint) == (batch.name, batch.spec.fingerprint)
    outcome = attempt_batch(batch)
    assert not isinstance(outcome, BatchFailure), outcome.log
    of_copy = pickle.loads(pickle.dumps(attempt_batch(copy)))
    assert outcome.outputs.keys() == of_copy.outputs.keys()
    for name, tensor in outcome.outputs.items():
        assert torch.equal(tensor, of_copy.outputs[name])
    assert isinstance(of_copy.facts, BatchFacts)
    failure = BatchFailure("reason", "log")
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_parameters_reach_the_executor(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    run = (*RUN, "--steps", "30", "--executor", "chunks")
    assert exit_status(*run, "-P", "executor.size=2", registry=registry) == 0
    assert [len(chunk) for chunk in Chunks.chunks if chunk] == [2, 1]
    assert exit_status(*run, "-P", "executor.sise=2", registry=registry) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "bench: chunks has no parameter 'sise' (did you mean 'size'? known: size)"
    assert exit_status(*run, "-P", "executor.size=0", registry=registry) == 2


def test_an_executor_may_be_an_object(registry: Registry) -> None:
    quick: dict[str, Any] = {"checkpoint": "gaussian-cifar10", "steps": 30, "samples": 8, "batch_size": 2}
    results = bench.run(**quick, device="cpu", executor=Chunks(size=3), registry=registry)
    assert [record.status for record in results] == ["finished"]
    assert [len(chunk) for chunk in Chunks.chunks if chunk] == [3, 1]


def test_batches_of_several_runs_are_one_stream(registry: Registry) -> None:
    """An executor that wants all batches before it computes any gets those of both runs."""
    two = (*RUN, "--steps", "30", "--predictor", "reverse_diffusion", "--predictor", "ancestral")
    assert exit_status(*two, "--executor", "chunks", "-P", "executor.size=100", registry=registry) == 0
    chunk = max(Chunks.chunks, key=len)
    assert [index for _, index in chunk] == [0, 1, 2, 0, 1, 2]
    assert len({title for title, _ in chunk}) == 2
    assert exit_status(*two, "--out", "one by one", registry=registry) == 0
    assert bits("results") == bits("one by one")


def test_other_processes_give_the_same_bits(registry: Registry) -> None:
    """Two processes that know nothing of this one but what batches carry."""
    assert exit_status(*RUN, *PC, "--repeats", "2", "--out", "here", registry=registry) == 0
    elsewhere = (*RUN, *PC, "--repeats", "2", "--executor", "sound_pool", "--out", "there")
    assert exit_status(*elsewhere, registry=registry) == 0
    assert len(bits("here")) == 6
    assert bits("there") == bits("here")
    here, there = records_in("here"), records_in("there")
    assert [record.metrics for record in there] == [record.metrics for record in here]
    assert [record.fingerprint for record in there] == [record.fingerprint for record in here]


class Own(Predictor):
    """A predictor of this process."""

    name = "own"

    def step(self, x: Any, step: Step, p: Any, noise: Noise, state: Any) -> Update:
        p.score(x, step)
        return Update(x, x)


def test_a_class_of_this_process_is_refused_in_one_line(registry: Registry) -> None:
    quick: dict[str, Any] = {"checkpoint": "gaussian-cifar10", "steps": 30, "samples": 4, "device": "cpu"}
    with pytest.raises(BenchError, match="sound_pool works in other processes") as refusal:
        bench.run(**quick, predictor=Own, executor="sound_pool", registry=registry)
    assert "use the executor local" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(Path("results").glob("samples/*"))
    assert bench.run(**quick, predictor=Own, registry=registry)[0].status == "finished"


class InFolder(Pool):
    """Two processes that write into a folder: the results folder, or another one."""

    name = "in_folder"

    elsewhere: str = param(default="", help="the folder that the workers write into in its place")

    @property
    def writes_batches(self) -> bool:
        return True

    def map(
        self, work: Callable[[Batch], Outcome], batches: Iterator[Batch]
    ) -> Iterator[tuple[Batch, Outcome]]:
        assert isinstance(work, FolderWork)
        return super().map(FolderWork(Path(self.elsewhere)) if self.elsewhere else work, batches)


def test_workers_that_share_the_folder_write_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registry = registry_with(hooks("executors", InFolder))
    command = (*RUN, *PC, "--executor", "in_folder")
    assert exit_status(*RUN, *PC, "--out", "one") == 0
    assert exit_status(*command, "--out", "two", registry=registry) == 0
    for path in Path("one").glob("samples/*/*.safetensors"):
        one, two = load_file(path), load_file(Path("two", path.relative_to("one")))
        assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_a_folder_that_is_not_shared_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.engine.loop.APPEARANCE", 0.3)
    registry = registry_with(hooks("executors", InFolder))
    other = ("-P", f"executor.elsewhere={tmp_path / 'other'}")
    assert exit_status(*RUN, *PC, "--executor", "in_folder", *other, "--out", "one", registry=registry) == 1
    (record,) = records_in("one")
    assert "the machines do not share it, so leave executor.shared out" in record.reason
