"""What of this installation works, what is absent, and what to do. Nothing here fetches or installs."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from bench import __version__, cache
from bench.checkpoints.install.states import ABSENT, state
from bench.errors import BenchError, printable
from bench.plugins.registry import Registry
from bench.reporting.text import count
from bench.types import JSONObject

DISTRIBUTION = "sampler-bench"

State = Literal["ok", "absent", "broken"]
"""``absent``: not here, and not needed or fetched at the first use; ``broken``: to be mended."""

LOADED = ("torch", "torchvision")
"""Libraries that are imported, because their builds may not fit each other; of others the version is read."""

OPTIONAL = {
    "azula": ("azula", "--solver azula:NAME"),
    "diffusers": ("diffusers", "--solver diffusers:NAME"),
    "k-diffusion": ("kdiffusion", "--solver kdiffusion:NAME"),
    "ray": ("ray", "--executor ray"),
    "tensorboard": ("tensorboard", "--logger tensorboard"),
}
"""Libraries of extras, each with its extra and what needs it."""

LONGEST_SCRIPT = 65_536
"""Bytes of a command's file that are read."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """The state of one thing.

    Args:
        subject: What it is.
        state: Whether it works.
        detail: Its version, place or error.
        remedy: What to do; empty where nothing is to be done.
    """

    subject: str
    state: State
    detail: str
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """All conditions, by section.

    Args:
        sections: Conditions by the name of their section.
    """

    sections: dict[str, tuple[Condition, ...]]

    @property
    def works(self) -> bool:
        """Whether nothing is broken."""
        return all(one.state != "broken" for part in self.sections.values() for one in part)

    def plain(self) -> JSONObject:
        """The diagnosis as JSON data."""
        plain: JSONObject = {"works": self.works}
        for name, part in self.sections.items():
            plain[name] = [dataclasses.asdict(one) for one in part]
        return plain


def diagnose(registry: Registry) -> Diagnosis:
    """The state of this installation.

    Args:
        registry: The plugins.

    Returns:
        Conditions of program, libraries, devices, caches, plugins and files.
    """
    return Diagnosis(
        {
            "program": tuple(_program()),
            "libraries": tuple(_libraries()),
            "devices": tuple(_devices()),
            "caches": tuple(_caches()),
            "plugins": tuple(_plugins(registry)),
            "files": tuple(_files(registry)),
        }
    )


def _program() -> Iterator[Condition]:
    """This program, this Python, and other packages and commands of the name ``bench``."""
    folder = Path(__file__).parents[1]
    yield Condition("bench", "ok", f"sampler-bench {__version__} in {folder}")
    yield Condition("python", "ok", f"{platform.python_version()}, {sys.executable}")
    for name in _namesakes():
        yield Condition(
            f"package of {name}",
            "broken",
            "has a package or a command bench in this environment too, and overwrites files",
            "install sampler-bench into an environment of its own",
        )
    commands = list(_commands(os.environ.get("PATH", "")))
    if not commands:
        yield Condition(
            "command",
            "absent",
            "no bench on the PATH",
            "python -m bench is the same; or activate the environment",
        )
    for number, (path, own) in enumerate(commands):
        what = "this project's" if own else "another program of the name"
        place = f"{path}, {what}" + (", the one that a shell runs" if number == 0 else "")
        remedy = "" if own else "python -m bench always runs this one"
        yield Condition("command", "ok" if own else "absent", place, remedy)


def _namesakes() -> list[str]:
    """Other distributions here with a package or a command ``bench``."""
    others = set()
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"] or ""
        top = (distribution.read_text("top_level.txt") or "").split()
        scripts = distribution.entry_points.select(group="console_scripts", name="bench")
        if name.lower().replace("_", "-") != DISTRIBUTION and ("bench" in top or scripts):
            others.add(printable(name, 100))
    return sorted(others)


def _commands(search_path: str) -> Iterator[tuple[Path, bool]]:
    """Each ``bench`` on the PATH in the shell's order, and whether it runs this project."""
    seen = set()
    for folder in search_path.split(os.pathsep):
        file = shutil.which("bench", path=folder) if folder else None
        if file is None or (path := Path(file)).resolve() in seen:
            continue
        seen.add(path.resolve())
        try:
            with path.open("rb") as handle:
                text = handle.read(LONGEST_SCRIPT)
        except OSError:
            text = b""
        yield path, b"bench.cli import main" in text


def _libraries() -> Iterator[Condition]:
    """What the package asks for, and what extras add."""
    try:
        required = [line for line in metadata.requires(DISTRIBUTION) or () if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        yield Condition(
            DISTRIBUTION,
            "broken",
            "runs from a folder, not installed: its plugins are unknown",
            "pip install -e .",
        )
        return
    for name in sorted(line.split(">")[0].split("<")[0].split("=")[0].strip() for line in required):
        yield _library(name, "broken", f"pip install {name}")
    yield _library("torchvision", "broken", "pip install torchvision")
    for name, (extra, use) in OPTIONAL.items():
        yield _library(name, "absent", f"pip install 'sampler-bench[{extra}]' for {use}")


def _library(name: str, otherwise: State, remedy: str) -> Condition:
    """A library's version, or its state where it is not here or can't be imported."""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Condition(name, otherwise, "not installed", remedy)
    if name in LOADED:
        try:
            import_module(name)
        except Exception as error:
            detail = printable(f"{version} can't be imported: {type(error).__name__}: {error}", 200)
            builds = "install torch and torchvision again, both from one index and of one build"
            return Condition(name, "broken", detail, builds)
    return Condition(name, "ok", version)


def _devices() -> Iterator[Condition]:
    """The processor, and each GPU."""
    try:
        import torch
    except ImportError:
        return
    cores, threads = count(os.cpu_count() or 1, "core"), count(torch.get_num_threads(), "thread")
    yield Condition("cpu", "ok", f"{torch.backends.cpu.get_cpu_capability()}, {cores}, {threads}")
    if not torch.cuda.is_available():
        why = "no GPU, or no driver" if torch.version.cuda else "PyTorch is built for CPUs alone"
        yield Condition("cuda", "absent", why, "runs are on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        size = f"{properties.total_memory / 2**30:.0f} GiB"
        yield Condition(f"cuda:{index}", "ok", f"{properties.name}, {size}, CUDA {torch.version.cuda}")


def _caches() -> Iterator[Condition]:
    """The cache folder: whether it can be written, what it holds, and what is free."""
    remedy = "set BENCH_CACHE to a folder that you can write"
    try:
        folder = cache.root()
    except BenchError as error:
        yield Condition("cache", "broken", str(error), remedy)
        return
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        yield Condition("cache", "broken", f"{folder} can't be written", remedy)
        return
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    free = shutil.disk_usage(existing).free
    held = f"{count(len(sizes), 'file')}, {sum(sizes) / 1e9:.2f} GB" if folder.exists() else "empty"
    yield Condition("cache", "ok", f"{folder}: {held}; {free / 1e9:.1f} GB free on its disk")


def _plugins(registry: Registry) -> Iterator[Condition]:
    """How many plugins there are, and what was skipped."""
    distributions = {entry.distribution for entries in registry.entries.values() for entry in entries}
    yield Condition(
        "plugins",
        "ok",
        f"{len(registry.entries)} of {count(len(distributions), 'package')}",
        "bench list plugins",
    )
    for problem in registry.all_problems():
        yield Condition("plugin", "broken", problem.message, "install another version of it, or remove it")


def _files(registry: Registry) -> Iterator[Condition]:
    """Weights and statistics of extractors, and checkpoints."""
    for entry in registry.of_kind("extractors"):
        for file, remedy in entry.thing().absent_files().items():
            yield Condition(f"extractor {entry.name}", "absent", f"{file} is not here", remedy)
    names: dict[str, list[str]] = {}
    for entry in registry.of_kind("checkpoints"):
        names.setdefault(state(entry.thing), []).append(entry.name)
    for name in names.pop("damaged", []):
        remedy = f"bench checkpoints pull {name} after its folder is removed"
        yield Condition(f"checkpoint {name}", "broken", "a file is missing or of another size", remedy)
    here = sum(len(group) for kind, group in names.items() if kind not in ABSENT)
    absent = sum(len(names.get(kind, ())) for kind in ABSENT)
    yield Condition("checkpoints", "ok", f"{here} here", "bench checkpoints list")
    if absent:
        yield Condition(
            "checkpoints", "absent", f"{absent} not here", "bench checkpoints pull NAME fetches one"
        )
