"""Plugins that break their role's duties are told by name and distribution; families of plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest
import torch

from bench import (
    SDE,
    BenchError,
    Corrector,
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
from bench.cli import main
from bench.plugins.registry import Registry, registry


class Older(Predictor):
    """Of a time when there was no history."""

    name = "older"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:  # type: ignore[override]
        return Update(x, x)


class OlderSolver(Solver):
    name = "older_solver"

    def solve(self, x: Tensor, p: Prediction) -> Tensor:  # type: ignore[override]
        return x


class Optional(Predictor):
    """Takes more than it is given, by defaults of its own: that is as well."""

    name = "optional"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any, more: int = 1) -> Update:
        return Update(x, x)


def hooks(kind: str, *things: Any) -> object:
    """A plugin that registers the things."""

    def hook(register: Register) -> None:
        for thing in things:
            register(thing)

    hook.__name__ = f"register_{kind}"
    return type("Hooks", (), {hook.__name__: staticmethod(hookimpl(hook))})()


@pytest.mark.parametrize(
    ("kind", "thing", "said"),
    [
        ("predictors", Older, "calls step(self, x, step, p, noise, state)"),
        ("solvers", OlderSolver, "calls solve(self, x, sde, p, noise)"),
    ],
)
def test_a_plugin_for_another_version_is_skipped_with_both_signatures(
    kind: str, thing: type, said: str
) -> None:
    found = Registry()
    found.load(hooks(kind, thing), "older-dist", "0.1")
    found.load(hooks("predictors", Optional), "newer-dist", "2.0")
    (problem,) = found.all_problems()
    assert "older-dist" in problem.message
    assert said in problem.message
    assert "was written for another version of bench" in problem.message
    assert found.names("predictors") == ["optional"]


class Shrinks(Predictor):
    """Leaves one channel of three: the next step's arithmetic would broadcast it unseen."""

    name = "shrinks"

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x[:, :1], x[:, :1])


class Widens(Corrector):
    """Leaves float64."""

    name = "widens"

    @property
    def calls(self) -> int:
        return 1

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        return Update(x, x.double())


class Loses(Solver):
    """Loses a sample."""

    name = "loses"

    def solve(self, x: Tensor, sde: SDE, p: Prediction, noise: Noise) -> Tensor:
        return x[1:]


class Three:
    """All three, as one distribution."""

    @hookimpl
    def register_predictors(self, register: Register) -> None:
        register(Shrinks)

    @hookimpl
    def register_correctors(self, register: Register) -> None:
        register(Widens)

    @hookimpl
    def register_solvers(self, register: Register) -> None:
        register(Loses)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--steps", "30", "--predictor", "shrinks"),
            "shrinks received (4, 3, 32, 32) torch.float32 on cpu and returned (4, 1, 32, 32) torch.float32 "
            "on cpu (predictor shrinks of careless 3.1)",
        ),
        (
            ("--steps", "30", "--corrector", "widens"),
            "left (4, 3, 32, 32) torch.float64 on cpu (corrector widens of careless 3.1)",
        ),
        (("--solver", "loses"), "left (3, 3, 32, 32) torch.float32 on cpu (solver loses of careless 3.1)"),
    ],
)
def test_a_state_of_another_kind_is_the_plugins_failure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    said: str,
) -> None:
    found = Registry()
    found.entries = dict(registry().entries)
    found.load(Three(), "careless", "3.1")
    assert found.problems == []
    monkeypatch.setattr("bench.cli.run.registry", lambda: found)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["run", "--checkpoint", "gaussian-cifar10", "--samples", "4", *flags])
    assert stopped.value.code == 1
    assert said in " ".join(capsys.readouterr().out.split())


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


def test_a_member_of_a_family_is_made_when_it_is_asked_for() -> None:
    found = Registry()
    found.load(hooks("predictors", Powers), "family", "1.0")
    entry = found.get("predictors", "powers:2")
    assert (entry.name, entry.distribution, entry.version) == ("powers:2", "family", "1.0")
    made = found.build("predictors", "powers:2", {"gain": "3"})
    x = torch.tensor([2.0])
    assert made.step(x, None, None, None, None).x.item() == 12
    assert found.names("predictors") == ["powers:<n>"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("powers:two", "powers:two: take a number"),
        ("powers:<n>", "powers:<n> stands for many predictors: put a name in place of <n>"),
        ("power:2", "unknown predictor 'power:2'"),
    ],
)
def test_what_is_no_member_is_told_so(name: str, said: str) -> None:
    found = Registry()
    found.load(hooks("predictors", Powers), "family", "1.0")
    with pytest.raises(BenchError, match="^" + said.replace("<", "[<]")):
        found.get("predictors", name)


def test_plugins_have_no_members_unless_they_say_so() -> None:
    with pytest.raises(BenchError, match="ancestral has no member 'x'"):
        registry().get("predictors", "ancestral").thing.member("x")
