"""Claims: one process at a time, taken over from the dead and the silent, by no other machine's clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench import BenchError
from bench.results import claims
from bench.results.claims import BEAT, LEASE, Claims


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def foreign(path: Path, beats: int = 0) -> None:
    """The claim of a process of another machine."""
    owner = {"machine": "0" * 16, "process": 1, "start": "1", "token": "t"}
    path.write_bytes(json.dumps(owner).encode() + b"\n" + f"{beats:012d}\n".encode())


def test_a_claim_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    path, first, second = tmp_path / ".a.lock", Claims(), Claims()
    claim = first.try_claim(path)
    assert claim is not None
    assert second.try_claim(path) is None
    assert first.try_claim(path) is None
    first.release(claim)
    assert list(tmp_path.iterdir()) == []
    again = second.try_claim(path)
    assert again is not None
    second.release(again)


def test_a_dead_owner_of_this_machine_has_no_claim(tmp_path: Path) -> None:
    """A process that ends without a release, as one that is killed does."""
    path = tmp_path / ".a.lock"
    code = (
        "import os, sys; from pathlib import Path; from bench.results.claims import Claims\n"
        "assert Claims().try_claim(Path(sys.argv[1])) is not None; os._exit(9)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code, str(path)], env=environment).returncode == 9
    assert path.exists()
    claim = Claims().try_claim(path)
    assert claim is not None
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_process_number_that_another_process_has_now_is_a_dead_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".a.lock"
    with monkeypatch.context() as patch:
        patch.setattr(claims, "_start_of", lambda _: "1")
        assert Claims().try_claim(path) is not None
    assert Claims().try_claim(path) is not None


def test_an_owner_elsewhere_loses_its_claim_when_its_count_stands_still(tmp_path: Path) -> None:
    """The finder's own clock counts, from its first look; file times, here of the year 2001, do not."""
    path, clock = tmp_path / ".a.lock", Clock()
    finder = Claims(clock)
    foreign(path)
    os.utime(path, (1e9, 1e9))
    clock.now = 1e6
    assert finder.try_claim(path) is None
    clock.now += LEASE - 1
    foreign(path, beats=1)
    assert finder.try_claim(path) is None
    clock.now += LEASE - 1
    assert finder.try_claim(path) is None
    clock.now += 2
    claim = finder.try_claim(path)
    assert claim is not None
    finder.release(claim)
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_beats_is_never_taken_over(tmp_path: Path) -> None:
    path, clock = tmp_path / ".a.lock", Clock()
    owner, finder = Claims(), Claims(clock)
    claim = owner.try_claim(path)
    assert claim is not None
    for _ in range(3 * int(LEASE / BEAT)):
        assert finder.try_claim(path) is None
        clock.now += BEAT
        owner.beat()
    owner.release(claim)


def test_the_thread_of_beats_ends_with_the_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.01)
    path, owner = tmp_path / ".a.lock", Claims()
    before = threading.active_count()
    for _ in range(2):
        claim = owner.try_claim(path)
        assert claim is not None
        content = path.read_bytes()
        deadline = time.monotonic() + 20
        while path.read_bytes() == content and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.read_bytes() != content  # it beats
        owner.release(claim)
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before


def test_the_loser_of_a_take_over_does_not_remove_the_new_claim(tmp_path: Path) -> None:
    path, clock = tmp_path / ".a.lock", Clock()
    owner, finder = Claims(), Claims(clock)
    claim = owner.try_claim(path)
    assert claim is not None
    assert finder.try_claim(path) is None
    clock.now = LEASE + 1
    new = finder.try_claim(path)  # the owner has not beaten
    assert new is not None
    owner.beat()
    owner.release(claim)
    assert path.exists()
    finder.release(new)
    assert not path.exists()


@pytest.mark.parametrize("_", range(10))
def test_of_many_that_take_over_one_gets_the_claim(_: int, tmp_path: Path) -> None:
    path, clock = tmp_path / ".a.lock", Clock()
    foreign(path)
    finders = [Claims(clock) for _ in range(8)]
    assert all(finder.try_claim(path) is None for finder in finders)
    clock.now = LEASE + 1
    held = []
    barrier = threading.Barrier(len(finders))

    def take(finder: Claims) -> None:
        barrier.wait()
        claim = finder.try_claim(path)
        if claim is not None:
            held.append((finder, claim))

    threads = [threading.Thread(target=take, args=(finder,)) for finder in finders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # a race may leave more owners than one, which write the same; it never leaves none
    assert held
    for finder, claim in held:
        finder.release(claim)
    assert list(tmp_path.iterdir()) == []


def test_waiting_is_told_once(tmp_path: Path) -> None:
    path, owner, waiter = tmp_path / ".a.lock", Claims(), Claims()
    claim = owner.try_claim(path)
    assert claim is not None
    notices = []

    def on_wait() -> None:
        notices.append(True)
        threading.Timer(0.4, owner.release, (claim,)).start()

    waiter.release(waiter.claim(path, on_wait))
    assert notices == [True]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff" * 2000, b'{"machine": 1}\n'])
def test_odd_content_counts_as_an_owner_until_the_lease_is_over(content: bytes, tmp_path: Path) -> None:
    path, clock = tmp_path / ".a.lock", Clock()
    path.write_bytes(content)
    finder = Claims(clock)
    assert finder.try_claim(path) is None
    clock.now = LEASE + 1
    assert finder.try_claim(path) is not None


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".a.lock"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BenchError, match="is a link, not a lock file: remove it"):
        Claims().try_claim(path)
