"""The hooks and the table of kinds belong together."""

from __future__ import annotations

import inspect

import pytest

from bench.plugins import hookspecs
from bench.plugins.hookspecs import KINDS


def test_every_kind_has_a_hook_and_every_hook_a_kind() -> None:
    names = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction)}
    assert names == {f"register_{kind}" for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_names_its_role(kind: str) -> None:
    hook = getattr(hookspecs, f"register_{kind}")
    assert f"`bench.{KINDS[kind]}`" in (inspect.getdoc(hook) or "")
    assert list(inspect.signature(hook).parameters) == ["register"]
