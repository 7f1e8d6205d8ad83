"""No room or module of ``bench`` has the name of a public function: importing it would take its place."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types

import bench
from tests.support.paths import ROOT


def test_no_module_has_the_name_of_a_public_function() -> None:
    modules = {path.stem for path in (ROOT / "bench").iterdir() if path.suffix == ".py" or path.is_dir()}
    functions = {name for name in bench.__all__ if inspect.isfunction(getattr(bench, name))}
    assert not modules & functions


def test_public_functions_stay_callable_when_every_module_is_imported() -> None:
    names = [name for name in bench.__all__ if inspect.isfunction(getattr(bench, name))]
    assert names
    for module in pkgutil.walk_packages(bench.__path__, "bench."):
        if module.name.rpartition(".")[2] != "__main__":
            importlib.import_module(module.name)
    assert [name for name in names if not callable(getattr(bench, name))] == []
    assert [name for name in bench.__all__ if isinstance(getattr(bench, name), types.ModuleType)] == []
