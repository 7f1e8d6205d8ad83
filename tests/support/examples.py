"""The worked examples, loaded as their entry points are, without an installation."""

from __future__ import annotations

import importlib
import sys
from functools import cache

from bench.plugins.registry import Registry
from tests.support.paths import ROOT
from tests.support.plugins import empty_registry


@cache
def example(folder: str, name: str) -> Registry:
    """A registry of the plugins of the example in that folder alone, of the module of that name."""
    sys.path.append(str(ROOT / "plugins" / "examples" / folder))
    try:
        module = importlib.import_module(name)
    finally:
        sys.path.pop()
    registry = empty_registry()
    registry.load(module, f"bench-{name}", "0.1.0")
    assert registry.all_problems() == []
    return registry
