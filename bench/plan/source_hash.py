"""Hashes of the code that decides numbers, so that edited code counts as new without a new version.

Code is read, never imported or run. An import whose name is computed at run time
(`importlib.import_module`, ``__import__``) can't be seen; a plugin names its file in `Plugin.files`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

from bench.files import read_file
from bench.plan.syntax import DIGITS, Import, digest, imported_modules, initializer_digest, source_digest

CORE: dict[Literal["samples", "metrics"], tuple[str, ...]] = {
    "samples": (
        "diffusion",
        "closed_form",
        "checkpoints",
        "tasks",
        "data",
        "devices.py",
        "engine/batch.py",
        "engine/session.py",
    ),
    "metrics": ("metrics", "closed_form", "data", "devices.py", "checkpoints/exact.py"),
}
"""Files and folders of ``bench`` that decide the numbers of a batch, and the values of metrics."""

Origin = Literal["core", "standard", "library", "source", "unknown"]
"""The origin of a module's code: ``bench``, Python, an installed distribution, or files that are hashed by
their source; ``unknown`` for a module that is not found."""

NOT_CORE = ("checkpoints/install",)
"""Folders within those of `CORE` that decide no number."""


@dataclasses.dataclass(frozen=True)
class CodeIdentity:
    """The code that a plugin depends on.

    Attributes:
        code: Digest of the syntax trees of all modules that are hashed by source, and of the class's name.
        libraries: Versions of the distributions whose modules are imported, by name.
        files: Digests of the files that the plugin declares, by path as declared.
        complete: Whether all of the code could be read. If not, no record may be reused.
    """

    code: str
    libraries: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    complete: bool = True

    @property
    def digest(self) -> str:
        """One hash of all: 16 hexadecimal digits."""
        return digest(self.code, repr(sorted(self.libraries.items())), repr(sorted(self.files.items())))


@functools.cache
def core_hash(part: Literal["samples", "metrics"] = "samples") -> str:
    """Digest of the core's modules that decide the numbers of samples, or those of metrics."""
    root = Path(__file__).parents[1]
    return tree_hash(root, core_files(part))


def core_files(part: Literal["samples", "metrics"] = "samples") -> list[Path]:
    """The files that `core_hash` covers, sorted."""
    root = Path(__file__).parents[1]
    skipped = [root / folder for folder in NOT_CORE]
    files: set[Path] = set()
    for place in CORE[part]:
        path = root / place
        files |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return sorted(file for file in files if not any(file.is_relative_to(folder) for folder in skipped))


def tree_hash(root: Path, files: Iterable[Path]) -> str:
    """Digest of the syntax trees of files and of their places below ``root``."""
    return digest(
        *(f"{file.relative_to(root).as_posix()}={source_digest(file.read_bytes())}" for file in files)
    )


def code_hash(cls: type) -> CodeIdentity:
    """The code that a plugin class of a module depends on, read anew at each call.

    These are hashed by their source: the class's module, the modules of its own package that it imports, and
    every imported module that no installed distribution holds (a module beside it, a folder on the path, an
    editable installation). Imports within functions and imports of imports are included. Installed
    distributions are hashed by version, ``bench`` by `core_hash`, the standard library not at all.

    A call takes about a millisecond: call it once per plan, not once per run. Reload a module that is edited
    after its import; otherwise the hash of the new code names numbers of the old one.
    """
    module = _module_name(cls)
    closure = ModuleClosure(own=module.partition(".")[0])
    try:
        file = Path(inspect.getfile(cls))
    except (OSError, TypeError):
        return CodeIdentity(code="unknown", complete=False)
    closure.add_file(module, file)
    closure.add(*(Import(name) for name in getattr(cls, "modules", ())))
    files, present = declared_files(cls, file.parent)
    code = digest(f"{module}.{cls.__qualname__}", closure.digest)
    return CodeIdentity(code, closure.libraries, files, closure.complete and present)


def declared_files(cls: type, folder: Path) -> tuple[dict[str, str], bool]:
    """Digests of the files that a plugin class declares, and whether all of them can be read."""
    names: Sequence[str] = getattr(cls, "files", ())
    digests: dict[str, str] = {}
    for name in names:
        try:
            content = read_file(folder / name)
        except OSError:
            return digests, False
        digests[name] = hashlib.sha256(content).hexdigest()[:DIGITS]
    return digests, True


def _module_name(cls: type) -> str:
    """The class's module; for a module that runs as ``python -m``, the name it is imported by."""
    spec = getattr(sys.modules.get(cls.__module__), "__spec__", None)
    return spec.name if cls.__module__ == "__main__" and spec is not None else cls.__module__


class ModuleClosure:
    """Modules, and what they import, transitively.

    Args:
        own: Top-level package whose modules are always hashed by source, however it is installed.
    """

    def __init__(self, own: str = "") -> None:
        self.own = own
        self.root: Path | None = None
        self.sources: dict[str, str] = {}
        """Digests of the modules that are hashed by source, by the module's name."""
        self.libraries: dict[str, str] = {}
        self.complete = True

    @property
    def digest(self) -> str:
        """Digest of all sources; versions of libraries are not part of it."""
        return digest(*(f"{name}={value}" for name, value in sorted(self.sources.items())))

    def add_file(self, module: str, file: Path) -> None:
        """Add the plugin's own module, which need not be importable by its name."""
        if module.partition(".")[0] == self.own:
            depth = module.count(".") + (file.name == "__init__.py")
            self.root = file.parents[depth] if depth < len(file.parents) else file.parent
        self._add_sources([(module, file)])

    def add(self, *imports: Import) -> None:
        """Add imported modules; those that can't be found are ignored."""
        self._add_sources([pair for item in imports for pair in self._files(item)])

    def _add_sources(self, waiting: list[tuple[str, Path]]) -> None:
        while waiting:
            name, file = waiting.pop()
            if name in self.sources:
                continue
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            try:
                content = read_file(file)
                if file.suffix != ".py":  # an extension module, or bytecode without its source
                    self.sources[name] = digest(content)
                    continue
                self.sources[name] = source_digest(content)
                imports = imported_modules(content, package)
            except (OSError, SyntaxError, ValueError):
                self.sources[name] = "unreadable"
                self.complete = False
                continue
            for other in sorted(imports):
                waiting += self._files(other)
            if name.partition(".")[0] == self.own != "bench":
                self._add_initializers(name)

    def _add_initializers(self, name: str) -> None:
        """Add the code of the packages around a module of the own package, except for registrations."""
        parents = name.split(".")[:-1]
        for depth in range(len(parents)):
            parent = ".".join(parents[: depth + 1])
            file = self._place(parent).file
            if file is None or file.suffix != ".py" or f"{parent} (initializer)" in self.sources:
                continue
            try:
                text = initializer_digest(read_file(file))
            except (OSError, SyntaxError, ValueError):
                self.complete = False
            else:
                self.sources |= {f"{parent} (initializer)": text} if text else {}

    def origin(self, name: str) -> Origin:
        """The origin of a module's code; records the version of a library."""
        return self._resolve(name)[0]

    def _files(self, item: Import) -> list[tuple[str, Path]]:
        """The modules that an import runs and that are hashed by source; records libraries."""
        submodule = self._resolve(f"{item.module}.{item.name}")[1] if item.name else []
        if submodule and item.module.partition(".")[0] == self.own:
            return submodule  # `_add_initializers` adds the rest of its package
        return self._resolve(item.module)[1] + submodule

    def _resolve(self, name: str) -> tuple[Origin, list[tuple[str, Path]]]:
        parts = name.split(".")
        if parts[0] == "bench":
            return "core", []
        if parts[0] == self.own:  # `_add_initializers` adds the packages around it
            file = self._place(name).file
            return ("source", [(name, file)]) if file is not None else ("unknown", [])
        files: list[tuple[str, Path]] = []
        for depth in range(1, len(parts) + 1):
            prefix = ".".join(parts[:depth])
            place = self._place(prefix)
            if place.standard:
                return "standard", []
            if place.file is None:
                continue
            distribution = distribution_of(parts[0], place.file)
            if distribution is not None:
                self.libraries[distribution] = version(distribution)
                return "library", files
            files.append((prefix, place.file))
        return ("source" if files else "unknown"), files

    def _place(self, name: str) -> _Place:
        if name.partition(".")[0] == self.own and self.root is not None:
            place = _below([self.root], name)
            if place.file is not None:
                return place
        return _locate(name)


@dataclasses.dataclass(frozen=True)
class _Place:
    """A module's file (None for a namespace package, or if not found), and its folders as a package."""

    file: Path | None = None
    folders: tuple[Path, ...] = ()
    standard: bool = False


def _locate(name: str) -> _Place:
    """Find a module as an import would, without importing it or its parents."""
    loaded = sys.modules.get(name)
    if isinstance(loaded, ModuleType) and getattr(loaded, "__spec__", None) is not None:
        file = getattr(loaded, "__file__", None)
        folders = tuple(Path(folder) for folder in getattr(loaded, "__path__", ()))
        if file is not None or folders:
            return _of_file(None if file is None else Path(file), folders)
    parent, _, last = name.rpartition(".")
    if parent:
        return _below(_locate(parent).folders, last)
    if name in sys.builtin_module_names:
        return _Place(standard=True)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return _Place()
    if spec is None:
        return _Place()
    if spec.origin in ("built-in", "frozen"):
        return _Place(standard=True)
    folders = tuple(Path(folder) for folder in spec.submodule_search_locations or ())
    return _of_file(Path(spec.origin) if spec.has_location and spec.origin else None, folders)


def _of_file(file: Path | None, folders: tuple[Path, ...]) -> _Place:
    standard = file is not None and _is_standard(file)
    return _Place(file, folders, standard)


def _below(folders: Iterable[Path], name: str) -> _Place:
    """The module ``name`` (with dots for a module further down) in one of the folders."""
    portions = list(folders)
    place = _Place()
    for part in name.split("."):
        place = _in_folders(portions, part)
        portions = list(place.folders)
    return place


def _in_folders(folders: Sequence[Path], name: str) -> _Place:
    portions: list[Path] = []
    suffixes = importlib.machinery.all_suffixes()
    for folder in folders:
        here = folder / name
        for suffix in suffixes:
            if (here / f"__init__{suffix}").is_file():
                return _Place(here / f"__init__{suffix}", (here,))
            if (folder / f"{name}{suffix}").is_file():
                return _Place(folder / f"{name}{suffix}")
        if here.is_dir():
            portions.append(here)
    return _Place(None, tuple(portions))


_SITES = ("site-packages", "dist-packages")


@functools.cache
def _standard_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.realpath(paths[key]) + os.sep for key in ("stdlib", "platstdlib")})


def _is_standard(file: Path) -> bool:
    path = os.path.realpath(file)
    return path.startswith(_standard_folders()) and not any(site in Path(path).parts for site in _SITES)


@functools.cache
def _owners() -> dict[str, list[str]]:
    return {name: sorted(set(owners)) for name, owners in metadata.packages_distributions().items()}


@functools.cache
def distribution_of(top: str, file: Path) -> str | None:
    """The distribution that installed a module's file; None for others, as of an editable installation."""
    # most modules have the name of their distribution, which spares reading what all the others hold
    if _installed(top, file):
        return top
    return next((name for name in _owners().get(top, []) if _installed(name, file)), None)


def _installed(name: str, file: Path) -> bool:
    """Whether the distribution of that name exactly installed the file."""
    try:
        distribution = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return False
    root = Path(str(distribution.locate_file("")))
    if distribution.metadata["Name"] != name:  # the fingerprint has the name as the distribution spells it
        return False
    record = distribution.read_text("RECORD")
    if record is None:  # a system's packages come without one
        return root.name in _SITES and file.is_relative_to(root)
    try:
        relative = file.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return False
    return f"\n{relative}," in f"\n{record}"


@functools.cache
def version(distribution: str) -> str:
    """The installed version of a distribution."""
    return metadata.version(distribution)
