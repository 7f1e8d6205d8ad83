"""``bench list`` and ``bench show``."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest

from bench import Plugin, Register, hookimpl, param
from bench.cli import main
from bench.cli.listing import facts
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
    assert _strict(_printed(capsys, own_registry, "show", "nfe", "--json"))["layout"] == "curve"


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
    names = {e.name for kind in KINDS for e in own_registry.of_kind(kind)}
    assert {"still", "vp", "langevin", "rk45", "gaussian-cifar10", "fd_dct", "local"} <= names
    for name in sorted(names):
        output = _strict(_printed(capsys, own_registry, "show", name, "--json"))
        assert {e["name"] for e in output} == {name}
        for entry in output:
            if entry["kind"] != "checkpoints":
                thing: type[Plugin] = own_registry.entries[entry["kind"], name][0].thing
                assert [(p["name"], p["default"]) for p in entry["parameters"]] == [
                    (p.name, p.default) for p in thing.parameters()
                ]


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
