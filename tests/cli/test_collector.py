"""The collector of reference cycles: at rest at a command's start, at work in its batches."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cli import collector, main
from bench.engine.session import Session


@pytest.fixture(autouse=True)
def collector_as_before() -> Iterator[None]:
    yield
    gc.enable()


def test_the_collector_starts_again_without_what_exists() -> None:
    collector.rest()
    assert not gc.isenabled()
    things = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    before = gc.get_freeze_count()
    collector.resume()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(things)


def test_a_collector_at_work_stays_as_it_is() -> None:
    """As in a notebook, whose garbage must not be kept."""
    before = gc.get_freeze_count()
    collector.resume()
    assert gc.get_freeze_count() <= before


@pytest.mark.parametrize("reports", [False, True])
def test_the_end_searches_where_a_library_would_report_leaks(reports: bool) -> None:
    """As triton's nanobind does, by 33 lines on stderr: such a module's end must run."""
    name = "triton" if reports else "plain"
    program = f"""
import sys, types, weakref
from bench.cli import collector
collector.rest()
class Module(types.ModuleType):
    pass
sys.modules["{name}"] = module = Module("{name}")
class Thing:
    pass
thing = Thing()
thing.itself = thing  # a cycle, as a module with its functions
weakref.finalize(thing, print, "collected").atexit = False
collector.resume()
collector.leave()
del thing
import gc
gc.collect()
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert output.stdout == ("collected\n" if reports else "")


def test_a_run_rests_the_collector_until_its_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: dict[str, bool] = {}
    warm_up = Session.warm_up

    def plan_job(*arguments: object, **settings: object) -> object:
        at_work["plan"] = gc.isenabled()
        return planned(*arguments, **settings)  # type: ignore[arg-type]

    def first_batch(*arguments: object) -> float:
        at_work["batch"] = gc.isenabled()
        return warm_up(*arguments)  # type: ignore[arg-type]

    from bench.api.running import plan_job as planned

    monkeypatch.setattr("bench.api.running.plan_job", plan_job)
    monkeypatch.setattr(Session, "warm_up", first_batch)
    monkeypatch.delattr(signal, "SIGPIPE", raising=False)  # its handler would outlive the test
    monkeypatch.chdir(tmp_path)
    words = "bench run --checkpoint gaussian-cifar10 --samples 2 --batch-size 2 --steps 2 --metric none"
    monkeypatch.setattr(sys, "argv", words.split())
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert at_work == {"plan": False, "batch": True}


@pytest.mark.parametrize("loaded", [False, True])
def test_the_end_searches_only_where_triton_reports_leaks(
    loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen object of Triton's binding is reported as a leak at the process's end."""
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    if loaded:
        monkeypatch.setitem(sys.modules, "triton", sys)
    gc.freeze()
    collector.leave()
    assert (gc.get_freeze_count() == 0) == loaded
    gc.unfreeze()


def test_doctor_writes_nothing_on_standard_error(tmp_path: Path) -> None:
    """It imports torchvision, and by it Triton where that is installed."""
    command = [sys.executable, "-m", "bench", "doctor", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
