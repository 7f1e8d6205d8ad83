"""Fetching and importing: cuts, lies, wrong files, full disks; what is in the cache is whole or not there."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError, Card, cache
from bench import download as fetch
from bench.checkpoints.install import installer
from bench.checkpoints.install.states import state, verify
from bench.events import Emit, Event, Notice, silent
from tests.support.served import Served, Server, content, fake_registry, sha256, write_card

BODY = content()
NAME = "weights.bin"
MakeCard = Callable[..., Card]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache of its own, the fake format, no pauses, little patience."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(fetch, "TIMEOUTS", (2.0, 0.3))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as instance:
        instance.files[NAME] = Served(BODY)
        yield instance


@pytest.fixture
def card(server: Server, tmp_path: Path) -> MakeCard:
    """Makes the card of one served file; by default its size and hash are known."""

    def make(*, known: bool = True, **changes: Any) -> Card:
        facts = {"bytes": len(BODY), "sha256": sha256(BODY)} if known else {}
        file = {"name": NAME, "url": server.url(NAME)} | facts | changes
        return Card.read(write_card(tmp_path / "cards", "fake", [file]))

    return make


class Notices:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.texts.append(event.text)


def pull(card: Card, emit: Emit = silent) -> bool:
    return installer.pull(card, fake_registry(), emit)


def import_files(card: Card, path: Path) -> bool:
    return installer.import_files(card, path, fake_registry())


def remains(kind: str) -> list[str]:
    """Names of files in an area of the cache, lock files aside."""
    folder = cache.root() / kind
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refusal(call: Callable[[], object]) -> str:
    """The one line that it fails with; nothing is installed, nor left of the attempt to."""
    with pytest.raises(BenchError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for kind in ("checkpoints", "staging", "aside"):
        assert remains(kind) == []
    assert not cache.folder("fake").exists()
    return message


def assert_installed(card: Card, body: bytes = BODY) -> None:
    assert (card.folder / NAME).read_bytes() == body
    assert card.folder == cache.folder("fake")
    assert remains("checkpoints") == ["fake/installed.json", f"fake/{NAME}"]
    for kind in ("partial", "staging", "aside"):
        assert remains(kind) == []
    card.check()
    assert verify(card) == ([], [])
    assert state(card) == "installed"


def test_a_pull_installs_and_a_second_one_asks_nothing(server: Server, card: MakeCard) -> None:
    assert state(card()) == "pull"
    assert pull(card())
    assert_installed(card())
    assert not pull(card())
    assert server.files[NAME].requests == [None]
    manifest = cache.manifest("fake")
    assert manifest is not None
    file = cache.StoredFile(size=len(BODY), sha256=sha256(BODY))
    assert manifest.files == {NAME: file}
    assert manifest.origin == {NAME: file.model_copy(update={"hash": "given by the card"})}
    assert manifest.source == server.url(NAME)
    plain = json.loads((cache.folder("fake") / cache.MANIFEST).read_text())
    assert plain["files"] == {NAME: {"bytes": len(BODY), "sha256": sha256(BODY)}}


@pytest.mark.parametrize("known", [True, False])
def test_a_cut_connection_is_taken_up_where_it_broke(server: Server, card: MakeCard, known: bool) -> None:
    served = server.files[NAME]
    served.cuts = [100_000, 50_000]
    notices = Notices()
    assert pull(card(known=known), notices)
    assert_installed(card(known=known))
    assert served.requests == [None, "bytes=100000-", "bytes=150000-"]
    assert served.sent == [100_000, 50_000, 150_000]
    assert len(notices.texts) == 2
    assert "broke off after 100000 of 300000 bytes; trying again" in notices.texts[0]


def test_cuts_without_end_are_given_up_and_the_next_command_goes_on(server: Server, card: MakeCard) -> None:
    served = server.files[NAME]
    served.cuts = [10_000] * 4
    assert "run the same command again: it resumes where it stopped" in refusal(lambda: pull(card()))
    assert remains("partial") == [f"fake/{NAME}.json", f"fake/{NAME}.part"]
    assert pull(card())
    assert_installed(card())
    assert served.requests[-1] == "bytes=40000-"
    assert sum(served.sent) == len(BODY)


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, card: MakeCard) -> None:
    served = server.files[NAME]
    served.ranges, served.cuts = False, [100_000]
    assert pull(card())
    assert_installed(card())
    assert served.requests == [None, "bytes=100000-"]
    assert served.sent == [100_000, len(BODY)]


def test_a_stall_ends_by_itself(server: Server, card: MakeCard) -> None:
    served = server.files[NAME]
    served.stalls = [100_000]
    notices = Notices()
    assert pull(card(), notices)
    assert_installed(card())
    assert "went silent after 100000 of 300000 bytes" in notices.texts[0]
    assert served.requests == [None, "bytes=100000-"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changes_between_tries_is_begun_anew(
    server: Server, card: MakeCard, known: bool, if_range: bool
) -> None:
    served = server.files[NAME]
    served.body, served.etag, served.cuts = content(seed=1), '"old"', [100_000] + [0] * 3
    refusal(lambda: pull(card(known=known)))
    served.body, served.etag, served.if_range = BODY, '"new"', if_range
    assert pull(card(known=known))
    assert_installed(card(known=known))
    again = ["bytes=100000-"] if if_range else ["bytes=100000-", None]
    assert served.requests[-len(again) :] == again
    assert served.sent[-1] == len(BODY)


def test_a_server_without_marks_is_begun_anew_unless_the_hash_is_known(
    server: Server, card: MakeCard
) -> None:
    served = server.files[NAME]
    served.etag, served.cuts = None, [100_000]
    assert pull(card(known=False))
    assert served.requests == [None, None]
    assert_installed(card(known=False))


def test_a_range_beyond_the_end_is_begun_anew(server: Server, card: MakeCard) -> None:
    served = server.files[NAME]
    served.length, served.cuts = len(BODY) + 10, []  # it claims more than it has
    unsized = card(known=False, sha256=sha256(BODY))
    assert "broke off after 300000 of 300010 bytes" in refusal(lambda: pull(unsized))
    served.length = None
    assert pull(unsized)
    assert_installed(unsized)


@pytest.mark.parametrize("by", [-1000, 1000])
@pytest.mark.parametrize("known", [True, False])
def test_a_lie_about_the_length_is_never_installed(
    server: Server, card: MakeCard, by: int, known: bool
) -> None:
    server.files[NAME].length = len(BODY) + by
    message = refusal(lambda: pull(card(known=known)))
    if known:
        assert f"has a file of {len(BODY) + by} bytes, not of {len(BODY)}" in message
    elif by > 0:
        assert f"broke off after {len(BODY)} of {len(BODY) + by} bytes" in message
    else:
        assert "is not a fake file, or damaged; nothing was installed" in message
        assert remains("partial") == []


def test_wrong_bytes_of_the_right_length_are_refused_and_forgotten(server: Server, card: MakeCard) -> None:
    server.files[NAME].body = content(seed=1)
    message = refusal(lambda: pull(card()))
    assert f"has sha256 {sha256(content(seed=1))}, not {sha256(BODY)}" in message
    assert remains("partial") == []
    server.files[NAME].body = BODY
    assert pull(card())
    assert_installed(card())


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_status_is_told(server: Server, card: MakeCard, status: int) -> None:
    server.files[NAME].statuses = [status] * 9
    message = refusal(lambda: pull(card()))
    assert f"{server.url(NAME)} answers {status} " in message
    assert len(server.files[NAME].requests) == (1 if status < 500 else 4)


def test_a_busy_server_is_asked_again(server: Server, card: MakeCard) -> None:
    server.files[NAME].statuses = [503, 429]
    assert pull(card())
    assert_installed(card())


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_page_to_log_in_is_not_the_file(server: Server, card: MakeCard, kind: str) -> None:
    server.files["login"] = Served(b"<html>who are you?</html>", kind=kind)
    server.files[NAME].to = server.url("login")
    message = refusal(lambda: pull(card(known=False)))
    assert "web page" in message
    assert remains("partial") == []


def test_redirects_are_followed(server: Server, card: MakeCard) -> None:
    server.files["elsewhere"] = Served(BODY, cuts=[100_000])
    server.files[NAME].to = server.url("elsewhere")
    assert pull(card())
    assert_installed(card())
    assert server.files["elsewhere"].requests == [None, "bytes=100000-"]


def test_no_server_is_one_line(card: MakeCard) -> None:
    message = refusal(lambda: pull(card(url="http://127.0.0.1:1/x")))
    assert "127.0.0.1:1 can't be reached: Connection refused; run the same command again" in message


def test_a_full_disk_is_one_line_and_the_fetch_goes_on_later(server: Server, card: MakeCard) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the kernel itself refuses to write on
    try:
        message = refusal(lambda: pull(card()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not be written (File too large): make room, or set BENCH_CACHE" in message
    assert pull(card())
    assert_installed(card())
    assert server.files[NAME].requests == [None, "bytes=100000-"]


def test_a_disk_that_fills_in_the_move_leaves_the_old(
    card: MakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(card())
    (card().folder / NAME).write_bytes(b"damaged")
    move = Path.rename

    def full(self: Path, target: Path) -> Path:
        if self.parent.name == "staging":
            raise OSError(28, os.strerror(28))
        return move(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(BenchError, match="No space left on device"):
        pull(card())
    assert (card().folder / NAME).read_bytes() == b"damaged"
    assert state(card()) == "damaged"


def test_a_cache_that_cannot_be_made_is_one_line(
    card: MakeCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(BenchError, match=r"file/locks/fake.lock could not be written .*set BENCH_CACHE"):
        pull(card())


def test_an_unknown_hash_is_recorded_and_compared_later(server: Server, card: MakeCard) -> None:
    own = card(known=False)
    pull(own)
    manifest = cache.manifest("fake")
    assert manifest is not None
    assert manifest.origin[NAME].sha256 == sha256(BODY)
    assert manifest.origin[NAME].hash == "recorded at installation"
    (own.folder / NAME).write_bytes(content(seed=1))
    ((complaint,), ()) = verify(own)
    assert f"sha256 {sha256(content(seed=1))}, not {sha256(BODY)}" in complaint
    with pytest.raises(BenchError, match="has the wrong hash"):
        own.check()
    server.files[NAME].body = content(seed=2)  # what was first installed holds
    with pytest.raises(BenchError, match=rf"not {sha256(BODY)}: nothing was installed; if it may differ"):
        pull(own)
    server.files[NAME].body = BODY
    assert pull(own)
    assert_installed(own)


def test_what_a_killed_process_left_is_cleared_away_and_what_it_moved_aside_put_back(card: MakeCard) -> None:
    pull(card())
    for kind in ("aside", "staging"):
        (cache.root() / kind).mkdir(exist_ok=True)
    cache.folder("fake").rename(cache.root() / "aside" / "fake")  # killed between the two renames
    (cache.root() / "staging" / "fake").mkdir()
    (cache.root() / "staging" / "fake" / NAME).write_bytes(b"half")
    assert not pull(card())
    assert_installed(card())


def test_a_reader_that_refuses_keeps_files_whose_hash_is_right(
    server: Server, card: MakeCard, tmp_path: Path
) -> None:
    bad = b"x" * 1000
    server.files[NAME].body = bad
    own = card(bytes=1000, sha256=sha256(bad))
    assert refusal(lambda: pull(own)) == (
        f"checkpoint fake: {NAME} is not a fake file, or damaged; nothing was installed"
    )
    refusal(lambda: pull(own))
    assert server.files[NAME].requests == [None]
    (tmp_path / "local").write_bytes(bad)
    refusal(lambda: import_files(own, tmp_path / "local"))


def test_a_reader_that_breaks_is_one_line(card: MakeCard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("conv\nin")

    monkeypatch.setattr("tests.support.served.Fake.read", broken)
    assert "the reader 'fake' failed (KeyError: 'conv\\nin')" in refusal(lambda: pull(card()))


def test_a_conversion_is_recorded_with_what_came(server: Server, tmp_path: Path) -> None:
    facts = {"bytes": len(BODY), "sha256": sha256(BODY)}
    file = {"name": "weights.pkl", "url": server.url(NAME)} | facts
    own = Card.read(write_card(tmp_path / "cards", "fake", [file]))
    pull(own)
    manifest = cache.manifest("fake")
    assert manifest is not None
    assert manifest.files == {"weights.converted": cache.StoredFile(**facts)}
    assert manifest.origin == {"weights.pkl": cache.StoredFile(**facts, hash="given by the card")}
    assert verify(own) == ([], [])
    assert not pull(own)


def test_an_import_copies_a_file_of_any_name(card: MakeCard, tmp_path: Path) -> None:
    source = tmp_path / "download (1)"
    source.write_bytes(BODY)
    own = card(browser=True)
    assert state(own) == "by hand"
    import_files(own, source)
    assert_installed(own)
    assert source.read_bytes() == BODY
    assert (own.folder / NAME).stat().st_nlink == 1
    assert not pull(own)  # it is here: no one need fetch it


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (BODY[:-1], "has 299999 bytes, not 300000: it is another file, or came down in part"),
        (content(seed=1), "nothing was installed"),
        (None, "there is no file"),
    ],
)
def test_a_wrong_import_is_refused(card: MakeCard, tmp_path: Path, body: bytes | None, line: str) -> None:
    if body is not None:
        (tmp_path / "local").write_bytes(body)
    assert line in refusal(lambda: import_files(card(), tmp_path / "local"))


def test_a_folder_is_imported_for_a_checkpoint_of_several_files(tmp_path: Path) -> None:
    files = [{"name": "config.json"}, {"name": NAME, "sha256": sha256(BODY)}]
    own = Card.read(write_card(tmp_path / "cards", "fake", files))
    local = tmp_path / "local"
    local.mkdir()
    (local / NAME).write_bytes(BODY)
    (local / "README").write_text("not of the card")
    assert "there is no file" in refusal(lambda: import_files(own, local))
    assert "give the folder that holds them" in refusal(lambda: import_files(own, local / NAME))
    (local / "config.json").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("{}")
    import_files(own, local)
    assert remains("checkpoints") == ["fake/config.json", "fake/installed.json", f"fake/{NAME}"]
    assert not (own.folder / "config.json").is_symlink()
    assert verify(own) == ([], [])


def test_a_format_without_reader_is_said_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    path = write_card(tmp_path / "cards", "fake", [{"name": NAME, "url": server.url(NAME)}])
    path.write_text(path.read_text().replace('format = "fake"', 'format = "fakes"'))
    assert "unknown reader 'fakes' (did you mean 'fake'?" in refusal(lambda: pull(Card.read(path)))
    assert server.files[NAME].requests == []
