"""No room or module of ``bench`` has the name of a public function: importing it would take its place."""

from __future__ import annotations

import inspect
import subprocess
import sys

import bench
from tests.support.paths import ROOT

IMPORT_ALL = """
import importlib, inspect, pkgutil, types
import bench
names = [name for name in bench.__all__ if inspect.isfunction(getattr(bench, name))]
for module in pkgutil.walk_packages(bench.__path__, "bench."):
    if module.name.rpartition(".")[2] != "__main__":
        importlib.import_module(module.name)
wrong = [name for name in names if not callable(getattr(bench, name))]
modules = [name for name in bench.__all__ if isinstance(getattr(bench, name), types.ModuleType)]
assert not wrong and not modules, (wrong, modules)
print(len(names))
"""


def test_no_module_has_the_name_of_a_public_function() -> None:
    modules = {path.stem for path in (ROOT / "bench").iterdir() if path.suffix == ".py" or path.is_dir()}
    functions = {name for name in bench.__all__ if inspect.isfunction(getattr(bench, name))}
    assert not modules & functions


def test_public_functions_stay_callable_when_every_module_is_imported() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) > 0
