"""Actors on a cluster of three nodes of this machine: the bits, and what happens when something dies.

Ray asks for a gigabyte and takes seconds to start: ``.ci/run`` runs this file in an environment of its own.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import Batch, BatchFailure, BatchResult, BenchError, Notice, RunSpec, StepDone, Work
from bench_ray import Ray
from bench_ray.actor import Report, Unfit
from bench_ray.cluster import Need
from bench_ray.code import code_facts
from bench_ray.pool import NODE_DEATH, RayPool, death_cause
from tests.support.fake_ray import FakeRay, ObjectLostError, RayActorError
from tests.support.plans import quick_spec
from tests.support.ray_nodes import Nodes
from tests.support.runs import exit_status, records_in
from tests.support.worker_work import FACTS, Fatal, Raising

HERE = importlib.util.find_spec("ray") is not None
needed = pytest.mark.skipif(not HERE, reason="ray is not installed; .ci/run has an environment for it")
RUN = (
    *("run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--steps", "5", "--samples", "48"),
    *("--batch-size", "8", "--predictor", "reverse_diffusion", "--corrector", "langevin"),
)
MESSAGES = {
    "The actor is dead because its worker process has died. Worker exit detail: "
    "Worker exits with an exit code 3. Some common causes": "Worker exits with an exit code 3",
    "The actor died because its node has died. Node Id: 5a93 health check failed": (
        "The actor died because its node has died"
    ),
    "The actor died because of an error in its creation, boom": (
        "The actor died because of an error in its creation, boom"
    ),
}
"""What Ray says of an actor's death, in parts, and the line that is made of it."""


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return quick_spec(samples=64)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes(2)
    yield nodes
    import ray

    ray.shutdown()
    nodes.stop()


def outcomes_of(
    nodes: Nodes, work: Work, spec: RunSpec, on_step: Callable[[int], None] | None = None, **parameters: Any
) -> dict[int, BatchResult | BatchFailure]:
    """Outcomes of eight batches by two actors; each comes once."""
    outcomes: dict[int, BatchResult | BatchFailure] = {}
    executor = Ray(workers=2, address=nodes.address, **parameters)
    for batch, outcome in executor.map(work, iter([Batch(spec, index) for index in range(8)])):
        if isinstance(outcome, BatchResult | BatchFailure):
            assert batch.index not in outcomes
            outcomes[batch.index] = outcome
        elif isinstance(outcome, StepDone) and on_step is not None:
            on_step(outcome.batch)
    assert outcomes.keys() == set(range(8))
    return outcomes


@pytest.mark.parametrize(("message", "cause"), MESSAGES.items())
def test_the_cause_of_a_death_is_one_line(message: str, cause: str) -> None:
    assert death_cause(message) == cause
    assert bool(NODE_DEATH.search(message)) == ("its node" in message)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr("bench_ray.pool.ray_module", lambda: fake)
    monkeypatch.setattr("bench_ray.pool.PAUSE", 0.0)
    return fake


class Steps:
    """A pool on `FakeRay`, whose loop a test turns by hand."""

    def __init__(self, fake: FakeRay, spec: RunSpec, count: int, batches: int) -> None:
        self.fake = fake
        self.pool = RayPool(
            Raising(-1), count, need=Need(1.0, 0.0), kind=spec.identity.device, elsewhere=False,
            patience=60.0, limit=0.0, start_limit=60.0,
        )  # fmt: skip
        for index in range(batches):
            self.pool.put(Batch(spec, index))
        self.pool._feed()
        for call in list(self.fake.calls):  # all are ready before the first batch is sent
            call.result = Report(spec.identity.device, code_facts(), "host")
            self.pool._listen()
        self.pool._feed()

    def answer(self, name: str, result: object) -> None:
        """The latest call of that name returns, or raises."""
        next(call for call in reversed(self.fake.calls) if call.name == name).result = result
        self.turn()

    def finish(self, name: str) -> None:
        """A batch is computed."""
        self.answer(name, pickle.dumps(BatchResult({}, FACTS)))

    def turn(self) -> None:
        """Listen, and feed."""
        self.pool._listen()
        self.pool._feed()

    def names(self) -> list[str]:
        """The batches sent, in order."""
        return [call.name for call in self.fake.calls if call.name.startswith("compute")]


def test_actors_have_no_restarts_of_rays_own_and_see_no_gpu(fake: FakeRay, spec: RunSpec) -> None:
    Steps(fake, spec, 1, 1)
    (options,) = fake.options
    assert (options["max_restarts"], options["max_task_retries"]) == (0, 0)
    environment = options["runtime_env"]["env_vars"]
    assert (environment["CUDA_VISIBLE_DEVICES"], environment["OMP_NUM_THREADS"]) == ("", "1")


def test_a_result_lost_after_it_was_ready_is_computed_again_without_a_strike(
    fake: FakeRay, spec: RunSpec
) -> None:
    steps = Steps(fake, spec, 1, 3)
    assert steps.names() == ["compute 0 of 0", "compute 1 of 0"]
    for _ in range(4):
        steps.answer("compute 0 of 0", ObjectLostError())
    assert steps.names().count("compute 0 of 0") == 5
    assert steps.pool._strikes == {}
    assert fake.dead == []


def test_what_an_actor_finished_before_its_death_counts(fake: FakeRay, spec: RunSpec) -> None:
    steps = Steps(fake, spec, 1, 2)
    first, second = (call for call in fake.calls if call.name.startswith("compute"))
    second.result = RayActorError("its worker process has died")
    first.result = pickle.dumps(BatchResult({}, FACTS))
    steps.pool._take(steps.pool._workers[0], second)
    steps.pool._feed()
    assert steps.pool._strikes == {Batch(spec, 1).name: 1}
    assert isinstance(steps.pool.get()[1], BatchResult)
    assert fake.dead == [0]


def test_an_actor_that_does_not_start_is_left_out_and_the_last_one_is_an_error(
    fake: FakeRay, spec: RunSpec
) -> None:
    steps = Steps(fake, spec, 1, 1)
    failure = RayActorError("its worker process has died")
    steps.answer("compute 0 of 0", failure)
    steps.answer("ready of 0", failure)
    steps.answer("ready of 0", failure)
    with pytest.raises(BenchError, match="worker 0 failed to start 3 times"):
        steps.answer("ready of 0", failure)


def test_a_machine_that_cannot_hold_the_checkpoint_is_left_out(fake: FakeRay, spec: RunSpec) -> None:
    steps = Steps(fake, spec, 2, 2)
    steps.answer("compute 0 of 0", pickle.dumps(Unfit("its checkpoint can't be written: no space")))
    assert steps.names()[-1] == "compute 0 of 1"
    assert steps.pool._strikes == {}
    assert steps.pool.get()[1] == Notice("worker 0: its checkpoint can't be written: no space: left out")


def test_an_unfit_machine_that_then_dies_is_left_out(fake: FakeRay, spec: RunSpec) -> None:
    steps = Steps(fake, spec, 2, 4)
    first, third = (call for call in fake.calls if call.name in ("compute 0 of 0", "compute 2 of 0"))
    first.result = pickle.dumps(Unfit("its checkpoint can't be written: no space"))
    third.result = RayActorError("its worker process has died")
    steps.pool._take(steps.pool._workers[0], third)
    # its two come first; the last one waits, as not every actor could have a second batch
    assert [batch.index for batch in steps.pool._todo] == [0, 2, 3]
    assert steps.pool._strikes == {}
    assert isinstance(steps.pool.get()[1], Notice)


def test_one_turn_takes_all_that_is_there(fake: FakeRay, spec: RunSpec) -> None:
    """Else the first actors' results go before the last one's sign of life, which is then taken for dead."""
    steps = Steps(fake, spec, 6, 12)
    for call in fake.calls:
        if call.name.startswith(("compute", "sign")) and call.result is None:
            call.result = pickle.dumps(BatchResult({}, FACTS)) if "compute" in call.name else 1
    steps.pool._listen()
    assert [len(worker.batches) for worker in steps.pool._workers.values()] == [0] * 6


@needed
def test_the_bits_are_those_of_one_process_and_of_two_workers(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    monkeypatch.chdir(tmp_path)
    on_ray = ("--executor", "ray", "--workers", "2", "-P", f"executor.address={nodes.address}")
    assert exit_status(*RUN, "--out", "one") == 0
    assert exit_status(*RUN, "--out", "two", "--workers", "2") == 0
    assert exit_status(*RUN, "--out", "ray", *on_ray) == 0
    assert exit_status(*RUN, "--out", "shared", *on_ray, "-P", "executor.shared=true") == 0
    names = sorted(path.relative_to("one") for path in Path("one").glob("samples/*/*.safetensors"))
    assert len(names) == 6
    for name in names:
        one = load_file(Path("one", name))
        for other in ("two", "ray", "shared"):
            tensors = load_file(Path(other, name))
            assert one.keys() == tensors.keys()
            assert all(one[key].numpy().tobytes() == tensors[key].numpy().tobytes() for key in one), other
    for folder in ("ray", "shared"):
        (record,) = records_in(folder)
        assert record.executor == "ray"
        assert {batch.worker for batch in record.batches} <= {0, 1}
        assert record.batches[0].worker is not None


@needed
def test_an_actor_killed_once_costs_its_batch_a_strike_and_no_other(
    nodes: Nodes, spec: RunSpec, tmp_path: Path
) -> None:
    outcomes = outcomes_of(nodes, Fatal(tmp_path, bad=2), spec)
    for index, outcome in outcomes.items():
        assert isinstance(outcome, BatchResult)
        assert outcome.facts.retries == (index == 2)
    assert Fatal(tmp_path).count(2) == 2


@needed
def test_a_batch_that_kills_three_actors_fails_alone(
    nodes: Nodes, spec: RunSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes = outcomes_of(nodes, Fatal(tmp_path, bad=0, times=99), spec)
    assert "(raylet)" not in "".join(capfd.readouterr())
    failure = outcomes.pop(0)
    assert isinstance(failure, BatchFailure)
    assert failure.reason.startswith("its worker died 3 times (")
    for outcome in outcomes.values():
        assert isinstance(outcome, BatchResult)
        assert outcome.facts.retries == 0
    assert Fatal(tmp_path).count(0) == 3


@needed
def test_an_exception_is_a_failure_and_sys_exit_a_crash(nodes: Nodes, spec: RunSpec) -> None:
    failure = outcomes_of(nodes, Raising(3), spec)[3]
    assert isinstance(failure, BatchFailure)
    assert failure.reason == "TwoPartsError: two parts"
    failure = outcomes_of(nodes, Raising(3, leaves=True), spec)[3]
    assert isinstance(failure, BatchFailure)
    assert failure.reason.startswith("its worker died 3 times (")


@needed
@pytest.mark.parametrize(
    ("sent", "limits"),
    [(signal.SIGSTOP, {"patience": 10.0}), (signal.SIGCONT, {"limit": 10.0})],
    ids=["stopped", "without a step"],
)
def test_a_hung_batch_has_a_limit(
    sent: signal.Signals, limits: dict[str, Any], nodes: Nodes, spec: RunSpec, tmp_path: Path
) -> None:
    outcomes = outcomes_of(nodes, Fatal(tmp_path, bad=1, signal=sent), spec, **limits)
    outcome = outcomes[1]
    assert isinstance(outcome, BatchResult)
    assert outcome.facts.retries == 1


@needed
def test_other_code_on_a_node_is_told_before_the_first_batch(
    nodes: Nodes, spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_ray.pool.code_facts", lambda: {"torch": "1.0"})
    with pytest.raises(BenchError, match=r"has other code: .*torch 1.0 here, .* there") as error:
        outcomes_of(nodes, Fatal(tmp_path), spec)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@needed
def test_what_nobody_has_is_told_before_an_actor_waits_for_it(nodes: Nodes, spec: RunSpec) -> None:
    begin = time.monotonic()
    with pytest.raises(BenchError, match="room for 0 workers of 1 CPUs and 1 GPUs, not for 2"):
        outcomes_of(nodes, Raising(-1), spec, num_gpus=1.0)
    assert time.monotonic() - begin < 60


@needed
def test_an_actor_of_another_kind_of_device_is_left_out(nodes: Nodes, spec: RunSpec) -> None:
    identity = spec.identity.model_copy(update={"device": "cpu OTHER"})
    other = dataclasses.replace(spec, identity=identity)
    with pytest.raises(BenchError, match=r"computes on cpu .* planned for cpu OTHER"):
        list(Ray(workers=1, address=nodes.address).map(Raising(-1), iter([Batch(other, 0)])))


@needed
def test_a_driver_that_is_killed_goes_on(nodes: Nodes, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    out = tmp_path / "out"
    long = tuple("300" if word == "5" else word for word in RUN)
    command = [sys.executable, "-m", "bench", *long, "--executor", "ray", "--workers", "2", "--out", str(out)]
    command += ["-P", f"executor.address={nodes.address}"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 200
    while not list(out.glob("samples/*/*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("samples/*/*.safetensors")}
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=250).returncode == 0
    assert exit_status(*long, "--out", str(tmp_path / "one")) == 0
    paths = sorted(out.glob("samples/*/*.safetensors"))
    assert len(paths) == 6
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    for path in paths:
        one, two = load_file(tmp_path / "one" / path.relative_to(out)), load_file(path)
        assert all(one[key].numpy().tobytes() == two[key].numpy().tobytes() for key in one)


@needed
def test_the_death_of_a_node_gives_no_strike(nodes: Nodes, spec: RunSpec, tmp_path: Path) -> None:
    """The raylet's death is seen by missing heartbeats; the other node goes on, and does all batches."""
    killed: list[int] = []

    def kill(index: int) -> None:
        if index == 1 and not killed:
            killed.append(index)
            nodes.kill_raylet(nodes.others[0])

    # batch 1 sleeps, so that an actor is at work on each node
    outcomes = outcomes_of(nodes, Fatal(tmp_path, bad=1, signal=signal.SIGCONT), spec, kill, limit=60.0)
    assert killed == [1]
    for index, outcome in outcomes.items():
        assert isinstance(outcome, BatchResult)
        if index != 1:
            assert outcome.facts.retries == 0
