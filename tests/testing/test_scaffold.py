"""``bench new``: what it writes works as it stands."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from bench import assert_conforms
from bench.cli import main
from bench.testing import scaffold
from tests.benchmarks import authoring
from tests.support.pages import block
from tests.support.paths import ROOT
from tests.support.plugins import empty_registry, installed


def new(role: str, name: str) -> int:
    """The exit status of ``bench new``."""
    with pytest.raises(SystemExit) as stopped:
        main(["new", role, name])
    return int(stopped.value.code or 0)


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = loaded  # dataclasses look their module up
    try:
        spec.loader.exec_module(loaded)
    finally:
        del sys.modules[path.stem]
    return loaded


@pytest.mark.parametrize("role", scaffold.ROLES)
def test_a_package_is_written_whose_entry_point_registers_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new(role, "my-Own_thing2") == 0
    package = tmp_path / "my-Own_thing2"
    names = {"pyproject.toml", "README.md", "my_own_thing2.py", "test_my_own_thing2.py"}
    assert {path.name for path in package.iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["my-Own_thing2"]
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["bench"] == {"my_own_thing2": "my_own_thing2"}
    assert project["project"]["name"] == "my-Own_thing2"
    assert not [path for path in package.iterdir() if "$" in path.read_text()]
    registry = empty_registry()
    registry.load(module(package / "my_own_thing2.py"), "my-Own_thing2", "0.1.0")
    assert registry.all_problems() == []
    entry = registry.get(f"{scaffold.role_of_template(role)}s", "my_own_thing2")
    assert entry.thing.__name__ == "MyOwnThing2"
    assert all(p.help for p in entry.thing.parameters())
    output = capsys.readouterr().out
    assert "pip install -e ./my-Own_thing2" in output
    assert "bench check my_own_thing2" in output
    for command in scaffold.first_runs(role, "my-Own_thing2"):
        assert f"  {command}\n" in output
        assert f"    {command}\n" in (package / "README.md").read_text()


def test_the_fitted_grid_is_fitted_and_run_by_the_commands_that_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scaffold.create("fitted", "even-change", tmp_path, installed())
    registry = installed().copy()
    registry.load(module(tmp_path / "even-change" / "even_change.py"), "even-change", "0.1.0")
    fit, run = scaffold.first_runs("fitted", "even-change")
    for command in (fit, f"{run} --samples 4 --json"):
        if command == fit:
            command += " --samples 8"
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(command)[1:], registry=registry)
        output = capsys.readouterr()
        assert stopped.value.code in (None, 0), output.err
    (own,) = json.loads(output.out)["runs"]
    assert own["status"] == "finished"
    assert own["fit_nfe"] == 8 * 40  # of 8 samples at 40 nodes
    assert json.loads(Path(own["record"]).read_text())["identity"]["grid"]["name"] == "even_change"
    times = json.loads(Path("even_change-5.json").read_text())["values"]["times"]
    assert len(times) == 5
    assert times[0] == 1.0
    assert times == sorted(times, reverse=True)


def test_its_code_keeps_to_common_rules(tmp_path: Path) -> None:
    """Imports in order, nothing unused, formatted: an author's first commit is clean."""
    for role in scaffold.ROLES:
        scaffold.create(role, f"fresh-{role}", tmp_path, installed())
    select = ["--isolated", "--line-length", "110"]
    for command in (["check", "--select", "E,F,W,B,UP,RUF100", *select], ["format", "--check", *select]):
        process = subprocess.run(
            [sys.executable, "-m", "ruff", command[0], *command[1:], "--no-cache", str(tmp_path)],
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stdout + process.stderr


def test_the_sampler_of_the_docs_is_what_it_says(tmp_path: Path) -> None:
    """Its code and its suite, as they stand there; the benchmark `authoring` does all the steps."""
    (tmp_path / "my_sampler.py").write_text(block(authoring.PAGE, "my_sampler.py"))
    sampler = module(tmp_path / "my_sampler.py")
    registry = empty_registry()
    registry.load(sampler, "my-sampler", "0.1.0")
    assert registry.all_problems() == []
    assert_conforms(registry.get("predictors", "my_sampler").thing, sdes=("vp",), registry=installed())
    suite = tomllib.loads(block(authoring.PAGE, "bench.toml"))["suites"]["mine"]
    assert suite["cells"][0]["predictor"][0] == "my_sampler"


def test_the_worked_example_is_such_a_package() -> None:
    """The example has what ``bench new`` writes, and its one module registers one predictor."""
    example = ROOT / "plugins" / "examples" / "dpm-solver-2"
    registry = empty_registry()
    registry.load(module(example / "dpm_solver_2.py"), "bench-dpm-solver-2", "0.1.0")
    assert registry.all_problems() == []
    assert registry.names("predictors") == ["my_dpm_solver_2"]
