"""Actors as workers: they start, are sent batches and die by the rules of `bench_local.dispatch`.

What Ray 2.60 does decides the shape. Its own restarts and retries are off: a call that is made while an actor
starts anew fails without having run, and the errors of all calls in flight look alike. Each reference is
dropped as soon as its result is here, or Ray keeps the result.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import sys
import threading
from typing import Any

from bench import Batch, BatchFailure, BenchError, Card, StepDone, Work
from bench_local.dispatch import Dispatcher, Worker
from bench_local.pool import MALLOC
from bench_ray.actor import Actor, CardFiles, Report, Unfit, file_bytes
from bench_ray.cluster import Need, ray_module
from bench_ray.code import code_facts, difference

DEPTH = 2
"""Batches in flight per actor: the next one is there before the result of the last has left."""
TICK = 5.0
"""Seconds that one wait for results takes at most."""
PAUSE = 0.2
"""Seconds between looks for new batches while an actor is free."""
SIGN = 1.0
"""Seconds between two signs of life that an actor is asked for."""
FETCH = 60.0
"""Seconds that a result may take to come from its node before the others are looked at again."""
STARTS = 3
"""Times in a row that an actor may fail to start."""
SIGNS = "signs"
"""Name of the group of calls that a thread of their own answers."""

NODE_DEATH = re.compile(r"its node has died|node was terminated|node died", re.IGNORECASE)
"""What the message of a dead actor says where its node died and took it along."""


@dataclasses.dataclass(kw_only=True, eq=False)
class ActorWorker(Worker):
    """An actor with its calls in flight: the one that it is ready, batches in order, and one sign of life."""

    handle: Any
    started: float
    start_call: Any
    calls: dict[Any, Batch] = dataclasses.field(default_factory=dict)
    sign_call: Any = None
    sign_time: float = 0.0
    step: StepDone | None = None
    cause: str = ""


class RayPool(Dispatcher[ActorWorker]):
    """Actors that compute batches.

    Args:
        work: Computes a batch.
        count: Number of actors; each starts when a batch waits for it.
        need: What an actor takes.
        kind: Kind of device that the runs are planned for: an actor on another one computes other bits, and
            is left out.
        elsewhere: Whether nodes may be other machines, which may lack checkpoints' files.
        patience: Seconds without a sign of life after which an actor is replaced.
        limit: Seconds without a step after which an actor is replaced; 0 for no limit.
        start_limit: Seconds that an actor may take to start.
    """

    def __init__(
        self,
        work: Work,
        count: int,
        *,
        need: Need,
        kind: str,
        elsewhere: bool,
        patience: float,
        limit: float,
        start_limit: float,
    ) -> None:
        super().__init__(count, depth=DEPTH, patience=patience, limit=limit)
        self._ray = ray_module()
        self._work = pickle.dumps(work)
        self._need, self._kind, self._elsewhere = need, kind, elsewhere
        self._start_limit = start_limit
        self._event = threading.Event()
        self._files: dict[str, CardFiles] = {}
        self._failed_starts: dict[int, int] = {}

    def _wake(self) -> None:
        self._event.set()

    def _start(self, number: int, batch: Batch) -> ActorWorker:
        threads = str(max(1, int(self._need.cpus)))
        environment = MALLOC | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        if not self._need.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves it alone, and the actor would see every GPU
        if not self._elsewhere:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        options: dict[str, Any] = {
            "num_cpus": self._need.cpus,
            "num_gpus": self._need.gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "runtime_env": {"env_vars": environment},
        }
        if self._need.accelerator:
            options["accelerator_type"] = self._need.accelerator
        maker = self._ray.remote(concurrency_groups={SIGNS: 1})(Actor)
        handle = maker.options(**options).remote(self._work, number)
        call = handle.ready.remote(batch.spec.device)
        return ActorWorker(number=number, ready=False, handle=handle, started=self._clock(), start_call=call)

    def _send(self, worker: ActorWorker, batch: Batch, strikes: int) -> None:
        cards = [batch.spec.card, *batch.spec.others] if self._elsewhere else []
        files = [self._card_files(card) for card in cards]
        worker.calls[worker.handle.compute.remote(pickle.dumps(batch), strikes, files)] = batch

    def _card_files(self, card: Card) -> CardFiles:
        """A checkpoint with its files in Ray's store, from where a node fetches them once."""
        if card.name not in self._files:
            self._files[card.name] = CardFiles(card, [self._ray.put(file_bytes(card))])
        return self._files[card.name]

    def _listen(self) -> None:
        calls: dict[Any, ActorWorker] = {}
        now = self._clock()
        for worker in self._workers.values():
            if not worker.ready:
                calls[worker.start_call] = worker
            elif worker.batches and worker.sign_call is None and now - worker.sign_time >= SIGN:
                worker.sign_call = worker.handle.sign.options(concurrency_group=SIGNS).remote()
            calls |= dict.fromkeys(worker.calls, worker)
            if worker.sign_call is not None:
                calls[worker.sign_call] = worker
        if not calls:
            self._event.wait(1.0)
            self._event.clear()
            return
        seconds = PAUSE if self._has_room() else min(TICK, SIGN)
        results, _ = self._ray.wait(list(calls), num_returns=1, timeout=seconds)
        if results:  # all of them: one a turn, the signs of many actors would wait behind results
            results, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)
        for call in results:
            worker = calls[call]
            if self._workers.get(worker.number) is worker:  # not replaced by what came before
                self._take(worker, call)
        self._replace_late()

    def _take(self, worker: ActorWorker, call: Any) -> None:
        """Take the result of a call, or what became of it."""
        errors = self._ray.exceptions
        batch = worker.calls.get(call)
        try:
            value = self._ray.get(call, timeout=FETCH)
        except errors.GetTimeoutError:
            return  # its node is slow, or is about to be called dead
        except errors.RayActorError as error:
            self._take_death(worker, str(error))
            return
        except errors.ObjectLostError:
            if batch is not None:  # lost with its node after it was ready
                del worker.calls[call]
                self._take_back(worker, batch)
            elif call == worker.sign_call:
                worker.sign_call = None
            return
        except errors.RayError as error:
            value = BatchFailure(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", str(error))
            if batch is None:
                self._take_death(worker, value.reason)
                return
        if call == worker.sign_call:
            self._take_sign(worker, value)
        elif batch is None:
            self._take_start(worker, value)
        else:
            del worker.calls[call]
            self._take_answer(worker, batch, value)

    def _take_sign(self, worker: ActorWorker, step: StepDone | None) -> None:
        """Note a sign of life, and pass a new step of the batch at work on."""
        worker.sign_call, worker.sign_time, worker.heard = None, self._clock(), self._clock()
        at_work = worker.batches[0] if worker.batches else None
        if step is None or step == worker.step or at_work is None:
            return
        if (step.fingerprint, step.batch) == (at_work.spec.fingerprint, at_work.index):
            worker.step = step
            self._take_step(worker, step)

    def _take_start(self, worker: ActorWorker, report: Report) -> None:
        """Let an actor work that computes with the command's code, on the runs' kind of device.

        Raises:
            BenchError: Its code is another, so that its bits would be of other code than records say.
        """
        other = difference(code_facts(), report.code)
        if other:
            raise BenchError(
                f"the machine {report.host} has other code: {other}; install the same there and start again"
            )
        if report.kind != self._kind:
            text = f"computes on {report.kind}, and the runs are planned for {self._kind}"
            self._leave_out(worker, f"worker {worker.number} on {report.host} {text}")
            return
        self._failed_starts.pop(worker.number, None)
        worker.ready = True

    def _take_answer(self, worker: ActorWorker, batch: Batch, value: bytes | BatchFailure) -> None:
        answer = pickle.loads(value) if isinstance(value, bytes) else value
        if isinstance(answer, Unfit):
            self._leave_out(worker, f"worker {worker.number}: {answer.reason}")
        else:
            self._take_outcome(worker, batch, answer)

    def _take_death(self, worker: ActorWorker, message: str) -> None:
        """Replace an actor; what it had finished before counts."""
        for call, batch in list(worker.calls.items()):
            results, _ = self._ray.wait([call], num_returns=1, timeout=0)
            if results:
                try:
                    value = self._ray.get(call, timeout=FETCH)
                except self._ray.exceptions.RayError:
                    continue
                del worker.calls[call]
                self._take_answer(worker, batch, value)
                if self._workers.get(worker.number) is not worker:
                    return  # its machine is unfit
        worker.cause = death_cause(message)
        if worker.ready:
            self._replace(worker, "died", strike=not NODE_DEATH.search(message))
            return
        failures = self._failed_starts[worker.number] = self._failed_starts.get(worker.number, 0) + 1
        if failures < STARTS or NODE_DEATH.search(message):
            self._replace(worker, "died", strike=False)
        else:
            text = f"worker {worker.number} failed to start {STARTS} times ({worker.cause})"
            self._leave_out(worker, text)

    def _replace_late(self) -> None:
        """Leave out actors that do not start in time: what they need may be gone with a node."""
        for worker in list(self._workers.values()):
            if not worker.ready and self._clock() - worker.started > self._start_limit:
                text = f"worker {worker.number} did not start in {self._start_limit:g} s"
                self._leave_out(
                    worker, f"{text}: the cluster has no room for {self._need.text()}, or is slow"
                )

    def _leave_out(self, worker: ActorWorker, reason: str) -> None:
        """End a worker for good; the others go on.

        Raises:
            BenchError: It was the last one.
        """
        self._closed_places.add(worker.number)
        self._replace(worker, reason, strike=False)
        if not self._places():
            raise BenchError(reason)
        self._notify(f"{reason}: left out")

    def _end(self, worker: ActorWorker) -> str:
        self._ray.kill(worker.handle, no_restart=True)
        worker.calls.clear()
        return worker.cause

    def _end_all(self) -> None:
        for worker in self._workers.values():
            self._ray.kill(worker.handle, no_restart=True)


def death_cause(message: str) -> str:
    """What Ray's long message says of an actor's death, in one line.

    Args:
        message: Text of the error.
    """
    text = " ".join(message.split())
    for pattern in (r"Worker exit detail: ([^.]+)", r"(The actor died because [^.:]+)", r"^([^.]+)"):
        match = re.search(pattern, text)
        if match:
            return match[1].strip()[:200]
    return text[:200]
