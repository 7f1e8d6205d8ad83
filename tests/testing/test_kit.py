"""The conformance kit's entry points: what is checked, by name, class or instance, and its progress."""

from __future__ import annotations

from typing import Any

import pytest

from bench import BenchError, Plugin, assert_conforms
from bench.events import Advance, Event
from bench.testing.kit import ROLES, check, checkable, find_plugin, role_of
from tests.support.checks import report
from tests.support.executors import InTurn
from tests.support.plugins import Still, empty_registry, hooks, installed


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_registered_plugins_that_it_names(role: str) -> None:
    kind = f"{role}s"
    name = next(name for name in installed().names(kind) if ":<" not in name)
    assert role_of(find_plugin(name, role, {}, installed())) == role
    assert name in checkable(installed())[role]
    assert list(checkable(installed(), role)) == [role]


def test_a_plugin_of_another_role_has_no_checks() -> None:
    class Nothing(Plugin):
        name = "nothing"

    with pytest.raises(BenchError, match=r"is none of predictor, .*: there is nothing to check"):
        role_of(Nothing())


def test_a_plugin_is_found_by_its_name_alone() -> None:
    plugin = find_plugin("heun", None, {}, installed())
    assert plugin.name == "heun"
    corrector = find_plugin("langevin", "corrector", {"snr": "0.2"}, installed())
    assert isinstance(corrector, Plugin)
    assert corrector.values()["snr"] == 0.2


def test_a_member_of_a_family_is_found() -> None:
    plugin = find_plugin("diffusers:DDIMScheduler", None, {}, installed())
    assert role_of(plugin) == "solver"
    assert role_of(find_plugin("diffusers", None, {}, installed())) == "reader"


@pytest.mark.parametrize(
    ("name", "role", "message"),
    [
        ("heunn", None, "nothing to check is called 'heunn' \\(did you mean 'heun'"),
        ("heun", "solver", "unknown solver 'heun'"),
        ("heun", "solvent", "unknown role 'solvent' \\(did you mean 'solver'"),
        ("pixels", None, "nothing to check is called 'pixels': extractors have no checks"),
        (
            "spiral",
            None,
            "type bench check spiral --role dataset, or bench check spiral --role checkpoint$",
        ),
        ("my_own", None, "pip install -e ./FOLDER"),
    ],
)
def test_another_name_is_an_error(name: str, role: str | None, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        find_plugin(name, role, {}, installed())


def test_a_checkpoint_has_no_parameters_and_other_things_no_data() -> None:
    with pytest.raises(BenchError, match="digits-tiny is a checkpoint, whose card has its parameters"):
        find_plugin("digits-tiny", None, {"sigma": "1"}, installed())
    with pytest.raises(BenchError, match="ve is a sde: data is what a checkpoint is held to"):
        check("ve", registry=installed(), data="digits")


def test_an_unknown_role_is_not_listed() -> None:
    with pytest.raises(BenchError, match="unknown role 'sdee'"):
        checkable(installed(), "sdee")


def test_a_checkpoint_is_checked_by_its_card() -> None:
    report = check("digits-tiny", registry=installed())
    assert (report.role, report.parameters, report.passed) == ("checkpoint", {}, True)


def test_a_name_of_several_roles_needs_its_role() -> None:
    registry = empty_registry()
    registry.load(hooks("predictors", type("Twin", (Still,), {"name": "twin"})), "one", "1")
    registry.load(hooks("executors", type("Twin", (InTurn,), {"name": "twin"})), "two", "1")
    with pytest.raises(
        BenchError, match="type bench check twin --role predictor, or bench check twin --role"
    ):
        find_plugin("twin", None, {}, registry)
    assert role_of(find_plugin("twin", "executor", {}, registry)) == "executor"


def test_a_name_a_class_and_an_instance_are_the_same_to_it() -> None:
    by_name = report("ve", sigma_max=40)
    cls = installed().get("sdes", "ve").thing
    for other in (report(cls, sigma_max=40), report(cls(sigma_max=40))):
        assert other == by_name
    assert by_name.parameters["sigma_max"] == 40
    assert by_name.passed


def test_an_event_reports_each_check() -> None:
    events: list[Event] = []
    result = check("ve", registry=installed(), emit=events.append)
    assert [event.done for event in events if isinstance(event, Advance)] == list(
        range(1, len(result.findings) + 1)
    )
    assert all(isinstance(event, Advance) and event.unit == "checks" for event in events)
    assert events[0] == Advance(f"check ve: {result.findings[0].name}", 1, None, "checks")


def test_assert_conforms_uses_the_installed_plugins_by_default() -> None:
    assert_conforms("ve")


@pytest.mark.parametrize(
    ("name", "parameters", "failing"),
    [
        ("ipndm_v", {}, {"uneven steps, vp"}),
        ("ipndm_v", {"weights": "exact"}, set()),
        ("ipndm_v", {"order": 3}, set()),
        ("sigmas", {}, {"times"}),
    ],
)
def test_built_ins_fail_where_the_docs_say(name: str, parameters: dict[str, Any], failing: set[str]) -> None:
    """docs/check.md, "Built-ins that fail, and why"."""
    findings = check(name, registry=installed(), sdes=("vp",), plot=False, **parameters).failures
    assert {finding.name for finding in findings} == failing


def test_a_predictor_that_does_nothing_passes() -> None:
    idle = installed().build("predictors", "none", {})
    assert check(idle, registry=installed(), sdes=("vp",), plot=False).passed
