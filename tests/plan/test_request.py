"""Requests: what settings mean together, suites beside settings, the results folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.plan.request import Request, rescaling_note
from bench.plan.settings import suites
from tests.support import score_sde_files
from tests.support.plans import QUICK, contexts, quick_spec
from tests.support.plugins import installed

SUITE = (
    '[suites.s]\ncheckpoint = "gaussian-cifar10"\n[[suites.s.cells]]\nsde = ["vp", "ve"]\n'
    'predictor = "ancestral"\nsteps = 40\n'
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": ["rk45"], "steps": 30}, "--steps has no meaning for a solver"),
        ({"solver": ["rk45"], "grid": "logsnr"}, "--grid has no meaning for a solver"),
    ],
)
def test_settings_without_any_effect_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        Request(settings).resolve(installed())


def test_a_request_is_planned() -> None:
    plan = Request(QUICK | {"repeats": 2}).plan(contexts())
    assert (plan.profile, plan.suite, len(plan.specs)) == ("quick", None, 2)
    assert plan.suite_plans == ()


def test_a_suite_brings_its_checkpoint_and_the_profile_of_exact_ones() -> None:
    Path("bench.toml").write_text(SUITE)
    small = {"samples": 4, "device": "cpu"}
    chosen, profile, suite = Request(small, suite="s").resolve(installed())
    assert (chosen.checkpoint, profile) == (["gaussian-cifar10"], "exact")
    assert suite is not None
    assert Request(small | {"checkpoint": ["cifar10-tiny"]}, suite="s").resolve(installed())[1] == "quick"
    assert Request(small, profile="paper", suite="s").resolve(installed())[1] == "paper"
    plan = Request(small, suite="s", only=("ve *",), steps_scale=0.75).plan(contexts())
    (spec,) = plan.specs
    assert (spec.sampler.sde.name, spec.sampler.steps) == ("ve", 30)
    assert [len(suite_plan.cells) for suite_plan in plan.suite_plans] == [2]


def test_a_suite_brings_its_profile_unless_the_user_names_one() -> None:
    Path("bench.toml").write_text(
        SUITE.replace("[suites.s]", '[suites.s]\nprofile = "few"') + "[profiles.few]\nsamples = 7\n"
    )
    chosen, profile, _ = Request({}, suite="s").resolve(installed())
    assert (chosen.checkpoint, chosen.samples, profile) == (["gaussian-cifar10"], 7, "few")
    assert Request({}, profile="quick", suite="s").resolve(installed())[1] == "quick"


def test_the_suite_of_the_digits_takes_the_small_network() -> None:
    chosen, profile, suite = Request({}, suite="digits").resolve(installed())
    assert (chosen.checkpoint, chosen.samples, profile) == (["digits-tiny"], 1000, "digits")
    assert suite is not None
    assert suite.network_metrics == ["flow_error"]


def test_a_suite_shows_the_figures_of_the_checkpoints_that_the_command_names() -> None:
    for names in ((), ("edm-cifar10-uncond-vp",)):
        request = Request({"checkpoint": ["gaussian-cifar10"]}, suite="table1", published_of=names)
        suite = request.resolve(installed())[2]
        assert suite is not None
        assert suite.published_of == [*(names or suites()["table1"].published_of)]


@pytest.mark.parametrize("suite", [None, "table1"])
def test_the_profile_of_the_paper_asks_for_a_checkpoint(suite: str | None) -> None:
    """The small network is no subject of 50,000 samples at 1000 steps unless it is named."""
    message = (
        "^the profile paper has no checkpoint of its own: give --checkpoint, such as --checkpoint "
        r"ddpm-cifar10-32 \(bench checkpoints list shows all\)$"
    )
    with pytest.raises(BenchError, match=message):
        Request({}, profile="paper", suite=suite).resolve(installed())
    example = installed().get("checkpoints", "ddpm-cifar10-32").thing
    assert example.published
    for name in (example.name, "cifar10-tiny"):
        request = Request({"checkpoint": [name]}, profile="paper", suite=suite)
        chosen, profile, _ = request.resolve(installed())
        assert (chosen.checkpoint, chosen.samples, profile) == ([name], 50_000, "paper")
    Path("bench.toml").write_text('[defaults]\ncheckpoint = "cifar10-tiny"\n')
    assert Request({}, profile="paper").resolve(installed())[0].checkpoint == ["cifar10-tiny"]


@pytest.mark.parametrize(
    "settings", [{"steps": 30}, {"predictor": ["ancestral"]}, {"parameters": {"sde": {"eps": 1e-3}}}]
)
def test_a_suite_sets_its_own_samplers(settings: dict[str, Any]) -> None:
    Path("bench.toml").write_text(SUITE)
    with pytest.raises(BenchError, match="the suite s sets its own samplers: leave out"):
        Request(settings, suite="s").resolve(installed())


def test_parts_of_a_suite_need_a_suite() -> None:
    for request in (Request({}, steps_scale=0.5), Request({}, only=("vp *",))):
        with pytest.raises(BenchError, match="belong to a suite: give --suite"):
            request.resolve(installed())


def test_a_network_on_another_sde_is_noted() -> None:
    shutil.copy(score_sde_files.FOLDER / "ddpm_vp.pth", "ddpm_vp.pth")
    registry = installed().copy()
    registry.add("checkpoints", score_sde_files.card("ddpm_vp", Path(), "ddpm_vp.pth", name="ddpm"), "t", "1")
    own: dict[str, Any] = {"checkpoint": ["ddpm"], "metric": ["fd_cifar10"]}
    assert rescaling_note(quick_spec(registry, **own), registry) is None
    note = rescaling_note(quick_spec(registry, **own, sde=["ve"]), registry)
    assert note is not None
    assert note.startswith("ddpm was trained on vp")
    assert note.endswith(": it is called at the noise level of equal sigma/alpha")
    changed = rescaling_note(quick_spec(registry, **own, parameters={"sde": {"beta_max": 10}}), registry)
    assert changed is not None
    assert "vp with beta_max=20" in changed
    assert rescaling_note(quick_spec(sde=["ve"]), registry) is None  # an exact checkpoint
