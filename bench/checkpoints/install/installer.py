"""Checkpoints into the cache: fetched or imported, proven by their reader, moved there whole.

CACHE/checkpoints/NAME/   what is installed; see `bench.cache`
CACHE/partial/NAME/       what has come of a fetch; kept until it is installed
and what `bench.checkpoints.install.staging` keeps.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bench import cache
from bench.checkpoints.cards import Card
from bench.checkpoints.install.staging import alone, link, move_in
from bench.download import AnotherFile, Listener, fetch, forget, is_full, sync, writing
from bench.errors import BenchError, printable
from bench.plugins.registry import registry

if TYPE_CHECKING:
    from bench.checkpoints.readers import Reader


State = Literal["shipped", "installed", "damaged", "pull", "by hand"]
"""``pull``: absent, can be fetched; ``by hand``: absent, a person must fetch it."""

GIVEN, TAKEN = "given by the card", "taken down at installation"
"""Where the hash of a file as it came is from."""


class Refused(BenchError):
    """What was brought is not the checkpoint; ``suspects`` are the files that may be to blame."""

    def __init__(self, message: str, suspects: tuple[str, ...]) -> None:
        super().__init__(message)
        self.suspects = suspects


class _Expected(NamedTuple):
    """What a file must be, as it comes; ``sized``, ``given``: its size, its hash is the card's own."""

    size: int | None
    sha256: str | None
    sized: bool
    given: bool


def pull(card: Card, listener: Listener | None = None) -> bool:
    """Fetch and install a checkpoint; False where it is here and sound already.

    `BenchError` where no program can fetch it, the fetch fails, or what comes is not the checkpoint.
    """
    listener = listener or Listener()
    if card.shipped:
        card.check()
        return False
    with alone(card.name, listener) as staged:
        if _sound(card):
            return False
        refuse_unfetchable(card)
        if cache.folder(card.name).exists():
            listener.notice(f"{card.name}: what is installed is damaged, or not what its card names")
        reader_of(card)  # a format that can't be read is said before anything is fetched
        expected = _expected(card)
        partial = cache.root() / "partial" / card.name
        with writing(partial):
            partial.mkdir(parents=True, exist_ok=True)
        for file in card.files:
            size, sha256, sized, _ = expected[file.name]
            try:
                fetch(str(file.url), partial / file.name, size, sha256, listener)
            except BenchError as error:
                hint = "" if sized or not isinstance(error, AnotherFile) else _hint(card)
                raise BenchError(f"checkpoint {card.name}: {error}{hint}") from error
        with writing(staged):
            for file in card.files:
                link(partial / file.name, staged / file.name)
        try:
            install(card, staged, " ".join(str(file.url) for file in card.files), listener)
        except Refused as refused:
            for name in refused.suspects:
                forget(partial / name)
            raise
        shutil.rmtree(partial, ignore_errors=True)
    return True


def import_files(card: Card, path: Path, listener: Listener | None = None) -> bool:
    """Install a checkpoint from a local file, whatever its name, or from a folder with the card's files.

    They are copied. False where the same was here and sound already. `BenchError` where they are missing
    or not the checkpoint.
    """
    listener = listener or Listener()
    if card.shipped:
        raise BenchError(f"checkpoint {card.name} lies beside its card: there is nothing to import")
    sources = _sources(card, path)
    with alone(card.name, listener) as staged:
        expected = _expected(card)
        reader_of(card)
        called = {name: printable(str(source)) for name, source in sources.items()}
        for name, source in sources.items():
            _refuse_page(card, source, name, called)
            size, found = expected[name].size, source.stat().st_size
            if size is not None and found != size:
                raise BenchError(
                    f"checkpoint {card.name}: {called[name]} has {found} bytes, not {size}: it is another "
                    f"file, or came down in part{'' if expected[name].sized else _hint(card)}"
                )
        had = _files_installed(card) if _sound(card) else None
        for name, source in sources.items():
            listener.working(f"copying {called[name]}")
            try:
                handle = source.open("rb")
            except OSError as error:
                raise BenchError(f"{called[name]} can't be read: {error.strerror}") from error
            with handle, writing(staged / name), (staged / name).open("wb") as out:
                shutil.copyfileobj(handle, out, 1 << 20)
        install(card, staged, str(path.resolve()), listener, called)
        return _files_installed(card) != had


def install(
    card: Card,
    staged: Path,
    source: str,
    listener: Listener | None = None,
    called: Mapping[str, str] | None = None,
) -> Path:
    """Check, prepare, read and move a folder that holds the card's files into the cache; its place there.

    ``called``: what errors call the files. The checkpoint's lock must be held. `Refused` where a hash is
    another or the reader does not take it: then nothing is installed, and what was stays.
    """
    listener, called = listener or Listener(), called or {}
    origin = {}
    for name, (size, sha256, sized, given) in _expected(card).items():
        shown = called.get(name, name)
        listener.working(f"checking {shown}")
        _refuse_page(card, staged / name, name, called)
        found = _facts(staged / name)
        if found["bytes"] != size and size is not None:
            raise Refused(_mismatch(card, shown, f"{found['bytes']} bytes", f"{size}", sized), (name,))
        if found["sha256"] != sha256 and sha256 is not None:
            raise Refused(_mismatch(card, shown, f"sha256 {found['sha256']}", sha256, given), (name,))
        origin[name] = found | {"hash": GIVEN if given else TAKEN}
    listener.working(f"reading {card.name}")
    _prove(card, staged, called)
    files = {
        path.relative_to(staged).as_posix(): _facts(path)
        for path in sorted(staged.rglob("*"))
        if path.is_file()
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {"files": files, "origin": origin, "source": source, "date": date}
    with writing(staged):
        (staged / cache.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        for path in staged.rglob("*"):
            sync(path)
        sync(staged)
        return move_in(staged, card.name)


def verify(card: Card) -> tuple[list[str], list[str]]:
    """Hash every file anew: what is wrong, and what can't be told for want of a hash."""
    try:
        contents = card.contents()
    except BenchError as error:
        return [str(error)], []
    remedy = "restore it" if card.shipped else card.how_to_get()
    wrong, unknown = [], []
    for name, (size, sha256) in contents.items():
        path = card.folder / name
        try:
            cache.check_file(path, size, None, f"checkpoint {card.name}", remedy)
            found = cache.sha256_of(path)
        except BenchError as error:
            wrong.append(str(error))
        except OSError as error:
            wrong.append(f"checkpoint {card.name}: {path} can't be read: {error.strerror}")
        else:
            if sha256 is None:
                unknown.append(f"checkpoint {card.name}: the card has no hash for {path}")
            elif found != sha256:
                wrong.append(
                    f"checkpoint {card.name}: {path} has sha256 {found}, not {sha256}; {remedy}",
                )
    return wrong, unknown


def state(card: Card) -> State:
    """Whether a checkpoint is here, by its files' sizes alone, and if not how it can be had."""
    if not card.shipped and not (cache.folder(card.name) / cache.MANIFEST).exists():
        return "pull" if fetchable(card) else "by hand"
    try:
        for name, (size, _) in card.contents().items():
            cache.check_file(card.folder / name, size, None, card.name, "")
    except BenchError:
        return "damaged"
    return "shipped" if card.shipped else "installed"


def fetchable(card: Card) -> bool:
    """Whether a program can fetch all of its files."""
    return all(file.url and not file.browser for file in card.files)


def refuse_unfetchable(card: Card) -> None:
    """`BenchError` that says what a person has to do, where no program can."""
    if not fetchable(card):
        raise BenchError(f"checkpoint {card.name} can't be fetched by a program: {card.how_to_get()}")


def reader_of(card: Card) -> Reader:
    """The reader of the card's format; `BenchError` where there is none."""
    if card.exact:
        raise BenchError(f"checkpoint {card.name} is closed-form: its files belong beside its card")
    reader: Reader = registry().build("readers", card.format, card.parameters.get("reader", {}))
    return reader


def _prove(card: Card, staged: Path, called: Mapping[str, str]) -> None:
    """Have the reader prepare and read what is staged."""
    doubtful = tuple(name for name, known in _expected(card).items() if known.sha256 is None)
    reader = reader_of(card)
    with writing(staged):
        try:
            reader.prepare(card, staged)
            reader.read(card, staged)
        except BenchError as error:
            told = _told(str(error), called)
            raise Refused(f"checkpoint {card.name}: {told}; nothing was installed", doubtful) from error
        except Exception as error:  # a reader is anyone's code
            if isinstance(error, OSError) and is_full(error):
                raise
            reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))
            told = _told(f"the reader {card.format!r} failed ({reason})", called)
            raise Refused(f"checkpoint {card.name}: {told}; nothing was installed", doubtful) from error


def _told(message: str, called: Mapping[str, str]) -> str:
    """What a reader says, its files called as the user calls them; where it names none, they go before."""
    whole = printable(message, 500)
    if not called:
        return whole
    names = [rf"(?<![\w./-]){re.escape(n)}" if "." in n else rf"^{re.escape(n)}" for n in called]
    changed, count = re.subn(rf"({'|'.join(names)})(?![\w-])", lambda found: called[found[0]], whole)
    first = next(iter(called.values()))
    return changed if count else f"{first if len(called) == 1 else Path(first).parent}: {whole}"


def _refuse_page(card: Card, path: Path, name: str, called: Mapping[str, str]) -> None:
    if cache.is_web_page(path):
        raise Refused(
            f"checkpoint {card.name}: {called.get(name, name)} is a web page, not the file: "
            "fetch it in a browser; nothing was installed",
            (name,),
        )


def _expected(card: Card) -> dict[str, _Expected]:
    """What each file must be: as its card says, else as it was when first installed."""
    found = cache.manifest(card.name) or {}
    origin = found.get("origin") or found.get("files", {})
    expected = {}
    for file in card.files:
        pinned = origin.get(file.name, {}) if file.sha256 is None else {}
        expected[file.name] = _Expected(
            file.size or pinned.get("bytes"),
            file.sha256 or pinned.get("sha256"),
            file.size is not None,
            file.sha256 is not None,
        )
    return expected


def _mismatch(card: Card, name: str, found: str, expected: str, given: bool) -> str:
    hint = "" if given else _hint(card)
    return f"checkpoint {card.name}: {name} has {found}, not {expected}: nothing was installed{hint}"


def _hint(card: Card) -> str:
    """What to do where a file is held to what was first installed, not to its card."""
    return f"; if it may differ from what was first installed, remove {cache.folder(card.name)}"


def _sources(card: Card, path: Path) -> dict[str, Path]:
    """Local file by the card's name of it."""
    names = [file.name for file in card.files]
    if stat.S_ISDIR(_mode(card, path)):
        found = {name: path / name for name in names}
        if len(names) == 1 and not os.path.lexists(path / names[0]):
            raise BenchError(f"checkpoint {card.name} is one file: give the file itself, not its folder")
    elif len(names) == 1:
        found = {names[0]: path}
    else:
        raise BenchError(f"checkpoint {card.name} is {' and '.join(names)}: give the folder that holds them")
    for source in found.values():
        if not stat.S_ISREG(_mode(card, source)):
            raise BenchError(f"checkpoint {card.name}: {printable(str(source))} is not a regular file")
    return found


def _mode(card: Card, path: Path) -> int:
    """What kind of file lies there."""
    shown = printable(str(path))
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BenchError(f"checkpoint {card.name}: there is no file {shown}") from error
    except OSError as error:
        odd = error.errno == errno.ELOOP
        why = "is not a regular file" if odd else f"can't be read: {error.strerror}"
        raise BenchError(f"checkpoint {card.name}: {shown} {why}") from error


def _files_installed(card: Card) -> dict[str, Any] | None:
    return (cache.manifest(card.name) or {}).get("files")


def _sound(card: Card) -> bool:
    """Whether it is installed as it must be."""
    if cache.manifest(card.name) is None:
        return False
    try:
        card.check()
    except BenchError:
        return False
    return True


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": cache.sha256_of(path)}
