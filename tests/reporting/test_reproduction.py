"""The commands that make a record again: their words, and what they can't make."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.checkpoints.memory import FORMAT
from bench.plan.fingerprint import IN_MEMORY, core_hash, library_version
from bench.plugins.hookspecs import KINDS
from bench.reporting.reproduction import changes, commands, quoted
from bench.results.identity import DataIdentity
from bench.results.record import Record
from tests.support import made_up
from tests.support.made_up import identity, metric_record, plugin
from tests.support.plugins import Still, hooks, installed

OUT = Path("results")


def words_of(record: Record) -> list[str]:
    (words,) = commands(record, installed(), OUT)
    return words


def following(words: list[str], flag: str) -> list[str]:
    """What stands after a flag, wherever it stands."""
    return [after for word, after in itertools.pairwise(words) if word == flag]


def with_identity(**changes: Any) -> Record:
    return made_up.record(identity=identity(seed=3).model_copy(update=changes), data=changes.get("name", ""))


def test_every_setting_of_the_identity_is_a_flag() -> None:
    words = words_of(
        with_identity(
            compile=True,
            afs=True,
            label_scales=40,
            labels="turn",
            grid=plugin("polynomial", rho=0.1 + 0.2, levels=[3.0, 0.5]),
            order="predictor_first",
        )
    )
    assert words[:4] == ["bench", "run", "--profile", "none"]
    expected = {
        "--checkpoint": "gaussian-cifar10",
        "--sde": "vp",
        "--predictor": "made_up",
        "--steps": "10",
        "--grid": "polynomial",
        "--order": "predictor_first",
        "--label-scales": "40",
        "--labels": "turn",
        "--denoise": "mean",
        "--samples": "100",
        "--batch-size": "50",
        "--seed": "3",
        "--precision": "fp32",
        "--device": "cpu",
        "--out": "results",
        "--metric": "fd_dct",
    }
    assert {flag: following(words, flag) for flag in expected} == {f: [v] for f, v in expected.items()}
    assert "--compile" in words
    assert "--afs" in words
    texts = ["predictor.index=0", "grid.rho=0.30000000000000004", "grid.levels=3.0,0.5"]
    assert following(words, "-P") == texts
    assert following(words_of(with_identity(device="cuda NVIDIA H100")), "--device") == ["cuda"]


def test_every_parameter_of_every_plugin_reads_its_own_text() -> None:
    """Whatever the types: the text of a value gives the value."""
    registry = installed().copy()
    registry.load(hooks("predictors", Still), "still-sampler", "1")
    for kind in set(KINDS) - {"checkpoints", "metrics"}:
        for entry in registry.of_kind(kind):
            values = {one.name: one.default for one in entry.thing.parameters()}
            values |= {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
            task = plugin("x", **values)
            words = words_of(made_up.record(identity=identity(task=task)))
            texts = [text.removeprefix("task.").partition("=") for text in following(words, "-P")]
            own = {name: text for name, _, text in texts if name in values}
            if "<" not in entry.name:
                assert entry.thing.build(own).values() == entry.thing.build(values).values(), entry.name


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-300, -7, True, False, None, "", "a b", "x=y", "true"])
def test_a_value_keeps_every_digit(value: Any) -> None:
    words = words_of(made_up.record(identity=identity(task=plugin("x", value=value))))
    (text,) = [one for one in following(words, "-P") if one.startswith("task.")]
    expected = {True: "true", False: "false", None: "none"}.get(value) if not value else None
    if isinstance(value, str):
        assert text == f"task.value={value}"
    elif value is True or expected is not None:
        assert text == f"task.value={str(value).lower()}"
    else:
        assert type(value)(text.removeprefix("task.value=")) == value


def test_a_command_is_quoted_for_the_shell() -> None:
    assert quoted(["bench", "run", "--data", "my images/$(x)'"]) == "bench run --data 'my images/$(x)'\"'\"''"


def test_metrics_share_a_command_where_their_parameters_agree() -> None:
    values = {
        "a": metric_record(metric="a", parameters={"k": 3, "mode": "x"}),
        "b": metric_record(metric="b", parameters={"k": 3}),
        "b-5": metric_record(metric="b", parameters={"k": 5}),
        "c": metric_record(metric="c", parameters={"other": 1.5}, details={"options": {"replicates": 40}}),
    }
    first, second = commands(made_up.record(metrics=values), installed(), OUT)
    assert following(first, "--metric") == ["a", "b", "c"]
    assert following(first, "-P")[1:] == [
        *("metric.k=3", "metric.mode=x", "metric.other=1.5", "metric.replicates=40"),
    ]
    assert (following(second, "--metric"), following(second, "-P")[1:]) == (["b"], ["metric.k=5"])
    # a parameter that decides nothing has its default, so that it is no one else's value
    (only,) = commands(made_up.record(metrics={"f": metric_record(metric="fd_cifar10")}), installed(), OUT)
    assert "metric.bootstrap=0" in following(only, "-P")
    (none,) = commands(made_up.failed_record(), installed(), OUT)
    assert following(none, "--metric") == []


def test_what_no_command_makes_says_why() -> None:
    checkpoint = identity().checkpoint.model_copy(update={"format": FORMAT})
    object_of_python = plugin("mine").model_copy(update={"distribution": IN_MEMORY})
    data = DataIdentity(kind="folder", n=3, sha256="0" * 64)
    for fields, message in (
        ({"checkpoint": checkpoint}, "its checkpoint was a network in memory of Python"),
        ({"predictor": object_of_python}, "its predictor mine was an object of Python"),
        ({"data": data}, "its record does not name the images that it works on"),
    ):
        with pytest.raises(BenchError, match=f"^no command makes this run: {message}$"):
            commands(made_up.record(identity=identity().model_copy(update=fields)), installed(), OUT)
    named = made_up.record(identity=identity().model_copy(update={"data": data}), data="my images")
    assert following(words_of(named), "--data") == ["my images"]
    draws = identity().model_copy(update={"data": DataIdentity(kind="draws")})
    assert "--data" not in words_of(made_up.record(identity=draws))


def test_changes_since_a_run_are_listed() -> None:
    registry = installed()
    lines = changes(identity(), registry)
    assert lines[0] == "the core has changed since"
    assert lines[1].startswith("torch was 2, not ")
    assert "sde vp has changed since" in lines
    assert "there is no predictor made_up here" in lines
    same = identity(code=core_hash(), torch=library_version("torch"))
    assert changes(same, registry)[0] != "the core has changed since"
