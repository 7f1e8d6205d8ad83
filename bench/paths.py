"""Where the project's own files are: in a checkout beside the package, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent
_ROOT = _CHECKOUT if (_CHECKOUT / "registry" / "cards").is_dir() else _PACKAGE / "_data"

REGISTRY = _ROOT / "registry"
"""Checkpoint cards, small weights, reference statistics, published figures."""

SHIPPED_TOML = _ROOT / "bench.toml"
"""The shipped bench.toml: defaults and profiles."""
