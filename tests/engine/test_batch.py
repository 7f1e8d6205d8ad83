"""One batch as a plain function of plain data, alone in a process; errors as plain data."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bench import SDE, Batch, BatchContext, Noise, Prediction, Predictor, Solver, Step, Task, Tensor, Update
from bench.engine.batch import (
    FolderWork,
    attempt_batch,
    attempt_batch_elsewhere,
    class_labels,
    failure_of,
    run_batch,
)
from bench.engine.executor import BatchFailure, BatchResult
from bench.engine.session import Session
from bench.errors import BenchError, NotFiniteError, StoreError
from bench.events import Event, StepDone
from bench.results.run_spec import RunSpec
from bench.results.store import Store
from tests.support.plans import quick_spec
from tests.support.plugins import installed
from tests.support.runs import exit_status

ALONE = """
import pickle, sys
from pathlib import Path
from safetensors.torch import save_file
from bench.engine.batch import run_batch
spec = pickle.loads(Path(sys.argv[1]).read_bytes())
save_file(dict(run_batch(spec, 0).outputs), sys.argv[2])
"""


def test_classes_of_a_batch() -> None:
    spec = quick_spec(samples=20)
    assert class_labels(spec, 0, "cpu") is None
    card = spec.card.model_copy(update={"classes": 3})

    def classes(labels: Any, index: int) -> list[int]:
        result = class_labels(dataclasses.replace(spec, card=card, labels=labels), index, "cpu")
        assert result is not None
        return [int(label) for label in result]

    assert classes("turn", 1) == [2, 0, 1, 2, 0, 1, 2, 0]  # samples 8 to 15
    assert classes("turn", 2) == [1, 2, 0, 1]  # the last batch is smaller
    assert classes(2, 1) == [2] * 8
    drawn = [classes("seed", index) for index in (0, 1, 2)]
    assert [len(labels) for labels in drawn] == [8, 8, 4]
    assert drawn == [classes("seed", index) for index in (0, 1, 2)]
    assert drawn[0] != drawn[1]
    assert {label for labels in drawn for label in labels} == {0, 1, 2}


def test_a_batch_alone_in_a_fresh_process_has_the_engines_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = (
        "--grid",
        "uniform",
        "--steps",
        "30",
        "--samples",
        "16",
        "--batch-size",
        "8",
        "--corrector",
        "langevin",
    )
    run = ("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", *flags)
    assert exit_status(*run) == 0
    spec = quick_spec(corrector=["langevin"])
    Path("spec").write_bytes(pickle.dumps(spec))
    subprocess.run([sys.executable, "-c", ALONE, "spec", "alone"], check=True, timeout=100)
    stored = load_file(Path("results", "samples", spec.key, "00000-8.safetensors"))
    assert torch.equal(load_file("alone")["images"], stored["images"])


def test_a_batch_does_not_depend_on_those_before_it() -> None:
    spec = quick_spec(corrector=["langevin"])
    session = Session(installed())
    run_batch(spec, 0, session)
    after, alone = run_batch(spec, 1, session), run_batch(spec, 1)
    assert torch.equal(after.outputs["images"], alone.outputs["images"])
    elsewhere = attempt_batch_elsewhere(Batch(spec, 1))
    assert isinstance(elsewhere, BatchResult)
    assert torch.equal(elsewhere.outputs["images"], alone.outputs["images"])


def test_facts_and_steps_of_a_batch() -> None:
    spec = quick_spec(corrector=["langevin"], samples=12)
    events: list[Event] = []
    result = run_batch(spec, 1, emit=events.append)
    assert result.outputs["images"].shape == (4, 3, 32, 32)
    assert result.outputs["images"].dtype == torch.float32
    assert result.facts.nfe == 60
    assert 0 < result.facts.network_seconds < result.facts.seconds
    assert {type(event) for event in events} == {StepDone}
    assert [(event.done, event.total, event.calls) for event in events if isinstance(event, StepDone)] == [
        (step, 30, 2 * step) for step in range(1, 31)
    ]


class Explodes(Predictor):
    """Raises, or yields NaN at its third step."""

    name = "explodes"
    quiet: bool = False

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        if not self.quiet:
            raise ValueError("two\nlines")
        number = (state or 0) + 1
        x = x * (float("nan") if number == 3 else 1.0)
        return Update(x, x, number)


class Forgets(Task):
    """Returns one row too few."""

    name = "forgets"

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        return {"images": batch.prior()[1:]}


def with_predictor(predictor: Predictor) -> RunSpec:
    """A run with another predictor than it was planned with."""
    spec = quick_spec()
    return dataclasses.replace(spec, sampler=dataclasses.replace(spec.sampler, predictor=predictor))


def test_an_error_is_a_line_with_the_plugin_and_a_log() -> None:
    failure = attempt_batch(Batch(with_predictor(Explodes()), 0))
    assert isinstance(failure, BatchFailure)
    plugin = quick_spec().identity.predictor
    assert plugin is not None
    origin = f"(predictor {plugin.name} of {plugin.distribution} {plugin.version})"
    assert failure.reason == f"ValueError: two lines {origin}"
    assert failure.log.startswith("Traceback (most recent call last):")
    assert "two\nlines" in failure.log


def test_a_state_that_is_not_finite_is_a_failure_that_names_the_step() -> None:
    with pytest.raises(NotFiniteError, match="in the predictor at step 3 of 30"):
        run_batch(with_predictor(Explodes(quiet=True)), 0)


def test_rows_that_are_missing_are_a_failure() -> None:
    spec = dataclasses.replace(quick_spec(), task=Forgets())
    with pytest.raises(BenchError, match="the task forgets returned no images, a row for each of 8 samples"):
        run_batch(spec, 0)


def test_errors_of_bench_have_no_class_in_their_line() -> None:
    failure = failure_of(BenchError("give --data"), quick_spec())
    assert (failure.reason, "BenchError: give --data" in failure.log) == ("give --data", True)
    assert failure_of(KeyError("x"), quick_spec()).reason == "KeyError: 'x'"


class OneCall(Solver):
    """One call of the network, of all that it integrates."""

    name = "one_call"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return x + 0 * p.score(x, sde.end)


class CallsTheModel(Solver):
    """Goes round the prediction: a whole batch twice, then a quarter of it."""

    name = "calls_the_model"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        level = sde.at(sde.end)
        score = p.model.score(x, level) + p.model.score_and_divergence(x, level)[0]
        quarter = p.model.score(x[: len(x) // 4], level)
        return x + 0 * score + 0 * quarter.mean()


class NeverCalls(Solver):
    """The prior noise, as it is."""

    name = "never_calls"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return x


def by(solver: Solver) -> RunSpec:
    """A run of two batches of eight by another solver than it was planned with."""
    spec = quick_spec(solver=["rk45"], denoise="none")
    return dataclasses.replace(spec, sampler=dataclasses.replace(spec.sampler, solver=solver))


def test_calls_are_counted_at_the_network_not_as_declared() -> None:
    assert run_batch(by(OneCall()), 0).facts.nfe == 1


def test_a_plugin_that_calls_the_model_itself_is_counted_by_the_sample() -> None:
    assert run_batch(by(CallsTheModel()), 0).facts.nfe == 2.25


def test_a_run_that_never_calls_the_network_fails() -> None:
    with pytest.raises(BenchError, match=r"^the network was never called: "):
        run_batch(by(NeverCalls()), 0)


def test_work_of_a_folder_writes_the_batch_with_its_worker(tmp_path: Path) -> None:
    spec = quick_spec()
    work = pickle.loads(pickle.dumps(FolderWork(tmp_path)))
    outcome = work.of_worker(2, 1)(Batch(spec, 1))
    assert isinstance(outcome, BatchResult)
    assert (outcome.outputs, outcome.stored) == ({}, True)
    stored = Store(tmp_path).read_batch(spec.key, 1, 8)
    assert stored is not None
    outputs, facts = stored
    assert (facts.worker, facts.retries) == (2, 1)
    expected = attempt_batch(Batch(spec, 1))
    assert isinstance(expected, BatchResult)
    assert all(torch.equal(outputs[name], tensor) for name, tensor in expected.outputs.items())


def test_where_a_worker_cannot_write_its_result_has_the_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreError("no space left on device")

    monkeypatch.setattr(Store, "write_batch", full)
    outcome = FolderWork(tmp_path)(Batch(quick_spec(), 0))
    assert isinstance(outcome, BatchResult)
    assert not outcome.stored
    assert [len(tensor) for tensor in outcome.outputs.values()] == [8]


def test_work_of_a_folder_passes_failures_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bench.engine.batch.attempt_batch_elsewhere", lambda *_: BatchFailure("it failed", "log")
    )
    assert FolderWork(tmp_path)(Batch(quick_spec(), 0)) == BatchFailure("it failed", "log")
