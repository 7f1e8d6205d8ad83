"""Completion of names in the shell: by click's interface, in each shell's form, and by a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.shell_completion import CompletionItem, ShellComplete

from bench.cli import cli, main
from bench.cli.completion import BY_COMMAND, BY_NAME, INSTALL, TITLES
from bench.cli.context import CommandState
from bench.results.store import Store
from tests.cli.test_light import HEAVY
from tests.support.images import record_of
from tests.support.paths import ROOT
from tests.support.plugins import installed

FINGERPRINTS = ("0123456789abcdef", "01ff456789abcdef")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, a suite's plan, and a bench.toml with a suite and a profile of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(
        '[profiles.mine]\nsteps = 5\n[suites.mine]\nabout = "mine"\n[[suites.mine.cells]]\nsde = "vp"\n'
    )
    store = Store(tmp_path / "results")
    for fingerprint in FINGERPRINTS:
        store.write_record(record_of([torch.rand(4, 3, 8, 8)], fingerprint))
    (tmp_path / "results" / "suites" / "table1").mkdir(parents=True)
    (tmp_path / "results" / "suites" / "table1" / "made-up-4.json").write_text("{}")
    return tmp_path


def items(words: str, incomplete: str = "") -> list[CompletionItem[Any]]:
    """What click offers after these words."""
    completion = ShellComplete(cli, {"obj": CommandState(installed().copy())}, "bench", "_BENCH_COMPLETE")
    return completion.get_completions(words.split(), incomplete)


def names(words: str, incomplete: str = "") -> list[str]:
    """The names that are offered; files are the shell's to complete."""
    return [item.value for item in items(words, incomplete) if item.type == "plain"]


def files(words: str, incomplete: str = "") -> bool:
    """Whether the shell is to complete files."""
    return [item.type for item in items(words, incomplete)] == ["file"]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ("run --checkpoint", "ga", ["gaussian-cifar10", "gaussian-cifar10-1000"]),
        ("run --sde vp --checkpoint", "gm", ["gmm-cifar10"]),
        ("run", "--checkpoint=gm", ["gmm-cifar10"]),
        ("run --sde", "v", ["ve", "ve_exp", "vp", "vp_cosine"]),
        ("run --predictor", "anc", ["ancestral"]),
        ("run --corrector", "lan", ["langevin"]),
        ("run --solver", "rk", ["rk45"]),
        ("run --task", "inp", ["inpaint"]),
        ("run --executor", "l", ["local"]),
        ("run --profile", "", ["digits", "exact", "mine", "paper", "quick", "none"]),
        ("run --suite", "m", ["memoir", "mine"]),
        ("run --metric", "fd_c", ["fd_cifar10", "fd_class", "fd_component"]),
        ("run --data", "cifar10-t", ["cifar10-train", "cifar10-test"]),
        ("measure --metric", "ki", ["kid"]),
        ("measure --suite", "", ["table1"]),
        ("table", "", ["table1"]),
        ("table table1 --name", "", ["made-up-4"]),
        ("table table1 --published-of", "edm2-img64-l", ["edm2-img64-l"]),
        ("run --published-of", "ddpm", ["ddpm-cifar10-32"]),
        ("published --checkpoint", "ddpm", ["ddpm-cifar10-32"]),
        ("published --sampler", "ipn", ["ipndm"]),
        ("compare", "01", list(FINGERPRINTS)),
        (f"compare {FINGERPRINTS[0]}", "01f", [FINGERPRINTS[1]]),
        ("compare", "t", ["table1"]),
        ("fid", "01f", [FINGERPRINTS[1]]),
        ("fid x --reference", "svhn-te", ["svhn-test"]),
        ("export", "", list(FINGERPRINTS)),
        (f"export {FINGERPRINTS[0]}", "01f", [FINGERPRINTS[1]]),
        ("stats build", "stl10-u", ["stl10-unlabeled"]),
        ("stats build x --extractor", "pix", ["pixels"]),
        ("checkpoints show", "edm-cifar10-cond-vp", ["edm-cifar10-cond-vp"]),
        ("checkpoints pull ddpm-cifar10-32", "iddpm-cifar10-uncond-v", ["iddpm-cifar10-uncond-vlb"]),
        ("checkpoints import x --card", "ddpm", ["ddpm-cifar10-32"]),
        ("list", "sd", ["sdes"]),
        ("show", "langev", ["langevin"]),
        ("show", "mem", ["memoir"]),
        ("new", "pre", ["predictor"]),
        ("check", "unip", ["unipc"]),
        ("check vp --role", "sd", ["sde"]),
        ("completion", "b", ["bash"]),
        ("", "expo", ["export"]),
    ],
)
def test_names_that_are_offered(words: str, incomplete: str, expected: list[str]) -> None:
    assert names(words, incomplete) == expected


def test_runs_of_another_results_folder(folder: Path) -> None:
    Store(folder / "other").write_record(record_of([torch.rand(4, 3, 8, 8)], "f" * 16))
    assert names("export --out other") == ["f" * 16]
    (folder / "bench.toml").write_text('[defaults]\nout = "other"\n')
    assert names("export") == ["f" * 16]


def test_what_may_be_a_path_is_completed_as_one() -> None:
    for words in ("export", "fid", "compare", "run --data", "stats build", "fid x --reference"):
        assert files(words, "samp"), words
    assert not files("run --checkpoint", "samp")


def test_a_run_has_its_title_where_few_are_left(folder: Path) -> None:
    assert [item.help for item in items("export")] == ["a run · seed 0"] * 2
    for i in range(TITLES):
        (folder / "results" / "records" / f"02{i:014x}.json").write_text("{")
    assert [item.help for item in items("export", "01")] == ["a run · seed 0"] * 2
    assert {item.help for item in items("export")} == {""}


def test_names_from_data_that_are_not_safe(folder: Path) -> None:
    """Control characters, shell's own characters and long names are never offered; texts are escaped."""
    bad = ("0\x1b[31mred", "0\n1", "0\u202e1", "0$(rm -r x)", "0 1", "0*", "0`x`", "0;x", "0'", '0"')
    records = folder / "results" / "records"
    for name in bad:
        (records / f"{name}.json").write_text("{}")
        (folder / "results" / "suites" / name).mkdir()
    assert names("export", "0") == list(FINGERPRINTS)
    assert names("table") == ["table1"]
    evil = record_of([torch.rand(4, 3, 8, 8)], "0d" * 8).model_copy(
        update={"title": "a\x1b]0;x\x07\nb\u202e"}
    )
    Store(folder / "results").write_record(evil)
    (item,) = items("export", "0d")
    assert item.help == "a\\u001b]0;x\\u0007\\nb\\u202e · seed 0"
    text = '[suites."a\\u001b[31m"]\n[suites.b]\nabout = "x\\ny\\u001b"\n'
    text += '[profiles."p q"]\n[profiles."q\\u0007"]\n'
    (folder / "bench.toml").write_text(text)
    assert [(one.value, one.help) for one in items("run --suite", "b")] == [("b", "x\\ny\\u001b")]
    assert not names("run --suite", "a")
    assert names("run --profile") == ["digits", "exact", "paper", "quick", "none"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_broken_folder_is_quiet(
    folder: Path, shell: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file that can't be read costs its names, and no message: the command that reads it has one."""
    (folder / "bench.toml").write_text("[[[")
    shutil.rmtree(folder / "results")
    (folder / "results").write_text("a file")
    for words in ("run --checkpoint ", "run --profile ", "run --", "export ", "table ", "fid ", "show "):
        monkeypatch.setenv("_BENCH_COMPLETE", f"{shell}_complete")
        monkeypatch.setenv("COMP_WORDS", f"bench {words}")
        monkeypatch.setenv("COMP_CWORD", "" if shell == "fish" else f"{len(words.split())}")
        with pytest.raises(SystemExit) as stop:
            cli.main([], prog_name="bench", obj=CommandState())
        assert stop.value.code == 0
        assert capfd.readouterr().err == ""


def parameters(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Parameter]]:
    """All parameters of all commands, with the command's words."""
    for name, child in getattr(command, "commands", {}).items():
        yield from parameters(child, f"{path} {name}".strip())
    yield from ((path, parameter) for parameter in command.params)


def test_every_completion_belongs_to_a_parameter() -> None:
    known = {(path, f"{parameter.name}") for path, parameter in parameters(cli)}
    assert BY_COMMAND.keys() <= known
    assert BY_NAME.keys() <= {name for _, name in known}


def test_the_script_says_how_to_install_it(capsys: pytest.CaptureFixture[str]) -> None:
    for shell, line in INSTALL.items():
        with pytest.raises(SystemExit) as stop:
            main(["completion", shell])
        assert stop.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == f"# to install it: {line}"
        assert f"_BENCH_COMPLETE={shell}_complete" in "\n".join(lines)
        assert lines[0] == "#compdef bench" or shell != "zsh"  # zsh looks for it there
    with pytest.raises(SystemExit) as stop:
        main(["completion", "cmd"])
    assert stop.value.code == 2


@pytest.fixture
def command(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``bench`` is a command."""
    place = tmp_path / "bin"
    place.mkdir()
    script = f"#!{sys.executable}\nimport sys\nfrom bench.cli import main\ntry:\n    main()\nfinally:\n"
    script += f"    print([m for m in {HEAVY!r} if m in sys.modules], file=open('loaded', 'w'))\n"
    (place / "bench").write_text(script)
    (place / "bench").chmod(0o755)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
    return os.environ | {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("bench", "run", "--checkpoint", "gau"), ["gaussian-cifar10", "gaussian-cifar10-1000"]),
        (("bench", "export", "01f"), [FINGERPRINTS[1]]),
        (("bench", "comple"), ["completion"]),
    ],
)
def test_a_real_bash(command: dict[str, str], words: tuple[str, ...], expected: list[str]) -> None:
    """The function that the script defines fills in the names, and nothing heavy is loaded for it."""
    script = f"""
eval "$(bench completion bash)"
complete -p bench
COMP_WORDS=({" ".join(words)})
COMP_CWORD={len(words) - 1}
_bench_completion bench
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    shell = subprocess.run(
        ["bash", "--norc", "-c", script], env=command, capture_output=True, text=True, check=True, timeout=120
    )
    assert shell.stderr == ""
    assert shell.stdout.splitlines() == ["complete -o nosort -F _bench_completion bench", *expected]
    assert Path("loaded").read_text() == "[]\n"
