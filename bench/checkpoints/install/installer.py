"""Installation of checkpoints in the cache: fetched or imported, read by their reader, moved there whole.

CACHE/checkpoints/NAME/   what is installed; see `bench.cache`
CACHE/partial/NAME/       the received parts of a fetch, until it is installed
and the folders of `bench.checkpoints.install.staging`.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench import cache
from bench.cache import Manifest, StoredFile, is_full, sync, writing
from bench.checkpoints.cards import Card
from bench.checkpoints.install.staging import exclusive, link, move_in
from bench.checkpoints.install.states import refuse_unfetchable
from bench.checkpoints.resolve import own_sde, reader_of
from bench.download import SizeMismatchError, fetch, forget, kept_bytes
from bench.errors import BenchError, printable
from bench.events import Emit, Notice, Working, silent
from bench.files import check_regular

if TYPE_CHECKING:
    from bench.diffusion.sde import SDE
    from bench.plugins.registry import Registry

BY_CARD, RECORDED = "given by the card", "recorded at installation"
"""Where the hash of a file as it came is from."""


class WrongFilesError(BenchError):
    """The files are not the checkpoint; ``suspects`` are those that may be to blame."""

    def __init__(self, message: str, suspects: tuple[str, ...]) -> None:
        super().__init__(message)
        self.suspects = suspects


class _Expected(NamedTuple):
    """What a file must be, as it comes; whether its size and its hash are the card's own."""

    size: int | None
    sha256: str | None
    size_by_card: bool
    hash_by_card: bool


def pull(card: Card, registry: Registry, emit: Emit = silent) -> bool:
    """Fetch and install a checkpoint.

    Args:
        card: The checkpoint.
        registry: Where its reader is looked up.
        emit: Receives the progress.

    Returns:
        Whether it was installed now; False where it is here and sound.

    Raises:
        BenchError: No program can fetch it, the fetch fails, or the files are not the checkpoint.
    """
    if card.shipped:
        card.check()
        return False
    with exclusive(card.name, emit) as staged:
        if _sound(card):
            return False
        refuse_unfetchable(card)
        if cache.folder(card.name).exists():
            emit(Notice(f"{card.name}: what is installed is damaged, or not what its card names"))
        reader_of(card, registry)  # an unknown format is reported before anything is fetched
        expected = _expected(card)
        partial = cache.root() / "partial" / card.name
        with writing(partial):
            partial.mkdir(parents=True, exist_ok=True)
        for file in card.files:
            size, sha256, size_by_card, _ = expected[file.name]
            try:
                fetch(str(file.url), partial / file.name, size, sha256, emit)
            except BenchError as error:
                hint = "" if size_by_card or not isinstance(error, SizeMismatchError) else _hint(card)
                raise BenchError(f"checkpoint {card.name}: {error}{hint}") from error
        with writing(staged):
            for file in card.files:
                link(partial / file.name, staged / file.name)
        try:
            install(card, staged, " ".join(str(file.url) for file in card.files), registry, emit)
        except WrongFilesError as error:
            for name in error.suspects:
                forget(partial / name)
            raise
        shutil.rmtree(partial, ignore_errors=True)
    return True


def received_bytes(card: Card) -> int:
    """Number of bytes of an unfinished `pull` that the next one would not fetch again."""
    partial = cache.root() / "partial" / card.name
    expected = _expected(card)
    return sum(
        kept_bytes(str(file.url), partial / file.name, expected[file.name].sha256) for file in card.files
    )


def import_files(card: Card, path: Path, registry: Registry, emit: Emit = silent) -> bool:
    """Install a checkpoint from local files, which are copied.

    Args:
        card: The checkpoint.
        path: Its file, whatever its name, or a folder that holds the card's files.
        registry: Where its reader is looked up.
        emit: Receives the progress.

    Returns:
        Whether anything changed; False where the same files were installed and sound.

    Raises:
        BenchError: The files are missing or not the checkpoint.
    """
    if card.shipped:
        raise BenchError(f"checkpoint {card.name} is beside its card: there is nothing to import")
    sources = _sources(card, path)
    with exclusive(card.name, emit) as staged:
        expected = _expected(card)
        reader_of(card, registry)
        labels = {name: printable(str(source)) for name, source in sources.items()}
        for name, source in sources.items():
            _refuse_page(card, source, name, labels)
            size, actual = expected[name].size, source.stat().st_size
            if size is not None and actual != size:
                raise BenchError(
                    f"checkpoint {card.name}: {labels[name]} has {actual} bytes, not {size}: it is another "
                    f"file, or came down in part{'' if expected[name].size_by_card else _hint(card)}"
                )
        before = _files_installed(card) if _sound(card) else None
        for name, source in sources.items():
            emit(Working(f"copying {labels[name]}"))
            try:
                check_regular(source)
                handle = source.open("rb")
            except OSError as error:
                raise BenchError(f"{labels[name]} can't be read: {error.strerror}") from error
            with handle, writing(staged / name), (staged / name).open("wb") as out:
                shutil.copyfileobj(handle, out, 1 << 20)
        install(card, staged, str(path.resolve()), registry, emit, labels)
        return _files_installed(card) != before


def install(
    card: Card,
    staged: Path,
    source: str,
    registry: Registry,
    emit: Emit = silent,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Check, prepare and read a folder that holds the card's files, then move it into the cache.

    The checkpoint's lock must be held.

    Args:
        card: The checkpoint.
        staged: The folder.
        source: Where the files are from; recorded.
        registry: Where the reader is looked up.
        emit: Receives the progress.
        labels: What errors call the files, by the card's name of each.

    Returns:
        The folder in the cache.

    Raises:
        WrongFilesError: A hash differs, or the reader refuses the files: nothing is installed, and what was
            installed stays.
    """
    labels = labels or {}
    origin = {}
    for name, (size, sha256, size_by_card, hash_by_card) in _expected(card).items():
        label = labels.get(name, name)
        emit(Working(f"checking {label}"))
        _refuse_page(card, staged / name, name, labels)
        file = _facts(staged / name)
        if size is not None and file.size != size:
            message = _mismatch(card, label, f"{file.size} bytes", f"{size}", size_by_card)
            raise WrongFilesError(message, (name,))
        if sha256 is not None and file.sha256 != sha256:
            message = _mismatch(card, label, f"sha256 {file.sha256}", sha256, hash_by_card)
            raise WrongFilesError(message, (name,))
        origin[name] = file.model_copy(update={"hash": BY_CARD if hash_by_card else RECORDED})
    emit(Working(f"reading {card.name}"))
    _test_reading(card, staged, registry, labels)
    files = {
        path.relative_to(staged).as_posix(): _facts(path)
        for path in sorted(staged.rglob("*"))
        if path.is_file()
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(files=files, origin=origin, source=source, date=date)
    with writing(staged):
        (staged / cache.MANIFEST).write_text(manifest.text())
        for path in staged.rglob("*"):
            sync(path)
        sync(staged)
        return move_in(staged, card.name)


def _known_sde(card: Card, registry: Registry) -> SDE | None:
    """The SDE of the card; None where its plugin is not installed, which loading reports."""
    try:
        return own_sde(card, registry)
    except BenchError:
        return None


def _test_reading(card: Card, staged: Path, registry: Registry, labels: Mapping[str, str]) -> None:
    """Have the reader prepare and read the staged files."""
    doubtful = tuple(name for name, expected in _expected(card).items() if expected.sha256 is None)
    reader = reader_of(card, registry)
    with writing(staged):
        try:
            reader.prepare(card, staged)
            reader.read(card, staged, _known_sde(card, registry))
        except BenchError as error:
            reason = _relabel(str(error), labels)
            message = f"checkpoint {card.name}: {reason}; nothing was installed"
            raise WrongFilesError(message, doubtful) from error
        except Exception as error:  # a reader is anyone's code
            if isinstance(error, OSError) and is_full(error):
                raise
            cause = printable(" ".join(f"{type(error).__name__}: {error}".split()))
            reason = _relabel(f"the reader {card.format!r} failed ({cause})", labels)
            message = f"checkpoint {card.name}: {reason}; nothing was installed"
            raise WrongFilesError(message, doubtful) from error


def _relabel(message: str, labels: Mapping[str, str]) -> str:
    """A reader's message with the user's names of the files; they precede it where it names no file."""
    whole = printable(message, 500)
    if not labels:
        return whole
    names = [rf"(?<![\w./-]){re.escape(n)}" if "." in n else rf"^{re.escape(n)}" for n in labels]
    changed, count = re.subn(rf"({'|'.join(names)})(?![\w-])", lambda match: labels[match[0]], whole)
    first = next(iter(labels.values()))
    return changed if count else f"{first if len(labels) == 1 else Path(first).parent}: {whole}"


def _refuse_page(card: Card, path: Path, name: str, labels: Mapping[str, str]) -> None:
    if cache.is_web_page(path):
        raise WrongFilesError(
            f"checkpoint {card.name}: {labels.get(name, name)} is a web page, not the file: "
            "fetch it in a browser; nothing was installed",
            (name,),
        )


def _expected(card: Card) -> dict[str, _Expected]:
    """What each file must be: as its card says, else as its first installation recorded it."""
    manifest = cache.manifest(card.name)
    expected = {}
    for file in card.files:
        recorded = None if manifest is None or file.sha256 else manifest.fetched.get(file.name)
        expected[file.name] = _Expected(
            file.size or (recorded.size if recorded else None),
            file.sha256 or (recorded.sha256 if recorded else None),
            file.size is not None,
            file.sha256 is not None,
        )
    return expected


def _mismatch(card: Card, name: str, actual: str, expected: str, by_card: bool) -> str:
    hint = "" if by_card else _hint(card)
    return f"checkpoint {card.name}: {name} has {actual}, not {expected}: nothing was installed{hint}"


def _hint(card: Card) -> str:
    """What to do where a file is compared with the first installation, not with its card."""
    return f"; if it may differ from what was first installed, remove {cache.folder(card.name)}"


def _sources(card: Card, path: Path) -> dict[str, Path]:
    """The local file of each file of the card."""
    names = [file.name for file in card.files]
    if stat.S_ISDIR(_mode(card, path)):
        sources = {name: path / name for name in names}
        if len(names) == 1 and not os.path.lexists(path / names[0]):
            raise BenchError(f"checkpoint {card.name} is one file: give the file itself, not its folder")
    elif len(names) == 1:
        sources = {names[0]: path}
    else:
        raise BenchError(f"checkpoint {card.name} is {' and '.join(names)}: give the folder that holds them")
    for source in sources.values():
        if not stat.S_ISREG(_mode(card, source)):
            raise BenchError(f"checkpoint {card.name}: {printable(str(source))} is not a regular file")
    return sources


def _mode(card: Card, path: Path) -> int:
    """The kind of file at ``path``; `BenchError` where there is none."""
    label = printable(str(path))
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BenchError(f"checkpoint {card.name}: there is no file {label}") from error
    except OSError as error:
        odd = error.errno == errno.ELOOP
        why = "is not a regular file" if odd else f"can't be read: {error.strerror}"
        raise BenchError(f"checkpoint {card.name}: {label} {why}") from error


def _files_installed(card: Card) -> dict[str, StoredFile] | None:
    manifest = cache.manifest(card.name)
    return None if manifest is None else manifest.files


def _sound(card: Card) -> bool:
    """Whether it is installed as it must be."""
    if cache.manifest(card.name) is None:
        return False
    try:
        card.check()
    except BenchError:
        return False
    return True


def _facts(path: Path) -> StoredFile:
    return StoredFile(size=path.stat().st_size, sha256=cache.sha256_of(path))
