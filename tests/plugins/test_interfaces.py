"""A plugin that returns a state of another kind fails its run, by name and distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import (
    SDE,
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
)
from tests.support.runs import exit_status, registry_with


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
    ("flags", "message"),
    [
        (
            ("--steps", "30", "--predictor", "shrinks"),
            "shrinks received (4, 3, 32, 32) torch.float32 on cpu and returned (4, 1, 32, 32) torch.float32 "
            "on cpu (predictor shrinks of careless 3.1)",
        ),
        (
            ("--steps", "30", "--corrector", "widens"),
            "returned (4, 3, 32, 32) torch.float64 on cpu (corrector widens of careless 3.1)",
        ),
        (
            ("--solver", "loses"),
            "returned (3, 3, 32, 32) torch.float32 on cpu (solver loses of careless 3.1)",
        ),
    ],
)
def test_a_state_of_another_kind_is_the_plugins_failure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    message: str,
) -> None:
    registry = registry_with(Three(), "careless", "3.1")
    monkeypatch.chdir(tmp_path)
    run = ("run", "--checkpoint", "gaussian-cifar10", "--samples", "4")
    assert exit_status(*run, *flags, registry=registry) == 1
    assert message in " ".join(capsys.readouterr().out.split())
