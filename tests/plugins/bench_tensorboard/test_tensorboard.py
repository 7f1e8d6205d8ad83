"""The logger ``tensorboard``, read back by TensorBoard's own reader of event files.

The library brings some ten packages, so that it stands in no environment with the rest: ``.ci/run`` runs this
file in another one. What needs no library runs everywhere.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench_tensorboard
from bench import BenchError, Record, RecordedRun, assert_conforms
from bench.testing.executors import planned_runs
from bench.testing.loggers import records_of_every_kind
from bench_tensorboard import TensorBoard, sampler_of, scalars_of, settings_of
from tests.support.checks import context
from tests.support.plugins import installed
from tests.support.runs import exit_status, records_in

HERE = importlib.util.find_spec("tensorboard") is not None
needed = pytest.mark.skipif(
    not HERE, reason="TensorBoard is not installed; .ci/run has an environment for it"
)


def records() -> dict[str, Record]:
    return records_of_every_kind(*planned_runs(context()))


def accumulator(folder: Path) -> Any:
    """TensorBoard's own view of a run's folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    view = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    view.Reload()
    return view


def test_without_the_library_the_command_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(BenchError, match=r"pip install 'sampler-bench\[tensorboard\]'"):
        TensorBoard().check()


def test_settings_are_plain_and_hold_every_parameter() -> None:
    record = records()["a finished run"]
    settings = settings_of(record)
    assert settings["predictor"] == "ddim"
    assert settings["steps"] == 2
    assert settings["seed"] == record.seed
    assert settings["sde.beta_max"] == record.identity.sde.parameters["beta_max"]
    assert all(isinstance(value, bool | int | float | str) for value in settings.values())
    assert sampler_of(record) == "ddim"


def test_scalars_are_the_records_numbers() -> None:
    record = records()["values below 0 and above a million"]
    assert record.cost is not None
    scalars = scalars_of(record)
    assert scalars["metrics/mmd"] == -1e-12
    assert scalars["metrics/kid"] == 4.5e6
    assert scalars["cost/nfe"] == record.cost.nfe
    assert scalars_of(records()["a failed run"]) == {}


def test_its_folder_tells_runs_apart(tmp_path: Path) -> None:
    runs = [RecordedRun(record, tmp_path) for record in records().values()]
    folders = [TensorBoard().folder_of(run) for run in runs]
    assert len(set(folders)) == len(runs)
    assert all(folder.is_relative_to(tmp_path / "tensorboard" / "gaussian-cifar10") for folder in folders)
    own = TensorBoard(folder=str(tmp_path / "own")).folder_of(runs[0])
    assert own.is_relative_to(tmp_path / "own")


@needed
def test_it_conforms() -> None:
    assert_conforms(TensorBoard, registry=installed())


@needed
def test_tensorboard_reads_what_a_run_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = (
        "run",
        "--checkpoint",
        "gaussian-cifar10",
        "--predictor",
        "ddim",
        "--steps",
        "3",
        "--samples",
        "8",
    )
    assert exit_status(*flags, "--logger", "tensorboard") == 0
    (record,) = records_in()
    run = RecordedRun(record, Path("results"))
    view = accumulator(TensorBoard().folder_of(run))
    expected = scalars_of(record)
    assert set(view.Tags()["scalars"]) == set(expected)
    assert {"metrics/fd_dct", "exact/fd_dct", "cost/nfe"} <= set(expected)
    for tag, value in expected.items():
        (event,) = view.Scalars(tag)
        assert event.value == float(np.float32(value))
        assert event.step == 3  # network calls per sample
    (picture,) = view.Images("samples")
    with Image.open(f"results/images/{record.fingerprint}.png") as preview:
        assert (picture.width, picture.height) == preview.size
    assert "run/text_summary" in view.Tags()["tensors"]


@needed
def test_the_settings_are_hyperparameters_of_the_run(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    record = records()["a finished run"]
    run = RecordedRun(record, tmp_path)
    TensorBoard().log(run)
    view = accumulator(TensorBoard().folder_of(run))
    content = view.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    kinds = {"bool": "bool_value", "string": "string_value", "number": "number_value"}
    for name, value in settings_of(record).items():
        field = session.hparams[name].WhichOneof("kind")
        assert field in kinds.values()
        assert getattr(session.hparams[name], field) == value


@needed
def test_a_record_that_comes_again_replaces_its_folder(tmp_path: Path) -> None:
    record = records()["a finished run"]
    later = record.model_copy(update={"metrics": records()["values below 0 and above a million"].metrics})
    for one in (record, later):
        TensorBoard().log(RecordedRun(one, tmp_path))
    folder = TensorBoard().folder_of(RecordedRun(record, tmp_path))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    tags = accumulator(folder).Tags()["scalars"]
    assert {tag for tag in tags if tag.startswith("metrics/")} == {"metrics/mmd", "metrics/kid"}


@needed
def test_a_stopped_command_leaves_no_half_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at each file operation in turn, by what no handler sees."""
    from tensorboard.backend.event_processing import io_wrapper

    def stop(*_: object, **__: object) -> None:
        assert not list(io_wrapper.GetLogdirSubdirectories(str(tmp_path)))
        raise KeyboardInterrupt

    run = RecordedRun(records()["a finished run"], tmp_path)
    for thing, name in ((bench_tensorboard, "_replace_folder"), (shutil, "copyfile"), (Path, "rename")):
        with monkeypatch.context() as patch:
            patch.setattr(thing, name, stop)
            with pytest.raises(KeyboardInterrupt):
                TensorBoard().log(run)
    TensorBoard().log(run)
    (folder,) = io_wrapper.GetLogdirSubdirectories(str(tmp_path))
    assert Path(folder) == TensorBoard().folder_of(run)
    assert not list(tmp_path.rglob("*.part"))
