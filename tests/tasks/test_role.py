"""The role task: the outputs of a third party's task are stored, measured, recorded and shown."""

from __future__ import annotations

import csv
import dataclasses
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench import (
    BatchContext,
    Card,
    Metric,
    MetricContext,
    MetricResult,
    MetricState,
    Register,
    Sampler,
    Task,
    Tensor,
    hookimpl,
    param,
)
from bench.cli import main
from bench.errors import BenchError
from bench.tasks.role import check_task
from tests.support.analytic import sde
from tests.support.checks import report
from tests.support.completions import completion_batch, pc, small_gaussian
from tests.support.plugins import installed

Bench = Callable[..., str]
RUN = ("run", "--device", "cpu", "--checkpoint", "gaussian-cifar10", "--grid", "uniform", "--steps", "30")
SMALL = ("--samples", "12", "--batch-size", "4")

WARMED: list[int] = []
"""Sizes of the batches that `Copies` is warmed up for."""


class Copies(Task):
    """The mean of each image times a gain, and the sample's number; without random numbers."""

    name = "copies"
    outputs = ("brightness", "number")
    metrics = ("mean_brightness",)
    takes_data = True

    gain: float = param(default=1.0, help="a factor", above=0)
    each: int = param(default=2, help="samples of each image", low=1)
    forgets: bool = param(default=False, help="whether a row is missing")

    @property
    def per_image(self) -> int:
        return self.each

    def check(self, card: Card, sampler: Sampler) -> None:
        if sampler.corrector is not None and sampler.corrector.calls:
            raise BenchError("copies has no use for a corrector")

    def warm(self, batch: BatchContext) -> None:
        WARMED.append(batch.size)

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        assert batch.images is not None
        number = torch.arange(batch.first, batch.first + batch.size)
        x = batch.states()
        x = x + 0 * batch.prediction.score(x, batch.sampler.sde.eps)
        brightness = self.gain * batch.model.images(x).mean(dim=(1, 2, 3))
        outputs = {"brightness": brightness[1:] if self.forgets else brightness, "number": number}
        outputs["spare"] = torch.ones(batch.size)  # stored, and no metric's exact value
        outputs["limit_mean_brightness"] = torch.full((batch.size,), 0.25)
        return outputs | {"exact_mean_brightness": batch.images.mean(dim=(1, 2, 3))}


class MeanBrightness(Metric):
    """Mean of the brightness; asserts that samples come in order."""

    name = "mean_brightness"
    inputs = ("brightness", "number")

    def start(self, context: MetricContext) -> MetricState:
        return MeanState()


class MeanState(MetricState):
    def __init__(self) -> None:
        self.values: list[float] = []

    def update(self, *outputs: Tensor) -> None:
        brightness, number = outputs
        assert number.tolist() == list(range(len(self.values), len(self.values) + len(number)))
        assert not number.is_floating_point()
        self.values += brightness.tolist()

    def compute(self) -> MetricResult:
        return MetricResult(sum(self.values) / len(self.values), len(self.values))


class Plugin:
    @hookimpl
    def register_tasks(self, register: Register) -> None:
        register(Copies)

    @hookimpl
    def register_metrics(self, register: Register) -> None:
        register(MeanBrightness)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs a command in an empty folder, with the task ``copies``, and returns what it prints."""
    registry = installed().copy()
    registry.load(Plugin(), "tasks-of-test", "1")
    assert registry.problems == []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(arguments, registry=registry)
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        assert "Traceback" not in out + err
        return out + err

    return call


def only_record(out: str = "results") -> dict[str, Any]:
    (path,) = Path(out, "records").iterdir()
    record: dict[str, Any] = json.loads(path.read_text())
    return record


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Eight images in an .npz."""
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "eight.npz", images)
    return tmp_path / "eight.npz", images


def test_a_task_makes_several_samples_of_each_image_in_order(
    bench: Bench, pictures: tuple[Path, np.ndarray[Any, np.dtype[np.uint8]]]
) -> None:
    path, images = pictures
    out = bench(*RUN, *SMALL, "--task", "copies", "-P", "task.gain=2", "--data", str(path))
    record = only_record()
    # float32 states of VP lie on [-1, 1]: the conversion there and back costs a few eps of one
    means = images[:6].reshape(6, -1).mean(axis=1) / 255
    result = record["metrics"]["mean_brightness"]
    assert abs(result["value"] - 2 * means.mean()) < 1e-6
    assert abs(result["exact"] - means.mean()) < 1e-6
    assert record["exact"] == {"mean_brightness": result["exact"]}
    assert record["limit"] == {"mean_brightness": result["limit"]} == {"mean_brightness": 0.25}
    assert "copies (gain=2)" in record["title"]
    assert "eight.npz" in record["title"]
    assert not record["preview"]
    assert record["outputs"] == ["brightness", "number"]
    assert record["identity"]["task"]["parameters"] == {"gain": 2.0, "each": 2, "forgets": False}
    assert record["identity"]["data"]["n"] == 8
    assert "1 finished, 0 failed" in out
    (row,) = csv.DictReader(Path("results/runs.csv").read_text().splitlines())
    assert row["task"] == "copies"
    batches = [load_file(p) for p in sorted(Path("results/samples").glob("*/*.safetensors"))]
    assert [b["number"].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    for b in batches:
        assert torch.equal(b["brightness"][0::2], b["brightness"][1::2])


def test_the_content_of_images_identifies_a_run_not_their_place(
    bench: Bench, pictures: tuple[Path, np.ndarray[Any, np.dtype[np.uint8]]]
) -> None:
    path, images = pictures
    bench(*RUN, *SMALL, "--task", "copies", "--data", str(path))
    path.rename("moved.npz")
    assert "cached" in bench(*RUN, *SMALL, "--task", "copies", "--data", "moved.npz")
    np.savez("other.npz", images[::-1])
    bench(*RUN, *SMALL, "--task", "copies", "--data", "other.npz")
    assert len(list(Path("results/records").iterdir())) == 2


def test_without_data_an_exact_checkpoint_draws_images(bench: Bench) -> None:
    for out, seed in (("one", "0"), ("again", "0"), ("other", "1")):
        bench(*RUN, *SMALL, "--task", "copies", "--seed", seed, "--out", out)
    value = {
        out: only_record(out)["metrics"]["mean_brightness"]["value"] for out in ("one", "again", "other")
    }
    assert value["one"] == value["again"] != value["other"]
    assert only_record("one")["identity"]["data"]["kind"] == "draws"


def test_a_finished_run_is_a_source_if_it_has_images(bench: Bench) -> None:
    bench(*RUN, *SMALL, "--out", "images")
    assert "copies" in bench(*RUN, *SMALL, "--task", "copies", "--data", "images", "--out", "numbers")
    message = bench(*RUN, *SMALL, "--task", "copies", "--data", "numbers", status=2)
    assert "has no images: its task copies returns " in message
    assert only_record("numbers")["identity"]["data"]["kind"] == "run"


def test_metrics_need_their_inputs_among_the_outputs(bench: Bench) -> None:
    message = bench(*RUN, *SMALL, "--task", "copies", "--metric", "fd_dct", status=2)
    assert "fd_dct reads images, which the task copies does not return" in message
    bench(*RUN, *SMALL, "--task", "copies")
    assert "1 of tasks or samplers without such a value" in bench("measure", "--metric", "fd_dct")
    bench(*RUN, *SMALL)
    assert "1 measured, 0 had it already" in bench("measure", "--metric", "fd_cifar10")


def test_each_size_of_batch_is_warmed_up_once(bench: Bench) -> None:
    WARMED.clear()
    for gain in ("3", "3", "4"):
        bench(*RUN, "--samples", "10", "--batch-size", "4", "--task", "copies", "-P", f"task.gain={gain}")
    assert WARMED == [4, 2, 4, 2]


def test_a_lost_batch_is_sampled_again_to_the_bit(bench: Bench) -> None:
    copies = (*RUN, *SMALL, "--task", "copies")
    bench(*copies)
    lost = sorted(Path("results/samples").glob("*/*.safetensors"))[1]
    before = {path: load_file(path) for path in lost.parent.iterdir()}
    metrics = only_record()["metrics"]
    lost.unlink()
    bench(*copies, "--rerun", "failed", "--seed", "1")  # a run on other images in between
    records = {json.loads(path.read_text())["key"]: path for path in Path("results/records").iterdir()}
    record = records[lost.parent.name]
    record.unlink()
    bench(*copies)
    assert {path: load_file(path).keys() for path in before} == {p: b.keys() for p, b in before.items()}
    for path, batch in before.items():
        assert all(torch.equal(batch[name], again) for name, again in load_file(path).items())
    assert json.loads(record.read_text())["metrics"] == metrics


def test_missing_rows_fail_the_run_and_are_named(bench: Bench) -> None:
    out = bench(*RUN, *SMALL, "--task", "copies", "-P", "task.forgets=true", status=1)
    assert "the task copies returned no brightness, a row for each of 4 samples" in out


def test_outputs_that_are_not_finite_are_named(bench: Bench) -> None:
    out = bench(*RUN, *SMALL, "--task", "copies", "-P", "task.gain=1e39", status=1)
    assert "samples became NaN or infinite in brightness, after the last step" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "copied"), "unknown task 'copied' (did you mean 'copies'?"),
        (("--task", "copies", "-P", "task.gian=2"), "copies has no parameter 'gian'"),
        (("--task", "copies", "--corrector", "langevin"), "copies has no use for a corrector"),
        (("--task", "copies", "-P", "task.each=3"), "--batch-size must be a multiple of the 3 samples"),
        (
            ("--task", "copies", "--checkpoint", "cifar10-tiny"),
            "the task copies works on images: give --data",
        ),
        (("--task", "copies", "--data", "nowhere.npz"), "there is no nowhere.npz"),
        (("--data", "cifar10-test"), "the task generate takes no images: leave out --data"),
        (("-P", "task.gain=2"), "generate has no parameter 'gain'"),
    ],
)
def test_mistakes_are_reported_in_one_line(bench: Bench, arguments: tuple[str, ...], message: str) -> None:
    out = bench(*RUN, *SMALL, *arguments, status=2)
    (line,) = [line for line in out.splitlines() if line]
    assert message in line


def test_too_few_images_and_images_of_another_size(bench: Bench) -> None:
    np.savez("small.npz", np.zeros((9, 16, 16, 3), dtype=np.uint8))
    np.savez("few.npz", np.zeros((5, 32, 32, 3), dtype=np.uint8))
    copies = (*RUN, *SMALL, "--task", "copies", "--data")
    assert "small.npz is of 3x16x16 images, gaussian-cifar10 takes 3x32x32" in bench(
        *copies, "small.npz", status=2
    )
    assert "few.npz holds 5 images, the run needs 6: --samples 10" in bench(*copies, "few.npz", status=2)


def test_tasks_are_listed_and_shown(bench: Bench) -> None:
    entries = json.loads(bench("list", "tasks", "--json"))["entries"]
    assert {"generate", "copies"} <= {entry["name"] for entry in entries}
    text = bench("show", "copies")
    assert "task copies, from tasks-of-test 1" in text
    assert "-P task.gain=1  (float, > 0)" in text


def test_a_suite_names_its_task(bench: Bench) -> None:
    Path("bench.toml").write_text(
        """
        [suites.mine]
        layout = "list"
        checkpoint = "gaussian-cifar10"
        [[suites.mine.cells]]
        task = "copies"
        parameters.task.gain = [1.0, 2.0]
        predictor = "none"
        corrector = "langevin"
        row = "{task}"
        column = "gain {gain:g}"
        """
    )
    message = bench("run", "--suite", "mine", "--device", "cpu", *SMALL, status=2)
    assert "copies has no use for a corrector" in message
    Path("bench.toml").write_text(
        Path("bench.toml").read_text().replace("langevin", "none").replace('"none"\n', '"ancestral"\n', 1)
    )
    bench("run", "--suite", "mine", "--device", "cpu", *SMALL)
    table = bench("table", "mine", "--no-plots")
    assert "gain 2" in table
    assert "mean_brightness" in table
    message = bench("run", "--suite", "mine", "--task", "generate", status=2)
    assert "the suite mine sets its own samplers: leave out --task" in message


class Flows(Task):
    """Follows the flow."""

    name = "flows"
    follows_flow = True

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        raise NotImplementedError


def card(name: str) -> Card:
    shipped: Card = installed().get("checkpoints", name).thing
    return shipped


def test_a_task_that_follows_the_flow_needs_a_solver_of_odes() -> None:
    registry = installed()
    predictor = Sampler(sde("vp"), registry.build("predictors", "ancestral", {}), steps=5)
    check_task(
        Flows(), card("gaussian-cifar10"), Sampler(sde("vp"), solver=registry.build("solvers", "rk45", {}))
    )
    with pytest.raises(BenchError, match="give a solver of ODEs by --solver, not ancestral"):
        check_task(Flows(), card("gaussian-cifar10"), predictor)
    for name in ("likelihood", "encode", "identifiability", "interpolate"):
        task = registry.build("tasks", name, {})
        assert (task.follows_flow, task.default_solver) == (True, "rk45")
        with pytest.raises(BenchError, match="give --solver rk45, not ancestral"):
            check_task(task, card("gmm-cifar10"), predictor)


def test_further_checkpoints_have_the_shape_of_the_runs_own() -> None:
    task, sampler = Copies(), Sampler(sde("vp"), steps=5)
    gaussian, mixture = card("gaussian-cifar10"), card("gmm-cifar10")
    check_task(task, gaussian, sampler, (mixture,))
    large = gaussian.model_copy(update={"name": "large", "shape": (3, 64, 64)})
    with pytest.raises(BenchError, match="copies: gmm-cifar10 takes 3x32x32 images, large 3x64x64"):
        check_task(task, large, sampler, (mixture,))


def test_a_batch_under_another_checkpoint_counts_its_own_calls() -> None:
    sampler = pc("vp", "ancestral", steps=3)
    model, other = (small_gaussian(sampler.sde, side) for side in (4, 4))
    batch = dataclasses.replace(
        completion_batch(sampler, model, torch.rand(2, 3, 4, 4), 1), load={"other": other}.__getitem__
    )
    beside = batch.under("other")
    assert beside.model is other
    beside.sample()
    assert (batch.prediction.calls, beside.prediction.calls) == (0, 3)
    assert torch.equal(beside.prior(), batch.prior()) is False  # one stream: the second draw


def test_states_and_images_of_a_batch_are_inverse() -> None:
    images = torch.rand(3, 3, 4, 4)
    sampler = pc("vp", steps=2)
    batch = completion_batch(sampler, small_gaussian(sampler.sde, 4), images, 2)
    assert batch.states().shape == (6, 3, 4, 4)
    torch.testing.assert_close(batch.model.images(batch.states()), images.repeat_interleave(2, dim=0))
    assert batch.prior().shape == (6, 3, 4, 4)


def test_the_default_preview_needs_images() -> None:
    assert Copies().preview({"brightness": torch.zeros(3)}) is None


def test_the_example_in_the_documentation_is_a_task() -> None:
    """It conforms, and its denoised images are nearer to the originals than the noisy ones."""
    text = (Task.__doc__ or "").split("::", 1)[1].split("Register it", 1)[0]
    source = "from __future__ import annotations\nfrom bench import *\n" + textwrap.dedent(text)
    names: dict[str, Any] = {}
    exec(compile(source, "example", "exec"), names)
    tasks: list[type[Task]] = []
    names["register_tasks"](tasks.append)
    (kind,) = tasks
    assert report(kind).failures == []
    sampler = pc("vp", steps=2)
    model = small_gaussian(sampler.sde, 4)
    originals = model.images(model.draw(64, torch.randn_like))
    outputs = kind().run(completion_batch(sampler, model, originals, 1))
    noise, error = (outputs[name] - originals for name in ("noisy", "images"))
    assert error.square().mean() < noise.square().mean()
