"""Plugins: discovery, refusal of broken ones, parameters, listing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn

import pytest

import bench
from bench import (
    BenchError,
    Noise,
    Prediction,
    Predictor,
    Register,
    Step,
    Tensor,
    Update,
    hookimpl,
    param,
)
from bench.cli import main
from bench.cli.listing import facts
from bench.files import REGISTRY
from bench.params import Parameter, Plugin
from bench.plugins.hookspecs import KINDS
from bench.plugins.registry import Registry, registry


class Still(Predictor):
    """Stays where it is.

    Nothing more.
    """

    name = "still"

    gain: float = param(default=1.0, help="a factor", above=0, high=2)
    moves: int = param(default=3, help="a count", low=1)
    mode: Literal["fast", "good"] = param(default="good", help="a choice")
    limit: float | None = param(default=None, help="an optional number", low=-1)
    loud: bool = param(default=False, help="a switch")
    label: str = param(default="x", help="a text")

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x)


class Unfinished(Predictor):
    name = "unfinished"


class Nameless(Predictor):
    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise, state: Any) -> Update:
        return Update(x, x)


def predictors(*things: Any) -> object:
    """A plugin that registers the given things as predictors."""

    class Hooks:
        @hookimpl
        def register_predictors(self, register: Register) -> None:
            for thing in things:
                register(thing)

    return Hooks()


def test_a_hook_registers_a_predictor_with_its_distribution_and_parameters() -> None:
    found = Registry()
    found.load(predictors(Still), "still-sampler", "1.2")
    assert found.all_problems() == []
    entry = found.get("predictors", "still")
    assert (entry.thing, entry.distribution, entry.version) == (Still, "still-sampler", "1.2")
    assert found.names("predictors") == ["still"]
    assert found.names("correctors") == []
    assert Still.parameters() == [
        Parameter("gain", "float", 1.0, "a factor", "> 0, <= 2"),
        Parameter("moves", "int", 3, "a count", ">= 1"),
        Parameter("mode", "fast|good", "good", "a choice", ""),
        Parameter("limit", "float or none", None, "an optional number", ">= -1"),
        Parameter("loud", "bool", False, "a switch", ""),
        Parameter("label", "str", "x", "a text", ""),
    ]


def test_a_name_of_two_distributions_is_an_error_that_names_both_and_harms_nothing_else() -> None:
    class Other(Nameless):
        name = "other"

    found = Registry()
    found.load(predictors(Still), "first-dist", "1.0")
    found.load(predictors(Still, Other), "second-dist", "2.0")
    with pytest.raises(BenchError, match=r"'still' is registered by first-dist 1\.0 and second-dist 2\.0"):
        found.get("predictors", "still")
    assert found.get("predictors", "other").distribution == "second-dist"
    (problem,) = found.all_problems()
    assert (problem.kind, problem.name) == ("predictors", "still")
    assert "first-dist" in problem.message
    assert "second-dist" in problem.message


class Raises:
    @hookimpl
    def register_sdes(self, register: Register) -> NoReturn:
        raise RuntimeError("no licence\nfound")


class Misspelt:
    @hookimpl
    def register_predictor(self, register: Register) -> None:
        register(Still)


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Raises(), "RuntimeError: no licence found"),
        (Misspelt(), "register_predictor"),
        (predictors(Nameless), "has no name"),
        (predictors(SimpleNamespace(name="")), "has no name"),
        (predictors(registry().get("sdes", "vp").thing), "is not a subclass of bench.Predictor"),
        (predictors(Still.build({})), "is not a subclass of bench.Predictor"),
        (predictors(Unfinished), "'unfinished' does not define step"),
        (predictors(Still, Unfinished), "'unfinished' does not define step"),
    ],
)
def test_a_broken_plugin_is_reported_and_skipped(plugin: object, said: str) -> None:
    found = Registry()
    found.load(plugin, "bad-dist", "1.0")
    found.load(predictors(Still), "good-dist", "1.0")
    (problem,) = found.all_problems()
    assert said in problem.message
    assert "of bad-dist was skipped" in problem.message
    assert "\n" not in problem.message
    assert found.get("predictors", "still").distribution == "good-dist"
    with pytest.raises(BenchError, match=r"unknown predictor 'unfinished'.*bad-dist was skipped"):
        found.get("predictors", "unfinished")


def test_a_card_is_asked_for_where_checkpoints_are_registered() -> None:
    class Hooks:
        @hookimpl
        def register_checkpoints(self, register: Register) -> None:
            register(Still)

    found = Registry()
    found.load(Hooks(), "bad-dist", "1.0")
    assert [p.message for p in found.problems if "is not a bench.Card" in p.message]


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
    ("source", "said"),
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    _install(tmp_path, "broken-dist", "broken_bench_plugin", source)
    _install(tmp_path, "working-dist", "working_bench_plugin", WORKING)
    monkeypatch.syspath_prepend(tmp_path)
    found = Registry()
    try:
        found.load_installed()
    finally:
        sys.modules.pop("working_bench_plugin", None)
    (problem,) = found.all_problems()
    assert said in problem.message
    assert "broken-dist" in problem.message
    entry = found.get("predictors", "mine_of_test")
    assert (entry.distribution, entry.version) == ("working-dist", "0.3")
    assert found.names("sdes") == registry().names("sdes")


def _printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    return out


def _strict(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """What is installed, with ``still`` on top, on the command line."""
    found = Registry()
    found.entries = dict(registry().entries)
    found.load(predictors(Still), "still-sampler", "1.2")
    monkeypatch.setattr("bench.cli.listing.registry", lambda: found)
    return found


def test_a_suite_is_shown_with_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    out = _printed(capsys, "show", "table1")
    assert "suite table1, 26 cells" in out
    assert "  vp none C2000" in out.splitlines()
    assert _strict(_printed(capsys, "show", "nfe", "--json"))["layout"] == "curve"


def test_list_json_holds_every_entry(own_registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    shown = _strict(_printed(capsys, "list", "--json"))
    entries = [e for kind in KINDS for e in own_registry.of_kind(kind)]
    assert shown["entries"] == json.loads(json.dumps([facts(e) for e in entries]))
    assert shown["problems"] == []
    assert {s["name"]: s["cells"] for s in shown["suites"]}["table1"] == 26
    still = next(e for e in shown["entries"] if e["name"] == "still")
    assert (still["distribution"], still["version"]) == ("still-sampler", "1.2")
    assert still["summary"] == "Stays where it is."
    assert [p["name"] for p in still["parameters"]] == ["gain", "moves", "mode", "limit", "loud", "label"]


def test_show_json_holds_what_the_plugin_says(
    own_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {e.name for kind in KINDS for e in own_registry.of_kind(kind)}
    assert {"still", "vp", "langevin", "rk45", "gaussian-cifar10", "fd_dct", "local"} <= names
    for name in sorted(names):
        shown = _strict(_printed(capsys, "show", name, "--json"))
        assert {e["name"] for e in shown} == {name}
        for entry in shown:
            if entry["kind"] != "checkpoints":
                thing: type[Plugin] = own_registry.entries[entry["kind"], name][0].thing
                assert [(p["name"], p["default"]) for p in entry["parameters"]] == [
                    (p.name, p.default) for p in thing.parameters()
                ]


@pytest.mark.usefixtures("own_registry")
def test_show_tells_parameters_with_type_range_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _printed(capsys, "show", "still")
    assert "predictor still, from still-sampler 1.2" in shown
    for part in (
        "-P predictor.gain=1  (float, > 0, <= 2)",
        "a factor",
        "-P predictor.limit=none",
        "fast|good",
    ):
        assert part in shown


@pytest.mark.parametrize("kind", ["predictors", "predictor"])
def test_list_of_one_kind(own_registry: Registry, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    shown = _strict(_printed(capsys, "list", kind, "--json"))
    assert [e["name"] for e in shown["entries"]] == own_registry.names("predictors")
    assert {e["kind"] for e in shown["entries"]} == {"predictors"}
    assert "reverse_diffusion" in _printed(capsys, "list", kind)


def test_list_reports_broken_plugins_on_stderr(
    own_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    own_registry.load(Raises(), "bad-dist", "1.0")
    with pytest.raises(SystemExit) as stop:
        main(["list"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    assert "still" in out
    assert err.startswith("bench: Raises of bad-dist was skipped: RuntimeError: no licence")


def test_the_core_imports_no_plugin() -> None:
    root = Path(bench.__file__).parent
    sources = sorted(root.rglob("*.py"))
    assert len(sources) > 20
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = [n for n in names if n.startswith("bench_") or n.split(".")[0] == "plugins"]
            assert not found, f"{path.relative_to(root)} imports {found}"


HEAVY = ("torch", "pandas", "matplotlib", "scipy", "torchdiffeq", "torchsde", "cleanfid")
LIGHT = [["--help"], ["run", "--help"], ["list"], ["list", "--json"], ["show", "langevin"]]
LIGHT += [["checkpoints", "list"], ["checkpoints", "show", "cifar10-tiny"]]
LIGHT += [["fid", "--help"], ["stats", "build", "--help"]]
LIGHT += [["stats", "show", str(REGISTRY / "stats" / "cifar10-train_cifar10-features.npz")]]


def test_listing_and_help_load_no_heavy_library() -> None:
    """The promise to answer at once, without a clock."""
    code = f"""
import sys
from bench.cli import main
for arguments in {LIGHT!r}:
    try:
        main(arguments)
    except SystemExit as stop:
        assert stop.code == 0, (arguments, stop.code)
    print("LOADED", [m for m in {HEAVY!r} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert said == ["LOADED []"] * len(LIGHT)
