"""``bench list`` and ``bench show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from bench import Plugin, Register, hookimpl, param
from bench.cli import main
from bench.cli.listing import facts, suite_facts
from bench.data.own import own_dataset
from bench.plugins.hookspecs import KINDS
from bench.plugins.registry import Registry
from tests.support.plugins import Still, hooks, installed


def _printed(capsys: pytest.CaptureFixture[str], registry: Registry, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments, registry=registry)
    out, err = capsys.readouterr()
    assert (stop.value.code, err) == (0, "")
    return out


def _strict(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def own_registry() -> Registry:
    """What is installed, and ``still``."""
    registry = installed().copy()
    registry.load(hooks("predictors", Still), "still-sampler", "1.2")
    return registry


def test_a_suite_is_output_with_its_cells(own_registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    out = _printed(capsys, own_registry, "show", "table1")
    assert "suite table1, 26 cells" in out
    assert "  vp none C2000" in out.splitlines()
    assert _strict(_printed(capsys, own_registry, "show", "nfe", "--json"))[0]["layout"] == "curve"


def test_list_json_holds_every_entry(own_registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    output = _strict(_printed(capsys, own_registry, "list", "--json"))
    entries = [e for kind in KINDS for e in own_registry.of_kind(kind)]
    assert output["entries"] == json.loads(json.dumps([facts(e) for e in entries]))
    assert output["problems"] == []
    assert {s["name"]: s["cells"] for s in output["suites"]}["table1"] == 26
    still = next(e for e in output["entries"] if e["name"] == "still")
    assert (still["distribution"], still["version"]) == ("still-sampler", "1.2")
    assert still["summary"] == "Stays where it is."
    assert [p["name"] for p in still["parameters"]] == ["gain", "moves", "mode", "limit", "loud", "label"]


def test_show_json_holds_every_parameter(own_registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    names = {e.name: kind for kind in KINDS for e in own_registry.of_kind(kind)}
    assert {"still", "vp", "langevin", "rk45", "gaussian-cifar10", "fd_dct", "local"} <= names.keys()
    both = names.keys() & {suite["name"] for suite in suite_facts()}
    assert both == {"digits", "inpaint", "likelihood"}
    for name, kind in sorted(names.items()):
        words = (kind[:-1], name) if name in both else (name,)
        output = _strict(_printed(capsys, own_registry, "show", *words, "--json"))
        assert {e["name"] for e in output} == {name}
        for entry in output:
            if entry["kind"] != "checkpoints":
                thing: type[Plugin] = own_registry.entries[entry["kind"], name][0].thing
                defaults = {p.name: p.default for p in thing.parameters()}
                own = {p["name"]: p["default"] for p in entry["parameters"]}
                assert own == json.loads(json.dumps(defaults))


def test_show_prints_parameters_with_type_range_and_help(
    own_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    output = _printed(capsys, own_registry, "show", "still")
    assert "predictor still, from still-sampler 1.2" in output
    for part in (
        "-P predictor.gain=1  (float, > 0, <= 2)",
        "a factor",
        "-P predictor.limit=none",
        "fast|good",
    ):
        assert part in output


@pytest.mark.parametrize("kind", ["predictors", "predictor"])
def test_list_of_one_kind(own_registry: Registry, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    output = _strict(_printed(capsys, own_registry, "list", kind, "--json"))
    assert [e["name"] for e in output["entries"]] == own_registry.names("predictors")
    assert {e["kind"] for e in output["entries"]} == {"predictors"}
    assert "reverse_diffusion" in _printed(capsys, own_registry, "list", kind)


def test_data_sets_are_listed_and_shown_with_what_a_user_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = _printed(capsys, installed(), "list", "datasets").splitlines()
    (line,) = (line for line in lines if "digits" in line)
    assert "1x8x8  train 1,500, test 297  (CC BY 4.0)" in line
    entries = {
        one["name"]: one
        for one in _strict(_printed(capsys, installed(), "list", "datasets", "--json"))["entries"]
    }
    stl10 = entries["stl10"]
    assert (stl10["shape"], stl10["data_range"]) == ([3, 96, 96], [0, 255])
    assert stl10["splits"] == {"train": 5000, "test": 8000, "unlabeled": 100_000}
    assert all(one["licence"] and one["source"] for one in entries.values())
    out = _printed(capsys, installed(), "show", "celeba")
    for text in (
        "items 3x218x178, 0 to 255",
        "celeba-valid (19,867)",
        "license: for non-commercial research",
    ):
        assert text in out
    registry = installed().copy()
    registry.add(
        "datasets", own_dataset("faces", {"all": Path("faces")}, "", ""), "bench.toml", "[datasets.faces]"
    )
    assert "of its files' shape" in _printed(capsys, registry, "list", "datasets")
    (faces,) = _strict(_printed(capsys, registry, "show", "faces", "--json"))
    assert (faces["shape"], faces["splits"], faces["source"]) == (None, {"all": None}, "faces")


def test_the_list_of_suites_says_how_to_run_one(capsys: pytest.CaptureFixture[str]) -> None:
    last = _printed(capsys, installed(), "list", "suites").splitlines()[-1]
    assert last == "bench show NAME describes one; bench run --suite NAME runs it"


def test_list_reports_broken_plugins_on_stderr(
    own_registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    class Raises:
        @hookimpl
        def register_sdes(self, register: Register) -> NoReturn:
            raise RuntimeError("no license\nfound")

    own_registry.load(Raises(), "bad-dist", "1.0")
    with pytest.raises(SystemExit) as stop:
        main(["list"], registry=own_registry)
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    assert "still" in out
    assert err.startswith("bench: Raises of bad-dist was skipped: RuntimeError: no license")


def test_show_prints_the_short_flag_of_a_parameter_and_that_it_decides_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "\n      short: --snr\n" in _printed(capsys, installed(), "show", "langevin")
    text = _printed(capsys, installed(), "show", "fd_cifar10")
    assert text.count("comparisons ignore it") == 1
    assert text.index("metric.bootstrap") < text.index("comparisons ignore it")


def test_what_a_card_sets_is_shown_as_a_card_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    """No flag takes it."""
    text = _printed(capsys, installed(), "show", "label", "t")
    assert "  factor = 1.0 in a card's [parameters.label]  (float, > 0)\n" in text
    assert "  reverse = false in a card's [parameters.label]  (bool)\n" in text
    text = _printed(capsys, installed(), "show", "parametrisation", "velocity")
    assert '  direction = "to_noise" in a card\'s [parameters.parametrisation]' in text
    assert "card's [parameters.reader] sets" in _printed(capsys, installed(), "list", "readers")


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bench.toml in an empty working folder: a profile of a plugin's name, and one of its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bench.toml"
    path.write_text(
        'profile = "mine"\n[defaults]\nseed = 5\n[profiles.mine]\nsteps = 7\nsde = "ve"\n'
        "parameters.corrector.snr = 0.2\n[profiles.langevin]\nsteps = 3\n"
    )
    return path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a refused command."""
    with pytest.raises(SystemExit) as stop:
        main(arguments, registry=installed())
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n"), err[:7]) == (2, "", 1, "bench: ")
    return err[7:-1]


@pytest.mark.usefixtures("toml")
def test_profiles_are_listed_and_shown_with_all_settings(capsys: pytest.CaptureFixture[str]) -> None:
    listed = _strict(_printed(capsys, installed(), "list", "profiles", "--json"))
    assert {one["name"]: one["default"] for one in listed["profiles"]} == {
        "digits": False,
        "exact": False,
        "langevin": False,
        "mine": True,
        "paper": False,
        "quick": False,
    }
    assert (listed["entries"], listed["suites"], listed["runs"]) == ([], [], [])
    (mine,) = _strict(_printed(capsys, installed(), "show", "mine", "--json"))
    changes = {"steps": 7, "sde": ["ve"], "parameters": {"corrector": {"snr": 0.2}}}
    assert (mine["kind"], mine["changes"]) == ("profiles", changes)
    assert (mine["settings"]["seed"], mine["settings"]["samples"]) == (5, 1024)
    lines = _printed(capsys, installed(), "show", "profile", "mine").splitlines()
    assert lines[0] == "profile mine, the default"
    assert {"  steps = 7", "  sde = ve", "  seed = 5", "bench run --profile mine"} <= set(lines)
    assert 'parameters = {"corrector": {"snr": 0.2}}' in "\n".join(lines)
    text = _printed(capsys, installed(), "list", "profile")
    assert "quick" in text
    assert "bench run --profile NAME uses it" in text


@pytest.mark.usefixtures("toml")
def test_a_name_of_two_kinds_is_refused_with_what_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "show", "langevin") == (
        "'langevin' is a corrector and a profile: write bench show corrector langevin or "
        "bench show profile langevin"
    )
    assert refusal(capsys, "show", "inpaint", "--json") == (
        "'inpaint' is a task and a suite: write bench show task inpaint or bench show suite inpaint"
    )
    assert "predictor" not in _printed(capsys, installed(), "show", "corrector", "none").split("\n")[0]
    assert _printed(capsys, installed(), "show", "none").count("from sampler-bench") == 2
    assert "profile langevin" in _printed(capsys, installed(), "show", "profiles", "langevin")
    assert "suite inpaint, " in _printed(capsys, installed(), "show", "suite", "inpaint")


@pytest.mark.usefixtures("toml")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "langevni"), "nothing is registered as 'langevni' (did you mean 'langevin'?"),
        (("show", "profile", "quik"), "unknown profile 'quik' (did you mean 'quick'?"),
        (("show", "predictor", "langevin"), "unknown predictor 'langevin'"),
        (("show", "prediktor", "ddim"), "unknown kind 'prediktor' (did you mean 'predictors'?"),
        (("show", "run", "ddim"), "no fingerprint in results/records begins with 'ddim': bench list runs"),
        (("show", "a", "b", "c"), "bench show takes [KIND] NAME, not 3 names"),
        (("list", "--out", "x"), "--out belongs to runs: bench list runs --out FOLDER"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert refusal(capsys, *arguments).startswith(message)


def test_the_text_of_installed_code_is_printed_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Odd(Still):
        name = "odd"
        note: str = param(default="a\x1b[2J", help="b\x9b\u202e")

    Odd.__doc__ = "Clears \x1b[2J the screen.\n\nA second \x07 line."
    registry = installed().copy()
    registry.load(hooks("predictors", Odd), "odd-\x1bdist", "1\x9b2")
    for arguments in (["show", "odd"], ["list", "predictors"], ["show", "odd", "--json"]):
        out = _printed(capsys, registry, *arguments)
        assert all(character.isprintable() or character == "\n" for character in out)
    text = _printed(capsys, registry, "show", "odd")
    assert "  Clears \\u001b[2J the screen.\n" in text
    assert "  A second \\u0007 line.\n" in text
