"""What ``bench checkpoints`` says: fits the terminal, names files as the user does, prints nothing raw."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import BenchError, Card, cache
from bench.checkpoints.install.installer import import_files, pull
from bench.cli import main
from bench.errors import SHORT, did_you_mean, printable
from bench.plan.installed import load_cards
from bench.plugins.registry import Registry
from tests.support.plugins import installed
from tests.support.served import Served, Server, content, fake_registry, sha256, write_card

BODY, OTHER, SHORTER = content(3000), content(3000, seed=1), content(2000)
NAME = "weights.bin"
PAGE = b"\xef\xbb\xbf\n <!DOCTYPE HTML>\n<title>Sign in</title>" + b" " * 5000
HOSTILE = "red \x1b[31m\nbell\x07 end"
ESCAPED = "red \\u001b[31m\\nbell\\u0007 end"

Bench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A registry with the fake format, in a working folder with a cache of its own."""
    registry = fake_registry()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return registry


@pytest.fixture
def bench(plugins: Registry, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs ``bench ARGUMENTS`` there: status, stdout, stderr, neither with anything that is not text."""
    assert plugins.names("readers") == ["fake"]

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(arguments, registry=plugins)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert all(line.isprintable() for line in (out + err).splitlines())
        assert isinstance(stop.value.code, int)
        return stop.value.code, out, err

    return call


def add(plugins: Registry, name: str, files: list[dict[str, Any]], **changes: str) -> Card:
    """A card in ./cards, registered as bench.toml would."""
    path = write_card(Path("cards"), name, files)
    text = path.read_text()
    for key, value in changes.items():
        text = re.sub(rf"(?m)^{key} = .*$", lambda _, k=key, v=value: f"{k} = {json.dumps(v)}", text)  # type: ignore[misc]
    path.write_text(text)
    Path("bench.toml").write_text('cards = ["cards"]\n')
    plugins.entries = {key: entries for key, entries in plugins.entries.items() if key[0] != "checkpoints"}
    load_cards(plugins)
    card: Card = plugins.get("checkpoints", name).thing
    return card


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(BenchError) as caught:
        call()
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("width", [50, 80, 100, 200])
def test_the_list_folds_nowhere_and_cuts_neither_fid_nor_state(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("bench.cli.checkpoints.console", lambda: Console(file=screen, width=width))
    with pytest.raises(SystemExit):
        main(["checkpoints", "list"])
    head, _, *lines = screen.getvalue().splitlines()
    entries = installed().of_kind("checkpoints")
    assert head.split() == ["name", "SDE", "levels", "FID", "size", "state"]
    assert max(map(len, [head, *lines[: len(entries)]])) <= width
    for entry, line in zip(entries, lines, strict=False):
        fid = entry.thing.published.get("fid")
        assert line.startswith(entry.name if width >= 80 else entry.name[:10])
        assert re.search(
            rf"{'' if fid is None else f'{fid:.2f}'} .*(shipped|pull|by hand|installed) *$", line
        )
    assert capsys.readouterr().err == ""


def test_a_changed_file_under_a_card_without_facts(bench: Bench, plugins: Registry) -> None:
    own = add(plugins, "own", [{"name": NAME}])
    for name, body in (("a.pth", BODY), ("longer.pth", content(4000)), ("b.pth", OTHER)):
        Path(name).write_bytes(body)
    assert "recorded, as none is published" in bench("checkpoints", "import", "a.pth", "--card", "own")[1]
    place = cache.folder("own")
    again = (0, f"own is installed already, unchanged: {place}\n", "")
    assert bench("checkpoints", "import", "a.pth", "--card", "own") == again
    for name in ("longer.pth", "b.pth"):
        status, _, err = bench("checkpoints", "import", name, "--card", "own")
        assert status == 2
        assert err.startswith(f"bench: checkpoint own: {name} has ")
        assert err.endswith(f"; if it may differ from what was first installed, remove {place}\n")
    (place / NAME).write_bytes(SHORTER)  # the same file repairs
    assert "installed own in" in bench("checkpoints", "import", "a.pth", "--card", "own")[1]
    shutil.rmtree(place)
    assert import_files(own, Path("longer.pth"), fake_registry())


def test_a_size_that_the_card_gives_leaves_no_choice(plugins: Registry) -> None:
    own = add(plugins, "own", [{"name": NAME, "bytes": len(BODY), "sha256": sha256(BODY)}])
    Path("short").write_bytes(SHORTER)
    assert "remove" not in error_of(lambda: import_files(own, Path("short"), fake_registry()))


def test_a_changed_file_on_a_server(plugins: Registry) -> None:
    with Server() as server:
        server.files[NAME] = Served(BODY)
        own = add(plugins, "own", [{"name": NAME, "url": server.url(NAME)}])
        assert pull(own, fake_registry())
        (own.folder / NAME).unlink()
        server.files[NAME] = Served(SHORTER, etag='"two"')
        assert f"; if it may differ from what was first installed, remove {own.folder}" in error_of(
            lambda: pull(own, fake_registry())
        )


def test_a_card_of_a_name_that_is_taken_is_to_be_renamed(bench: Bench, plugins: Registry) -> None:
    add(plugins, "own", [{"name": NAME}])
    add(plugins, "more", [{"name": NAME}])
    entry = installed().get("checkpoints", "gaussian-cifar10")
    plugins.entries["checkpoints", "own"].insert(0, entry)
    status, _, err = bench("checkpoints", "show", "own")
    assert status == 2
    assert err.endswith(" and bench.toml cards/own.toml: rename the card cards/own.toml (its key name)\n")
    assert bench("checkpoints", "show", "more")[0] == 0
    plugins.entries["checkpoints", "own"] = [entry, entry]
    assert bench("checkpoints", "show", "own")[2].endswith(": uninstall one of them\n")


def test_show_is_one_view_without_reprs(bench: Bench, plugins: Registry) -> None:
    long = "a-file-of-quite-a-long-name.bin"
    add(plugins, "own", [{"name": long, "bytes": 3000}])
    with Path("cards/own.toml").open("a") as file:
        file.write("[parameters.sde]\nbeta_min = 0.1\n[parameters.predictor]\nclip = true\n")
    add(plugins, "more", [{"name": NAME}])
    status, out, _ = bench("checkpoints", "show", "own")
    assert status == 0
    for lines in (
        f"  {long}  3 kB",
        "  shape                       [3, 32, 32]",
        "  learned_variance            false",
        "  parameters\n    sde.beta_min = 0.1\n    predictor.clip = true",
        "  published\n    fid = 2.5",
    ):
        assert f"\n{lines}\n" in out
    assert not re.search("[{'\"]", out)
    assert bench("show", "own") == (0, f"{out}\n", "")
    listed = bench("list", "checkpoints")[1]
    assert re.search(r"kind +name +summary +from", listed)
    assert re.search(r"checkpoint +own +made up +bench.toml cards/own.toml", listed)


def test_nothing_of_a_file_reaches_the_terminal_raw(
    bench: Bench, plugins: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(plugins, "own", [{"name": NAME}], summary=HOSTILE, data=HOSTILE, sde=HOSTILE, licence="x" * 2000)
    for arguments in (("show", "own"), ("checkpoints", "show", "own"), ("list", "checkpoints")):
        status, out, _ = bench(*arguments)
        assert status == 0
        assert ESCAPED in out
        assert len(out) < 6000
    assert "red \\u001b" in bench("checkpoints", "list")[1]

    def hostile(*_: object) -> None:
        raise BenchError(f"{NAME} is of {HOSTILE}{'x' * 5000}")

    Path("in\x1b[1mner").write_bytes(BODY)
    monkeypatch.setattr("tests.support.served.Fake.read", hostile)
    status, _, err = bench("checkpoints", "import", "in\x1b[1mner", "--card", "own")
    assert status == 2
    assert err.startswith(f"bench: checkpoint own: in\\u001b[1mner is of {ESCAPED}xxx")
    assert len(err) < 700
    Path("cards/bad.toml").write_text('"a\\u001b[31m" = 1\n' + Path("cards/own.toml").read_text())
    add(plugins, "more", [{"name": NAME}])
    assert "a\\u001b[31m: " in bench("checkpoints", "list")[2]


@pytest.mark.parametrize(
    ("text", "most", "output"),
    [
        ("a – b", 200, "a – b"),
        ("a\x9b1m\r\u202e\ud800\U000e0001", None, "a\\u009b1m\\r\\u202e\\ud800\\udb40\\udc01"),
        ("x" * 300, 200, "x" * 199 + "…"),
        ("x" * 300, None, "x" * 300),
    ],
)
def test_printable(text: str, most: int | None, output: str) -> None:
    assert printable(text, most) == output


def test_errors_say_the_path_that_was_typed(bench: Bench, plugins: Registry) -> None:
    add(plugins, "own", [{"name": NAME}])
    Path("sub").mkdir()
    Path("sub/down.pth").write_bytes(b"x" * 100)
    assert bench("checkpoints", "import", "sub/down.pth", "--card", "own")[2] == (
        "bench: checkpoint own: sub/down.pth is not a fake file, or damaged; nothing was installed\n"
    )
    add(plugins, "two", [{"name": "config.json"}, {"name": NAME}])
    Path("sub/config.json").write_text("{}")
    (Path("sub") / NAME).write_bytes(b"x" * 100)
    assert f"two: sub/{NAME} is not a fake" in bench("checkpoints", "import", "sub", "--card", "two")[2]


def test_a_complaint_that_names_no_file_begins_with_the_path(
    plugins: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise BenchError("its tensors are of another network")

    monkeypatch.setattr("tests.support.served.Fake.read", refuses)
    Path("html.pth").write_bytes(BODY)
    own = add(plugins, "own", [{"name": NAME}])
    assert error_of(lambda: import_files(own, Path("html.pth"), fake_registry())) == (
        "checkpoint own: html.pth: its tensors are of another network; nothing was installed"
    )


@pytest.mark.parametrize("suffix", ["pth", "pt", "pkl", "safetensors"])
@pytest.mark.parametrize("known", [True, False])
def test_a_web_page_is_told(plugins: Registry, suffix: str, known: bool) -> None:
    facts: dict[str, Any] = {"bytes": len(BODY), "sha256": sha256(BODY)} if known else {}
    own = add(plugins, "own", [{"name": f"weights.{suffix}"} | facts])
    Path(f"html.{suffix}").write_bytes(PAGE)
    assert error_of(lambda: import_files(own, Path(f"html.{suffix}"), fake_registry())) == (
        f"checkpoint own: html.{suffix} is a web page, not the file: fetch it in a browser; "
        "nothing was installed"
    )


def test_what_is_no_regular_file(plugins: Registry) -> None:
    own = add(plugins, "own", [{"name": NAME}])
    two = add(plugins, "two", [{"name": "config.json"}, {"name": NAME}])
    Path("folder").mkdir()
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    for name, message in (
        ("folder", "checkpoint own is one file: give the file itself, not its folder"),
        ("fifo", "fifo is not a regular file"),
        ("/dev/null", "/dev/null is not a regular file"),
        ("loop", "loop is not a regular file"),
        ("dangling", "there is no file dangling"),
        ("fifo/x", "there is no file fifo/x"),
        ("x" * 300, "can't be read: File name too long"),
    ):
        assert message in error_of(lambda name=name: import_files(own, Path(name), fake_registry()))  # type: ignore[misc]
    (Path("folder") / "config.json").mkdir()
    assert "folder/config.json is not a regular file" in error_of(
        lambda: import_files(two, Path("folder"), fake_registry())
    )
    (Path("folder") / NAME).write_bytes(BODY)
    assert import_files(own, Path("folder"), fake_registry())


def test_verify_tells_what_is_absent(bench: Bench, plugins: Registry) -> None:
    add(plugins, "own", [{"name": NAME, "url": "https://example.org/x"}])
    assert bench("checkpoints", "verify", "own") == (1, "absent  own  bench checkpoints pull own\n", "")
    assert bench("checkpoints", "verify") == (0, "", "")


def test_of_many_names_the_nearest_are_told() -> None:
    many = [f"checkpoint-{i}" for i in range(SHORT)]
    assert did_you_mean("checkpoint-x", many, "bench list").endswith("checkpoint-9)")
    report = did_you_mean("checkpoint-x", [*many, "else"], "bench list")
    assert re.fullmatch(r" \(did you mean ('checkpoint-\d'( or )?){3}\? bench list shows all\)", report)
    assert did_you_mean("zzz", [*many, "else"], "bench list") == " (bench list shows all)"
    with pytest.raises(BenchError) as caught:
        installed().get("checkpoints", "gausian-cifar10")
    assert str(caught.value) == (
        "unknown checkpoint 'gausian-cifar10' (did you mean 'gaussian-cifar10'? "
        "bench checkpoints list shows all)"
    )


def test_leftovers_of_other_checkpoints_are_cleared_unless_someone_is_at_work(plugins: Registry) -> None:
    from filelock import FileLock

    own = add(plugins, "own", [{"name": NAME}])
    Path("a").write_bytes(BODY)
    for name in ("killed", "working", "moving"):
        for area in ("staging", "aside") if name == "moving" else ("staging",):
            (cache.root() / area / name).mkdir(parents=True)
            (cache.root() / area / name / NAME).write_bytes(BODY)
    (cache.root() / "locks").mkdir()
    with FileLock(cache.root() / "locks" / "working.lock"):
        import_files(own, Path("a"), fake_registry())
    assert sorted(p.name for p in (cache.root() / "staging").iterdir()) == ["working"]
    assert list((cache.root() / "aside").iterdir()) == []
    assert sorted(p.name for p in (cache.root() / "checkpoints").iterdir()) == ["moving", "own"]
    import_files(own, Path("a"), fake_registry())
    assert list((cache.root() / "staging").iterdir()) == []


def test_a_relative_cache_is_absolute(
    bench: Bench, plugins: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", "here/cache")
    add(plugins, "own", [{"name": NAME}])
    Path("a").write_bytes(BODY)
    place = tmp_path / "here" / "cache" / "checkpoints" / "own"
    assert f"installed own in {place}\n" in bench("checkpoints", "import", "a", "--card", "own")[1]
    assert bench("checkpoints", "path", "own") == (0, f"{place}\n", "")
    monkeypatch.delenv("BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "there")
    assert cache.root() == tmp_path / "there" / "sampler-bench"
    monkeypatch.setenv("BENCH_CACHE", "~nobody-of-this-name/cache")
    assert "set BENCH_CACHE to an absolute path" in error_of(cache.root)


@pytest.mark.parametrize(("width", "report"), [(80, False), (120, True)])
def test_a_narrow_list_leaves_out_where_things_are_from(
    width: int, report: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("bench.cli.listing.console", lambda: Console(file=screen, width=width))
    with pytest.raises(SystemExit):
        main(["list", "checkpoints"])
    assert ("sampler-bench" in screen.getvalue()) == report
    assert re.search(r"gaussian-cifar10 +\w+ \w+", screen.getvalue())
