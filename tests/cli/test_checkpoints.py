"""``bench checkpoints``, cards that bench.toml names, and pulls that are killed, stopped or meet."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import BenchError, cache
from bench import download as fetch
from bench.cli import main
from bench.plan.installed import load_cards
from bench.plan.settings import card_folders
from tests.support.plugins import installed
from tests.support.served import Served, Server, content, fake_registry, sha256, write_card

ROOT = Path(__file__).resolve().parents[2]
BODY = content()
KNOWN = {"bytes": len(BODY), "sha256": sha256(BODY)}

Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.files = {name: Served(BODY) for name in ("one.bin", "two.bin")}
        yield running


@pytest.fixture
def folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose bench.toml names cards: two to fetch, ``two`` of unknown hash, one by hand."""
    cards = tmp_path / "cards"
    write_card(cards, "one", [{"name": "one.bin", "url": server.url("one.bin")} | KNOWN])
    write_card(cards, "two", [{"name": "two.bin", "url": server.url("two.bin")}])
    page = {"name": "three.bin", "url": "https://example.org/page", "browser": True}
    write_card(cards, "three", [page | KNOWN])
    (tmp_path / "bench.toml").write_text('cards = ["cards"]\n')
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bench(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs ``bench checkpoints ARGUMENTS`` there: status, stdout, stderr."""
    result = fake_registry()
    load_cards(result, folder)
    monkeypatch.setattr(fetch, "PAUSES", ())

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["checkpoints", *arguments], registry=result)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """``bench checkpoints ARGUMENTS`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.served", "checkpoints", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def part() -> int:
    """Bytes that have come of one.bin."""
    path = cache.root() / "partial" / "one" / "one.bin.part"
    return path.stat().st_size if path.exists() else 0


def rows(bench: Bench) -> dict[str, dict[str, Any]]:
    status, out, _ = bench("list", "--json")
    assert status == 0
    return {row["name"]: row for row in json.loads(out)["checkpoints"]}


def test_list_tells_what_is_here_and_how_the_rest_is_had(bench: Bench) -> None:
    result = rows(bench)
    assert {name: row["state"] for name, row in result.items()} == {
        "one": "pull",
        "two": "pull",
        "three": "by hand",
    }
    assert (result["one"]["bytes"], result["two"]["bytes"]) == (300_000, None)
    assert (result["one"]["sde"], result["one"]["noise_levels"], result["one"]["fid"]) == (
        "vp",
        "continuous",
        2.5,
    )
    assert result["one"]["how_to_get"] == "bench checkpoints pull one"
    assert result["one"]["from"] == "bench.toml cards/one.toml"
    assert bench("pull", "one", "two")[0] == 0
    result = rows(bench)
    assert (result["one"]["state"], result["two"]["state"]) == ("installed", "installed")
    assert result["two"]["bytes"] == 300_000
    (Path(result["one"]["folder"]) / "one.bin").write_bytes(BODY[:-1])
    assert rows(bench)["one"]["state"] == "damaged"
    _, out, _ = bench("list")
    assert re.search(r"two +vp +cont\. +2\.50 +300 kB +installed", out)


def test_list_tells_of_the_shipped_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["checkpoints", "list", "--json"])
    output = {row["name"]: row for row in json.loads(capsys.readouterr().out)["checkpoints"]}
    assert stop.value.code == 0
    assert set(output) == {entry.name for entry in installed().of_kind("checkpoints")}
    assert (output["gaussian-cifar10"]["state"], output["gaussian-cifar10"]["bytes"]) == ("shipped", 24904)


def test_pull_then_path_show_verify(bench: Bench, folder: Path, server: Server) -> None:
    place = folder / "cache" / "checkpoints" / "two"
    status, out, err = bench("path", "two")
    assert (status, out) == (2, "")
    assert err == "bench: checkpoint two is not here: bench checkpoints pull two\n"
    status, out, err = bench("pull", "two")
    assert (status, err) == (0, "")
    assert f"installed two in {place}" in out
    assert f"two.bin: sha256 {sha256(BODY)}, recorded, as none is published" in out
    assert bench("pull", "two") == (0, f"two is installed already: {place}\n", "")
    assert len(server.files["two.bin"].requests) == 1
    assert bench("path", "two") == (0, f"{place}\n", "")
    assert f"sha256 {sha256(BODY)} (recorded at first installation)" in bench("show", "two")[1]
    output = json.loads(bench("show", "two", "--json")[1])
    assert output["card"]["name"] == output["name"] == "two"
    assert (output["state"], output["folder"]) == ("installed", str(place))
    assert output["files"][0]["sha256"] == sha256(BODY)
    assert f"sha256 {sha256(BODY)} (published)" in bench("show", "three")[1]
    assert "fetch three.bin from https://example.org/page" in bench("show", "three")[1]
    assert bench("verify") == (0, "ok      two  1 file, 300 kB\n", "")
    (place / "two.bin").write_bytes(content(seed=1))
    status, out, _ = bench("verify", "two")
    assert status == 1
    assert out.startswith(f"WRONG   two  {place}/two.bin has sha256 ")
    assert bench("path", "two")[0] == 2
    assert bench("verify", "one")[0] == 1


def test_on_a_terminal_a_bar_is_drawn_and_taken_away(
    bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["one.bin"].cuts = [100_000]
    monkeypatch.setattr(fetch, "PAUSES", (0.0,))
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr("bench.cli.checkpoints.console", lambda: terminal)
    assert bench("pull", "one")[0] == 0
    drawn = screen.getvalue()
    assert "300 kB of 300 kB" in drawn
    assert "broke off after 100000 of 300000 bytes; trying again" in drawn
    assert "reading one" in drawn
    assert drawn.endswith("\x1b[2K")  # the last line is wiped


def test_one_that_fails_leaves_the_others(bench: Bench, server: Server) -> None:
    server.files["one.bin"].statuses = [404]
    status, out, err = bench("pull", "one", "two")
    assert status == 1
    assert err == f"bench: checkpoint one: {server.url('one.bin')} answers 404 Not Found\n"
    assert "installed two in" in out


def test_import_of_what_a_person_has_to_fetch(bench: Bench, folder: Path) -> None:
    status, out, err = bench("pull", "three")
    assert (status, out) == (2, "")
    assert err == (
        "bench: checkpoint three can't be fetched by a program: fetch three.bin from "
        "https://example.org/page, then bench checkpoints import FILE --card three\n"
    )
    (folder / "download").write_bytes(BODY)
    status, out, err = bench("import", "download", "--card", "three")
    assert (status, out, err) == (0, f"installed three in {folder}/cache/checkpoints/three\n", "")
    assert bench("verify", "three") == (0, "ok      three  1 file, 300 kB\n", "")
    assert bench("import", "nowhere", "--card", "three")[0] == 2


@pytest.mark.parametrize("command", ["show", "pull", "verify", "path"])
def test_an_unknown_name_gets_a_suggestion(bench: Bench, command: str) -> None:
    status, _, err = bench(command, "thre")
    assert status == 2
    assert "unknown checkpoint 'thre' (did you mean 'three'?" in err


def test_killed_midway_the_same_command_goes_on(bench: Bench, folder: Path, server: Server) -> None:
    server.files["one.bin"].stalls = [200_000]
    with start(folder, "pull", "one") as child:
        wait_for(lambda: part() >= 2 * fetch.CHUNK)
        child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not cache.folder("one").exists()
    had = part()
    assert bench("pull", "one")[0] == 0
    assert server.files["one.bin"].requests == [None, f"bytes={had}-"]
    assert server.files["one.bin"].sent[1] == len(BODY) - had
    assert bench("verify", "one")[0] == 0


def test_interrupted_it_says_what_is_kept(folder: Path, server: Server) -> None:
    server.files["one.bin"].stalls = [200_000]
    with start(folder, "pull", "one") as child:
        wait_for(lambda: part() == 200_000)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
    assert (child.returncode, err) == (
        130,
        "bench: stopped; 200 kB are kept: the same command resumes from there\n",
    )
    assert not cache.folder("one").exists()
    assert part() == 200_000


def test_interrupted_it_claims_no_more_than_it_can_resume(
    bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(out: Any = None, chunk: bytes = b"", *_: object) -> None:
        if chunk and isinstance(chunk, bytes):
            out.write(chunk)
        raise KeyboardInterrupt

    nothing = (130, "", "bench: stopped; no part of a file is kept\n")
    with monkeypatch.context() as patch:
        patch.setattr("bench.download._receive", stop)
        assert bench("pull", "one", "two") == nothing  # nothing has come
    server.files["two.bin"].etag = None
    with monkeypatch.context() as patch:
        patch.setattr("bench.download._put", stop)
        # without a hash and a mark of the file, what has come can't be resumed
        assert bench("pull", "two") == nothing
        assert "kB are kept" in bench("pull", "one")[2]


def test_two_processes_fetch_once(bench: Bench, folder: Path, server: Server) -> None:
    served = server.files["one.bin"]
    served.stalls = [200_000]
    with start(folder, "pull", "one") as first:
        wait_for(lambda: part() >= 2 * fetch.CHUNK)
        with start(folder, "pull", "one") as second:
            assert second.stdout is not None
            line = second.stdout.readline()
            assert line == "notice  one: waiting for another process that is installing it\n"
            served.ranges = True
            server.released.set()  # the first one's connection ends; it takes it up
            outs = [first.communicate()[0], second.communicate()[0]]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "installed one in" in outs[0]
    assert outs[1].startswith("one is installed already")
    assert len(served.requests) == 2
    assert bench("verify", "one")[0] == 0


def test_cards_that_bench_toml_names(folder: Path) -> None:
    (folder / "cards" / "bad.toml").write_text("name = 1")
    write_card(folder / "more", "gaussian-cifar10", [{"name": "x"}])
    (folder / "bench.toml").write_text('cards = ["cards", "more"]\n')
    result = installed().copy()
    load_cards(result)
    assert result.get("checkpoints", "one").distribution == "bench.toml"
    broken, clash = (problem.message for problem in result.all_problems())
    assert broken.startswith(f"card {folder}/cards/bad.toml: ")
    assert broken.endswith("; the card was skipped")
    assert "bench.toml more/gaussian-cifar10.toml" in clash
    assert "sampler-bench" in clash


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ('cards = ["nowhere"]', "bench.toml: cards: there is no folder "),
        ('cards = "cards"', "bench.toml: cards: "),
        ('card = ["cards"]', "unknown key 'card' (did you mean 'cards'?"),
    ],
)
def test_a_mistake_about_cards_is_one_line(folder: Path, toml: str, line: str) -> None:
    (folder / "bench.toml").write_text(toml)
    with pytest.raises(BenchError) as caught:
        card_folders()
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
