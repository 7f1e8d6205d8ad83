"""``bench check`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.cli import main
from bench.plugins.registry import Registry
from tests.support.plugins import Still, hooks, installed

Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def registry() -> Registry:
    """What is installed, and ``still``, a predictor that does not move."""
    registry = installed().copy()
    registry.load(hooks("predictors", Still), "still-sampler", "1.2")
    return registry


@pytest.fixture
def check(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Check:
    """Runs ``bench check ARGUMENTS`` in an empty folder: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["check", *arguments], registry=registry)
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


def test_a_plugin_that_passes(check: Check, tmp_path: Path) -> None:
    status, out, err = check("ve", "-P", "sde.sigma_max=40")
    assert (status, err) == (0, "")
    assert "sde ve" in out
    assert "sigma_max=40" in out
    assert "12 checks passed, 0 failed" in out
    assert list(tmp_path.iterdir()) == []  # an SDE has no plot


def test_a_sampler_that_fails_and_its_plot(check: Check, tmp_path: Path) -> None:
    status, out, _ = check("still", "--sde", "vp", "--out", "plots", "--json")
    assert status == 1
    plain = json.loads(out, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert (plain["role"], plain["name"], plain["passed"]) == ("predictor", "still", False)
    assert plain["parameters"]["gain"] == 1.0
    failures = [finding["name"] for finding in plain["findings"] if finding["status"] == "fail"]
    assert "convergence, vp" in failures
    assert {finding["status"] for finding in plain["findings"]} <= {"pass", "fail", "info"}
    assert plain["files"] == ["plots/still.csv", "plots/still.png", "plots/still.svg"]
    assert all((tmp_path / file).is_file() for file in plain["files"])


def test_the_table_shows_failures(check: Check) -> None:
    status, out, _ = check("still", "--sde", "vp")
    assert status == 1
    assert "FAIL" in out
    assert "results/checks/still.png" in out
    assert " failed" in out.splitlines()[-4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("heunn",), "nothing to check is called 'heunn' (did you mean 'heun'?"),
        (("heun", "--sde", "vpp"), "unknown sde 'vpp' (did you mean 'vp'?"),
        (("heun", "--role", "predicter"), "unknown role 'predicter' (did you mean 'predictor'?"),
        (("langevin", "-P", "snr"), "-P takes NAME=VALUE, not 'snr'"),
        (("langevin", "-P", "a.b.snr=1"), "-P takes NAME=VALUE, not 'a.b.snr=1'"),
        (("heun", "--out", "afile/x"), "afile/x can't be written"),
        (("langevin", "-P", "snrr=1"), "langevin has no parameter 'snrr' (did you mean 'snr'?"),
    ],
)
def test_mistakes_are_one_line(check: Check, arguments: Sequence[str], message: str) -> None:
    Path("afile").touch()
    status, out, err = check(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
