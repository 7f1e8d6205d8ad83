"""A bench.toml, card or path that is hostile: one line and status 2; a card breaks no other command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.files import registry_path
from tests.support.runs import exit_status

DIGITS = "9" * 5000
DEEP = "[" * 3000
RUN = ("run", "--dry-run", "--checkpoint", "gaussian-cifar10", "--device", "cpu")


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command in a folder of its own; its output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> str:
        code = exit_status(*arguments)
        out, err = capsys.readouterr()
        assert code == status, out + err
        assert max(map(len, err.splitlines()), default=0) <= 2100
        if status == 2:
            assert err.count("\n") == 1
            assert err.startswith("bench: ")
        return out + err

    return run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[defaults]\nsteps = {DIGITS}", "bench.toml: an integer has too many digits"),
        ("[defaults]\nsteps = 0x" + "f" * 5000, "bench.toml: an integer does not fit 64 bits"),
        (f"[defaults]\nsteps = {DEEP}", "bench.toml: it is nested deeper than 30"),
        ("[defaults]\n" + "a." * 50 + "b = 1", "bench.toml: a key has more than 30 parts"),
        ("[defaults]\nsteps = [" + "1, " * 200_000 + "]", "bench.toml: it has more than 100000 values"),
        ("#" * 1_000_001, "bench.toml: it is too large: 1000001 bytes"),
        ('[defaults]\nout = "~nobody_of_that_name/x"', "'~nobody_of_that_name/x' can't be used as a path"),
        ('cards = ["~nobody_of_that_name/x"]', "'~nobody_of_that_name/x' can't be used as a path"),
        (f'cards = ["{"x" * 5000}"]', "can't be used as a path: a part of it has more than 255 bytes"),
        ('cards = ["a\\u0000b"]', "can't be used as a path: "),
        (f'[defaults]\npredictor = "{"x" * 5000}"', "unknown predictor"),
        (f'[defaults]\n{"x" * 5000} = 1', "unknown key"),
    ],
)  # fmt: skip
def test_a_bench_toml_is_one_line(call: Callable[..., str], text: str, message: str) -> None:
    Path("bench.toml").write_text(text)
    assert message in call(*RUN, status=2)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"scales = {DIGITS}", "an integer has too many digits"),
        (f"scales = {DEEP}", "it is nested deeper than 30"),
        (f'name = "{"x" * 5000}"', "name: string should have at most 200 characters"),
        (f'summary = "{"x" * 5000}"', "summary: string should have at most 2000 characters"),
        ("a." * 5000 + "b = 1", "a key has more than 30 parts"),
        ("x" * 5000 + " = 1", "extra inputs are not permitted"),
    ],
)
def test_a_card_breaks_no_other_command(call: Callable[..., str], line: str, message: str) -> None:
    Path("bench.toml").write_text('cards = ["mine"]')
    Path("mine").mkdir()
    text = registry_path("cards", "gaussian-cifar10.toml").read_text()
    key = line.partition(" = ")[0]
    lines = [own for own in text.splitlines() if not own.startswith(f"{key} = ")]
    Path("mine/odd.toml").write_text("\n".join([line, *lines]))
    shutil.copy(registry_path("cards", "gaussian-cifar10.safetensors"), "mine")
    for command in (("list", "predictors"), ("checkpoints", "list"), (*RUN, "--samples", "4")):
        text = call(*command)
        assert message in text
        assert text.count("odd.toml") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (*RUN, "--out", "~nobody_of_that_name/x"),
        (*RUN, "--out", "x" * 5000),
        ("table", "s", "--out", "~nobody_of_that_name/x"),
        ("fid", "~nobody_of_that_name/x", "--metric", "fd_cifar10"),
        ("fid", "x" * 5000, "--metric", "fd_cifar10"),
        ("fid", ".", "--reference", "~nobody_of_that_name/x", "--metric", "fd_cifar10"),
        ("compare", "~nobody_of_that_name/x", "results"),
        ("stats", "show", "~nobody_of_that_name/x"),
        ("stats", "build", "x", "-o", "~nobody_of_that_name/x.npz", "--extractor", "pixels"),
        ("measure", "--metric", "fd_dct", "--out", "~nobody_of_that_name/x"),
        ("checkpoints", "import", "~nobody_of_that_name/x", "--card", "cifar10-tiny"),
        ("run", "--dry-run", "--suite", "s", "--out", "~nobody_of_that_name/x"),
    ],
)
def test_paths_are_one_line(call: Callable[..., str], arguments: tuple[str, ...]) -> None:
    call(*arguments, status=2)
