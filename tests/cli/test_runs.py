"""Recorded runs: their list, what is shown of one, and the command that makes it again."""

from __future__ import annotations

import io
import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench import Noise, Prediction, Predictor, Step, Tensor, Update, param
from bench.cli import runs
from bench.reporting.matching import Matcher
from bench.reporting.run_facts import run_facts
from bench.results.store import Store
from tests.support.made_up import failed_record, put, record
from tests.support.plugins import hooks
from tests.support.runs import exit_status, forbid_batches, registry_with

Bench = Callable[..., tuple[str, str]]
SMALL = ("--device", "cpu", "--samples", "4", "--batch-size", "2", "--metric", "fd_dct")
EXACT = ("--checkpoint", "gaussian-cifar10", *SMALL)

HOSTILE = """
[defaults]
checkpoint = "gmm-cifar10"
corrector = "langevin"
seed = 77
repeats = 2
samples = 2
steps = 5
label_scales = 9
order = "predictor_first"
denoise = "none"
compile = true
out = "elsewhere"
parameters.corrector = { snr = 0.33, steps = 2 }
parameters.sde = { eps = 0.01 }
"""
"""Defaults of a bench.toml that would change every run."""


class Fussy(Predictor):
    """A third party's predictor with a parameter of every type."""

    name = "fussy"

    gain: float = param(default=1.0, help="a factor", above=0)
    moves: int = param(default=3, help="a count")
    limit: float | None = param(default=None, help="an optional number")
    loud: bool = param(default=True, help="a switch")
    label: str = param(default="x", help="a text")

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        x = x + 1e-3 * self.gain * p.score(x, step)
        return Update(x, x)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs a command in an empty folder and gives what it printed on stdout and stderr."""
    registry = registry_with(hooks("predictors", Fussy), "fussy-sampler")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, status: int = 0) -> tuple[str, str]:
        code = exit_status(*arguments, registry=registry)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert "Traceback" not in out + err
        return out, err

    return call


def only_run(bench: Bench, *arguments: str) -> Any:
    """Make a run and show it."""
    runs = json.loads(bench("run", *arguments, "--json")[0])["runs"]
    (run,) = json.loads(bench("show", runs[0]["fingerprint"][:8], "--json", *_out(arguments))[0])
    assert run["fingerprint"] == runs[0]["fingerprint"]
    return run


def _out(arguments: Sequence[str]) -> list[str]:
    return ["--out", arguments[arguments.index("--out") + 1]] if "--out" in arguments else []


def pictures(tmp_path: Path) -> None:
    """Six images in a file of an awkward name."""
    folder = tmp_path / "my images"
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "six; $(x).npz", images)


PC = ("--predictor", "reverse_diffusion", "--corrector", "langevin")
DDIM = (*EXACT, "--predictor", "ddim")
STEPS = ("--steps", "2")
INPAINT = (*EXACT[:-2], "--samples", "8", "--batch-size", "4", "--task", "inpaint", *STEPS)
RUNS = {
    "predictor and corrector": (*EXACT, *PC, "--steps", "3", "--snr", "0.123456789", "--seed", "9"),
    "corrector alone": (*EXACT, "--predictor", "none", "--corrector", "annealed_langevin", "--steps", "3"),
    "polynomial grid": (*DDIM, "--grid", "polynomial", "--rho", "3.3", "--steps", "3"),
    "log-SNR grid": (*EXACT, "--predictor", "dpmpp_2m", "--grid", "logsnr", "--steps", "3", "--sde", "ve"),
    "label scales": (*EXACT, "--grid", "uniform", "--label-scales", "40", "--steps", "50"),
    "order and denoising": (*EXACT, *PC, *STEPS, "--order", "predictor_first", "--denoise", "tweedie"),
    "SDE parameters": (*EXACT, *STEPS, "--sde", "vp", "-P", "sde.beta_max=17.5", "-P", "sde.eps=1e-4"),
    "solver": (*EXACT, "--solver", "rk45", "--tol", "0.0123", "--denoise", "none"),
    "solver of a library": (*EXACT, "--solver", "sde_torchsde", "-P", "solver.steps=3"),
    "third party": (
        *(*EXACT, "--predictor", "fussy", "--steps", "2", "-P", "predictor.gain=0.1", "-P"),
        *("predictor.limit=2.5e-7", "-P", "predictor.loud=false", "-P", "predictor.label=it's = $x *", "-P"),
        "predictor.moves=-2",
    ),
    "network in another precision": ("--checkpoint", "cifar10-tiny", *SMALL, *STEPS, "--precision", "bf16"),
    "task on draws": (*INPAINT, "-P", "task.mask=random:0.3"),
    "task on images": (*INPAINT, "--data", "my images/six; $(x).npz"),
    "flow": (*EXACT[:-2], "--task", "likelihood", "--tol", "0.1", "-P", "task.probes=2"),
    "another folder": (*EXACT, "--steps", "2", "--out", "other results"),
    "uneven batches": (*EXACT, *STEPS, "--samples", "5", "--batch-size", "3"),
    "metric with options": (*EXACT[:-1], "fd_cifar10", "--steps", "2", "-P", "metric.bootstrap=40"),
}  # fmt: skip


@pytest.mark.parametrize("kind", RUNS)
def test_the_shown_command_finds_the_run_recorded(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pictures(tmp_path)
    run = only_run(bench, *RUNS[kind])
    assert (run["status"], run["changes"], run["no_command"]) == ("finished", [], None)
    (words,) = run["commands"]
    assert words[:2] == ["bench", "run"]
    # whatever the bench.toml of the folder says
    Path("bench.toml").write_text(HOSTILE)
    forbid_batches(monkeypatch)
    (entry,) = json.loads(bench(*words[1:], "--dry-run", "--json")[0])["runs"]
    assert (entry["fingerprint"], entry["state"]) == (run["fingerprint"], "finished")
    again = json.loads(bench(*words[1:], "--json")[0])["runs"]
    facts = {key: value for key, value in run.items() if key in again[0]}
    assert again == [facts]


def test_the_printed_command_is_for_a_shell(bench: Bench, tmp_path: Path) -> None:
    pictures(tmp_path)
    for kind in ("third party", "task on images"):
        run = only_run(bench, *RUNS[kind])
        lines = bench("show", run["fingerprint"])[0].splitlines()
        (line,) = [line for line in lines if line.startswith("  bench run ")]
        assert [shlex.split(line)] == run["commands"]


def test_a_cell_of_a_suite_is_made_by_a_command_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = ("--suite", "fast", "--only", "vp unipc NFE 5", "--seed", "3")
    runs = json.loads(bench("run", *suite, *EXACT, "--json")[0])["runs"]
    (run,) = json.loads(bench("show", "run", runs[0]["fingerprint"], "--json")[0])
    forbid_batches(monkeypatch)
    (words,) = run["commands"]
    (entry,) = json.loads(bench(*words[1:], "--dry-run", "--json")[0])["runs"]
    assert (entry["fingerprint"], entry["state"]) == (run["fingerprint"], "finished")


def test_metrics_of_other_parameters_have_commands_of_their_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples of a run are measured twice, by one metric with other parameters."""
    small = (*EXACT, "--steps", "2", "--samples", "24", "--batch-size", "12")
    first = only_run(bench, *small, "--metric", "fd_cifar10")
    bench("measure", "--device", "cpu", "--metric", "fd_cifar10", "--extrapolate")
    (run,) = json.loads(bench("show", first["fingerprint"], "--json")[0])
    assert set(run["metrics"]) == {"fd_cifar10", "fd_dct", "fd_cifar10_inf"}
    assert len(run["commands"]) == 2
    # made again from nothing, by both commands
    before = json.loads(Path(run["record"]).read_text())["metrics"]
    shutil.rmtree("results")
    for words in run["commands"]:
        bench(*words[1:])
    assert json.loads(Path(run["record"]).read_text())["metrics"] == before
    forbid_batches(monkeypatch)
    for words in run["commands"]:
        (entry,) = json.loads(bench(*words[1:], "--dry-run", "--json")[0])["runs"]
        assert entry["state"] == "finished"


def test_samples_are_found_by_the_name_of_the_record(bench: Bench) -> None:
    run = only_run(bench, *RUNS["uneven batches"])
    folder = Path(run["samples_folder"])
    assert sorted(path.name for path in folder.iterdir()) == ["00000-3.safetensors", "00001-2.safetensors"]
    assert (run["batches"], run["batches_on_disk"]) == (2, 2)
    assert Path(run["preview"]).is_file()
    assert Path(run["record"]).is_file()
    text = bench("show", run["fingerprint"])[0]
    assert f"samples  {folder} (2 of 2 batch files)" in text.splitlines()
    next(folder.iterdir()).unlink()
    assert f"samples  {folder} (1 of 2 batch files)" in bench("show", run["fingerprint"])[0]
    shutil.rmtree(folder)
    (run,) = json.loads(bench("show", run["fingerprint"], "--json")[0])
    assert (run["samples_folder"], run["batches_on_disk"]) == (None, 0)
    assert "samples  not on disk (0 of 2 batch files)" in bench("show", run["fingerprint"])[0]


def test_the_list_has_every_record_of_the_folder(bench: Bench) -> None:
    store = Store(Path("results"))
    names = ["a\x1b]0;b", "net"]
    for made_up in (record(0, title=names[0]), failed_record(1, title=names[1])):
        put(store, made_up)
    listed = json.loads(bench("list", "runs", "--json")[0])
    assert [(run["title"], run["status"]) for run in listed["runs"]] == [
        (names[0], "finished"),
        (names[1], "failed"),
    ]
    assert (listed["entries"], listed["suites"], listed["profiles"], listed["problems"]) == ([], [], [], [])
    out, err = bench("list", "run")
    assert "0000000000000000" in out
    assert "\\u001b" in out
    assert "\x1b" not in out
    assert err == ""
    Path("empty").mkdir()
    assert json.loads(bench("list", "runs", "--out", "empty", "--json")[0])["runs"] == []
    _, err = bench("list", "runs", "--out", "nowhere", status=2)
    assert err == "bench: there is no results folder nowhere\n"


def test_a_damaged_record_is_told_on_stderr(bench: Bench) -> None:
    store = Store(Path("results"))
    put(store, record(0))
    store.record_path("abcd").write_text("{")
    out, err = bench("list", "runs", "--json")
    assert len(json.loads(out)["runs"]) == 1
    assert "abcd.json is damaged" in err
    _, err = bench("show", "abcd", status=2)
    assert "results/records/abcd.json can't be read" in err


def test_digits_of_several_runs_or_of_a_plugin_are_refused(bench: Bench) -> None:
    store = Store(Path("results"))
    for made_up in (record(0), record(1)):
        put(store, made_up)
    names = "0000000000000000, 0000000000000001"
    for words in (("0000",), ("run", "0000")):
        assert bench("show", *words, status=2) == (
            "",
            f"bench: '0000' is ambiguous: {names}; give more digits\n",
        )
    out, _ = bench("show", "0000000000000001")
    assert out.startswith("run 0000000000000001, finished, made 2026-01-01T00:00:00+00:00\n")


def test_what_has_changed_since_is_said(bench: Bench) -> None:
    store = Store(Path("results"))
    put(store, record(0))
    text = bench("show", "0000000000000000")[0]
    assert "which makes a new run now: the core has changed since; torch was 2, not " in text
    assert "there is no predictor made_up here" in text
    put(store, failed_record(2, title="it \x1b[2J"))
    text = bench("show", "0000000000000002")[0]
    assert "  ValueError: it broke | here" in text.splitlines()
    assert "\x1b" not in text


def test_companions_are_shown_as_such(bench: Bench) -> None:
    """On both sides; and the command of a companion makes it without a metric, as it was made."""
    options = ("--predictor", "ddim", "--steps", "5", "-P", "metric.tol=1e-2")
    run = only_run(bench, *EXACT[:-1], "flow_error", *options)
    assert [(one["metric"], one["name"]) for one in run["companions"]] == [
        ("flow_error-0.01", "fine"),
        ("flow_error-0.01", "coarse"),
    ]
    assert run["read_by"] == []
    lines = bench("show", run["fingerprint"])[0].splitlines()
    for one in run["companions"]:
        assert f"    beside its companion {one['name']}: {one['fingerprint']}" in lines
        (companion,) = json.loads(bench("show", one["fingerprint"], "--json")[0])
        (words,) = companion["commands"]
        assert words[-2:] == ["--metric", "none"]
        assert companion["read_by"] == [
            {"metric": "flow_error-0.01", "name": one["name"], "fingerprint": run["fingerprint"]}
        ]
        text = "  a companion: flow_error-0.01 of 1 run here reads its samples"
        assert text in bench("show", one["fingerprint"])[0].splitlines()
        before = json.loads(Path(companion["record"]).read_text())
        Path(companion["record"]).unlink()
        lines = bench("show", run["fingerprint"])[0].splitlines()
        assert f"    beside its companion {one['name']}: no record here" in lines
        bench(*words[1:])
        after = json.loads(Path(companion["record"]).read_text())
        assert (after["fingerprint"], after["metrics"]) == (before["fingerprint"], {})


@pytest.mark.parametrize("width", [60, 120])
def test_the_list_can_be_read_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """No name or number is broken within a word, and no line is longer than the terminal."""
    title = "gaussian-cifar10 · vp · dpmpp_2m, 20 steps, logsnr grid"
    made_up = [record(index, title=title) for index in range(2)]
    file = io.StringIO()
    monkeypatch.setattr(runs, "console", lambda: Console(width=width, file=file))
    runs.print_runs([run_facts(one, Store(Path("results"), writes=False), Matcher(())) for one in made_up])
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = [word for line in lines for word in line.split()]
    for whole in ("0000000000000001", "2026-01-01", "fd_dct", "gaussian-cifar10", "dpmpp_2m,", "finished"):
        assert words.count(whole) >= 1, whole
    assert words.count("seed") == 2
