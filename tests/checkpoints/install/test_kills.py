"""An installation that is killed at any of its steps on disk leaves the old, the new, or nothing."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import Card, cache
from bench.checkpoints.install.installer import import_files
from bench.checkpoints.install.states import verify
from tests.support.served import content, fake_registry, sha256, write_card

NAME = "weights.pkl"
OLD, NEW = content(2000, seed=1), content(3000, seed=2)
STEPS = (
    *((Path, name) for name in ("rename", "mkdir", "write_text", "write_bytes", "unlink")),
    *((os, name) for name in ("fsync",)),
    *((shutil, name) for name in ("rmtree", "copyfileobj")),
)
"""What an installation does to the disk; a child dies before the n-th of them, counted over all."""


def dying(call: Callable[[], object], step: int) -> bool:
    """Whether ``call``, in a process of its own, dies before its step of that number; else it has ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that libraries hold
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    remains = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*arguments: Any, **options: Any) -> Any:
            nonlocal remains
            remains -= 1
            if remains < 0:
                os._exit(9)  # as SIGKILL: nothing is cleaned up
            return real(*arguments, **options)

        return stand_in

    try:
        for owner, name in STEPS:
            setattr(owner, name, counted(getattr(owner, name)))
        call()
    except BaseException:
        os._exit(1)
    os._exit(0)


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Card, Card]:
    """Two states of one checkpoint's card, each with its file imported once the first time."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    instance = []
    for kind, body in (("old", OLD), ("new", NEW)):
        (tmp_path / kind).write_bytes(body)
        file = {"name": NAME, "sha256": sha256(body)}
        instance.append(Card.read(write_card(tmp_path / f"{kind}-cards", "fake", [file])))
    return instance[0], instance[1]


@pytest.mark.parametrize("replacing", [False, True])
def test_killed_at_every_step(cards: tuple[Card, Card], tmp_path: Path, replacing: bool) -> None:
    old, new = cards
    place = cache.folder("fake")
    seen = set()
    for step in range(100):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        if replacing:
            import_files(old, tmp_path / "old", fake_registry())
        died = dying(lambda: import_files(new, tmp_path / "new", fake_registry()), step)
        if not place.exists():
            seen.add("nothing")
        else:
            now = new if sorted(p.stat().st_size for p in place.glob("*.converted")) == [3000] else old
            seen.add("new" if now is new else "old")
            assert verify(now) == ([], [])
        import_files(new, tmp_path / "new", fake_registry())
        assert verify(new) == ([], [])
        for kind in ("staging", "aside"):
            assert list((tmp_path / "cache").glob(f"{kind}/fake")) == []
        if not died:
            break
    assert 12 < step < 99
    assert seen == ({"old", "nothing", "new"} if replacing else {"nothing", "new"})
