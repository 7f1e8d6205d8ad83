"""The registry: discovery of plugins, refusal of broken ones, look-up, flags."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, Self

import pytest
import torch

import bench
from bench import (
    BenchError,
    Noise,
    Prediction,
    Predictor,
    Register,
    Solver,
    Step,
    Tensor,
    Update,
    hookimpl,
    param,
)
from tests.support.plugins import Still, empty_registry, hooks, installed


class Unfinished(Predictor):
    name = "unfinished"


class Nameless(Predictor):
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x)


def test_a_hook_registers_a_predictor_with_its_distribution_and_parameters() -> None:
    registry = empty_registry()
    registry.load(hooks("predictors", Still), "still-sampler", "1.2")
    assert registry.all_problems() == []
    entry = registry.get("predictors", "still")
    assert (entry.thing, entry.distribution, entry.version) == (Still, "still-sampler", "1.2")
    assert registry.names("predictors") == ["still"]
    assert registry.names("correctors") == []


@pytest.mark.parametrize("unsafe", ["../x", "/x", "a b", "x\x1b[2J", "x" * 201, "family:../x"])
def test_a_name_that_makes_no_safe_path_is_refused_in_a_line(unsafe: str) -> None:
    class Unsafe(Still):
        name = unsafe

    registry = empty_registry()
    registry.load(hooks("predictors", Unsafe), "unsafe-sampler", "1")
    assert registry.names("predictors") == []
    (problem,) = registry.all_problems()
    assert "can't be a name" in problem.message
    assert problem.message.isprintable()
    with pytest.raises(BenchError, match="can't be a name"):
        registry.add("predictors", Unsafe, "unsafe-sampler", "1")


def test_a_name_of_two_distributions_is_an_error_that_names_both_and_harms_nothing_else() -> None:
    class Other(Nameless):
        name = "other"

    registry = empty_registry()
    registry.load(hooks("predictors", Still), "first-dist", "1.0")
    registry.load(hooks("predictors", Still, Other), "second-dist", "2.0")
    with pytest.raises(BenchError, match=r"'still' is registered by first-dist 1\.0 and second-dist 2\.0"):
        registry.get("predictors", "still")
    assert registry.get("predictors", "other").distribution == "second-dist"
    (problem,) = registry.all_problems()
    assert (problem.kind, problem.name) == ("predictors", "still")
    assert "first-dist" in problem.message
    assert "second-dist" in problem.message


class Raises:
    @hookimpl
    def register_sdes(self, register: Register) -> NoReturn:
        raise RuntimeError("no license\nfound")


class Misspelled:
    @hookimpl
    def register_predictor(self, register: Register) -> None:
        register(Still)


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Raises(), "RuntimeError: no license found"),
        (Misspelled(), "register_predictor"),
        (hooks("predictors", Nameless), "has no name"),
        (hooks("predictors", SimpleNamespace(name="")), "has no name"),
        (hooks("predictors", installed().get("sdes", "vp").thing), "is not a subclass of bench.Predictor"),
        (hooks("predictors", Still.build({})), "is not a subclass of bench.Predictor"),
        (hooks("predictors", Unfinished), "'unfinished' does not define step"),
        (hooks("predictors", Still, Unfinished), "'unfinished' does not define step"),
    ],
)
def test_a_broken_plugin_is_reported_and_skipped(plugin: object, message: str) -> None:
    registry = empty_registry()
    registry.load(plugin, "bad-dist", "1.0")
    registry.load(hooks("predictors", Still), "good-dist", "1.0")
    (problem,) = registry.all_problems()
    assert message in problem.message
    assert "of bad-dist was skipped" in problem.message
    assert "\n" not in problem.message
    assert registry.get("predictors", "still").distribution == "good-dist"
    with pytest.raises(BenchError, match=r"unknown predictor 'unfinished'.*bad-dist was skipped"):
        registry.get("predictors", "unfinished")


def test_a_card_is_required_where_checkpoints_are_registered() -> None:
    registry = empty_registry()
    registry.load(hooks("checkpoints", Still), "bad-dist", "1.0")
    assert [p.message for p in registry.problems if "is not a bench.Card" in p.message]


def _install(folder: Path, name: str, module: str, source: str) -> None:
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{name.replace('-', '_')}-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(f"[bench]\nmine = {module}\n")


WORKING = """
from bench import Predictor, Update, hookimpl

class Mine(Predictor):
    name = "mine_of_test"

    def step(self, x, step, p, noise, state):
        return Update(x, x)

@hookimpl
def register_predictors(register):
    register(Mine)
"""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import a_module_that_is_not_there",
            "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        ),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit('goodbye')", "SystemExit: goodbye"),
    ],
)
def test_an_installed_plugin_that_fails_to_import_is_reported_and_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    _install(tmp_path, "broken-dist", "broken_bench_plugin", source)
    _install(tmp_path, "working-dist", "working_bench_plugin", WORKING)
    monkeypatch.syspath_prepend(tmp_path)
    registry = empty_registry()
    try:
        registry.load_installed()
    finally:
        sys.modules.pop("working_bench_plugin", None)
    (problem,) = registry.all_problems()
    assert message in problem.message
    assert "broken-dist" in problem.message
    entry = registry.get("predictors", "mine_of_test")
    assert (entry.distribution, entry.version) == ("working-dist", "0.3")
    assert registry.names("sdes") == installed().names("sdes")


class Older(Predictor):
    """Written when steps had no history."""

    name = "older"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:  # type: ignore[override]
        return Update(x, x)


class OlderSolver(Solver):
    name = "older_solver"

    def solve(self, x: Tensor, p: Prediction) -> Tensor:  # type: ignore[override]
        return x


class Optional(Predictor):
    """Has a parameter more, with a default."""

    name = "optional"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any, more: int = 1) -> Update:
        return Update(x, x)


@pytest.mark.parametrize(
    ("kind", "thing", "message"),
    [
        ("predictors", Older, "calls step(self, x, step, p, noise, state)"),
        ("solvers", OlderSolver, "calls solve(self, x, sde, p, noise)"),
    ],
)
def test_a_plugin_for_another_version_is_skipped_with_both_signatures(
    kind: str, thing: type, message: str
) -> None:
    registry = empty_registry()
    registry.load(hooks(kind, thing), "older-dist", "0.1")
    registry.load(hooks("predictors", Optional), "newer-dist", "2.0")
    (problem,) = registry.all_problems()
    assert "older-dist" in problem.message
    assert message in problem.message
    assert "was written for another version of bench" in problem.message
    assert registry.names("predictors") == ["optional"]


class Powers(Predictor):
    """A family: its members are called by a number."""

    name = "powers:<n>"
    power = 0

    gain: float = param(default=1.0, help="a factor", above=0)

    @classmethod
    def member(cls, name: str) -> type[Self]:
        if not name.isdigit():
            raise BenchError(f"powers:{name}: take a number")
        return type(cls.__name__, (cls,), {"name": f"powers:{name}", "power": int(name)})

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        x = self.gain * x**self.power
        return Update(x, x)


def test_a_member_of_a_family_is_made_on_request() -> None:
    registry = empty_registry()
    registry.load(hooks("predictors", Powers), "family", "1.0")
    entry = registry.get("predictors", "powers:2")
    assert (entry.name, entry.distribution, entry.version) == ("powers:2", "family", "1.0")
    power = registry.build("predictors", "powers:2", {"gain": "3"})
    x = torch.tensor([2.0])
    assert power.step(x, None, None, None, None).x.item() == 12
    assert registry.names("predictors") == ["powers:<n>"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("powers:two", "powers:two: take a number"),
        ("powers:<n>", "powers:<n> stands for many predictors: put a name in place of <n>"),
        ("power:2", "unknown predictor 'power:2'"),
    ],
)
def test_another_name_is_not_a_member(name: str, message: str) -> None:
    registry = empty_registry()
    registry.load(hooks("predictors", Powers), "family", "1.0")
    with pytest.raises(BenchError, match="^" + message.replace("<", "[<]")):
        registry.get("predictors", name)


def test_plugins_have_no_members_unless_they_define_them() -> None:
    with pytest.raises(BenchError, match="ancestral has no member 'x'"):
        installed().get("predictors", "ancestral").thing.member("x")


def flagged(parameter: str, flag: str) -> type[Predictor]:
    """A predictor with a float parameter of that name and flag."""
    fields = {"__annotations__": {parameter: float}, parameter: param(default=1.0, help="x", flag=flag)}
    return type("Flagged", (Still,), {"name": f"flagged_{parameter}", **fields})


def test_parameters_of_one_role_and_name_share_a_flag() -> None:
    registry = empty_registry()
    other = type("Other", (flagged("size", "size"),), {"name": "other"})
    registry.load(hooks("predictors", flagged("size", "size"), other), "flags", "1.0")
    (flag,) = registry.flags()
    assert (flag.name, flag.role, flag.target) == ("size", "predictor", "predictor.size")
    assert registry.all_problems() == []


def test_a_flag_of_two_meanings_is_left_out_and_reported() -> None:
    registry = empty_registry()
    registry.load(hooks("predictors", flagged("size", "size")), "first-dist", "1.0")
    registry.load(hooks("predictors", flagged("width", "size"), flagged("w", "w")), "second-dist", "2.0")
    assert [flag.name for flag in registry.flags()] == ["w"]
    (problem,) = registry.all_problems()
    assert (problem.kind, problem.name) == ("flag", "size")
    assert "predictor.size (flagged_size of first-dist 1.0)" in problem.message
    assert "predictor.width (flagged_width of second-dist 2.0)" in problem.message


def test_the_built_in_plugins_flags() -> None:
    targets = {flag.name: flag.target for flag in installed().flags()}
    assert targets == {
        "mode": "extractor.mode",
        "snr": "corrector.snr",
        "corrector-steps": "corrector.steps",
        "tol": "solver.tol",
        "workers": "executor.workers",
        "rho": "grid.rho",
        "extrapolate": "metric.extrapolate",
    }


def test_one_class_is_added_and_a_wrong_one_refused() -> None:
    registry = empty_registry()
    entry = registry.add("predictors", Still, "notebook", "1")
    assert registry.get("predictors", "still") is entry
    with pytest.raises(BenchError, match=r"not a subclass of bench\.Corrector"):
        registry.add("correctors", Still, "notebook", "1")
    with pytest.raises(BenchError, match="'unfinished' does not define step"):
        registry.add("predictors", Unfinished, "notebook", "1")


def test_adding_to_a_copy_leaves_the_original() -> None:
    registry = empty_registry()
    registry.add("predictors", Still, "first", "1")
    copy = registry.copy()
    copy.add("predictors", Still, "second", "1")
    copy.load(hooks("predictors", Unfinished), "third", "1")
    assert registry.all_problems() == []
    assert [problem.kind for problem in copy.all_problems()] == ["plugin", "predictors"]


def test_an_annotation_that_can_not_be_evaluated_is_the_plugins_problem() -> None:
    class Wrong(Still):
        name = "wrong"
        __annotations__ = {"size": "NoSuchType"}
        size = 1.0

    registry = empty_registry()
    registry.load(hooks("predictors", Wrong), "bad-dist", "1.0")
    (problem,) = registry.all_problems()
    assert "NoSuchType" in problem.message


def test_the_core_imports_no_plugin() -> None:
    root = Path(bench.__file__).parent
    sources = sorted(root.rglob("*.py"))
    assert len(sources) > 20
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            registry = [n for n in names if n.startswith("bench_") or n.split(".")[0] == "plugins"]
            assert not registry, f"{path.relative_to(root)} imports {registry}"
