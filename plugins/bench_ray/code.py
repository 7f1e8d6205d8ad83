"""What code a process computes with, so that workers can be compared with the command that feeds them."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path


@functools.cache
def code_facts() -> dict[str, str]:
    """Versions of Python, torch and Ray, and version, files and folder of bench and each package of plugins.

    Returns:
        By name, ``VERSION``, or ``VERSION DIGEST in FOLDER`` where files are hashed.
    """
    facts = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in ("torch", "ray"):
        facts[name] = _version(name)
    facts["bench"] = f"{_version('sampler-bench')} {_files('bench')}"
    for distribution in metadata.distributions():
        for point in distribution.entry_points:
            if point.group == "bench":
                package = point.module.partition(".")[0]
                facts[package] = f"{distribution.version} {_files(package)}"
    return facts


def difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """What differs between two processes' facts but folders, in one line; empty where nothing does."""
    parts = []
    for name in sorted(ours.keys() | theirs.keys()):
        here, there = (facts.get(name, "missing") for facts in (ours, theirs))
        if here.partition(" in ")[0] != there.partition(" in ")[0]:
            parts.append(f"{name} {here} here, {there} there")
    return "; ".join(parts)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _files(package: str) -> str:
    """A digest of a package's Python files by their paths in it, and its folder."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return "missing"
    origin = Path(spec.origin)
    files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(origin.parent)}\n".encode())
        total.update(path.read_bytes())
    return f"{total.hexdigest()[:12]} in {origin.parent}"
