"""What ``bench new`` writes: an installable package with one plugin, from the templates in this folder."""

from __future__ import annotations

import importlib.util
import keyword
import re
import string
import tempfile
from pathlib import Path

from bench import __version__
from bench.errors import BenchError
from bench.plugins.registry import Registry

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*")

_FIRST_RUN = {
    "predictor": "bench run --checkpoint gaussian-cifar10 --predictor $module --steps 100",
    "corrector": "bench run --checkpoint gaussian-cifar10 --corrector $module --steps 100",
    "solver": "bench run --checkpoint gaussian-cifar10 --solver $module",
    "sde": "bench run --checkpoint gaussian-cifar10 --sde $module --predictor ancestral --steps 100",
    "grid": "bench run --checkpoint gaussian-cifar10 --predictor ddim --grid $module --steps 10",
    "metric": "bench run --checkpoint gaussian-cifar10 --metric $module --steps 100",
    "executor": "bench run --checkpoint gaussian-cifar10 --executor $module --steps 100",
    "logger": "bench run --checkpoint gaussian-cifar10 --logger $module --steps 100",
    "task": "bench run --checkpoint gaussian-cifar10 --task $module",
    "dataset": "bench stats build $module --extractor pixels",
    "parametrisation": "bench check $module -P sigma_data=0.25",
    "label": "bench check $module -P factor=1000",
    "reader": "bench list readers",
    "fitted": (
        "bench fit $module --checkpoint gaussian-cifar10 --nfe 5 -o $module-5.json\n"
        "bench run --checkpoint gaussian-cifar10 --predictor ddim --steps 5 --grid $module "
        "-P grid.artifact=$module-5.json"
    ),
}
"""First commands for a plugin of each role, one a line."""

ROLES = tuple(_FIRST_RUN)
"""What there is a template for: the roles, and ``fitted``, a grid with a fit."""


def module_name(name: str) -> str:
    """The module and plugin name of a distribution called ``name``."""
    return name.replace("-", "_").lower()


def role_of_template(template: str) -> str:
    """The plugin's role: what the template is called, but for ``fitted``."""
    return "grid" if template == "fitted" else template


def first_runs(role: str, name: str) -> list[str]:
    """Commands that use the new plugin.

    Args:
        role: One of `ROLES`.
        name: The distribution's name.
    """
    return string.Template(_FIRST_RUN[role]).substitute(module=module_name(name)).splitlines()


def create(role: str, name: str, folder: Path, registry: Registry) -> list[Path]:
    """Write the package into the new ``folder``/``name``.

    Args:
        role: The plugin's role, or ``fitted``: one of `ROLES`.
        name: The distribution's name; hyphens become underscores in the module's and the plugin's name.
        folder: Where the package's folder is made.
        registry: The plugins whose names are taken.

    Returns:
        The files' paths: pyproject.toml, the module, its test, and README.md.

    Raises:
        BenchError: The name can't be a module's or is taken, or the folder exists.
    """
    module = module_name(name)
    if not _NAME.fullmatch(name) or keyword.iskeyword(module):
        raise BenchError(
            f"{name!r} can't be a plugin's name: use letters and digits, joined by - or _, a letter first"
        )
    own = role_of_template(role)
    if registry.entries.get((f"{own}s", module)):
        owner = registry.entries[f"{own}s", module][0].distribution
        raise BenchError(f"there is a {own} {module!r} already, of {owner}: choose another name")
    if importlib.util.find_spec(module) is not None:
        raise BenchError(f"there is a Python module {module!r} already: choose another name")
    target = folder / name
    if target.exists():
        raise BenchError(f"{target} exists already: choose another name, or remove it")
    title = "".join(part.capitalize() for part in re.split("[-_]", name))
    words = {"name": name, "module": module, "title": title, "role": own, "version": __version__}
    words["try_it"] = "\n".join(f"    {command}" for command in first_runs(role, name))
    files = {
        "pyproject.toml": "pyproject.toml",
        f"{module}.py": f"{role}.py",
        f"test_{module}.py": "test.py",
        "README.md": "README.md",
    }
    # written elsewhere and renamed, so that an error leaves no half of a package
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as staging:
        package = Path(staging) / name
        package.mkdir()
        for file, template in files.items():
            text = (_TEMPLATES / f"{template}.txt").read_text()
            (package / file).write_text(string.Template(text).substitute(words))
        package.rename(target)
    return [target / file for file in files]
