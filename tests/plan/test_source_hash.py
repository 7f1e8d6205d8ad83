"""The code that a plugin rests on: what it imports, wherever that lies, and nothing else."""

from __future__ import annotations

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from bench.plan import source_hash
from bench.plan.source_hash import (
    CodeIdentity,
    code_hash,
    core_files,
    core_hash,
    declared_files,
    tree_hash,
)
from tests.support.plugins import empty_registry

FILES = {
    "mine_of_hash/__init__.py": "from bench import hookimpl\n",
    "mine_of_hash/sampler.py": (
        "import math\nimport numpy\nfrom .helper import gain\nfrom mine_of_hash import table\n"
        "import beside_of_hash\nclass Mine: ...\nclass Other: ...\n"
    ),
    "mine_of_hash/helper.py": "def gain():\n    from mine_of_hash.deep.far import weight\n",
    "mine_of_hash/table.py": "rows = 1\n",
    "mine_of_hash/unused.py": "other = 1\n",
    "mine_of_hash/deep/__init__.py": "",
    "mine_of_hash/deep/far.py": "weight = 2\n",
    "beside_of_hash.py": "def f():\n    from lab_of_hash.inner import g\n    import space_of_hash.part.end\n",
    "lab_of_hash/__init__.py": "setting = 1\n",
    "lab_of_hash/inner/__init__.py": "from .g import value\n",
    "lab_of_hash/inner/g.py": "value = 1\n",
    "lab_of_hash/unused.py": "value = 1\n",
    "space_of_hash/part/end.py": "value = 1\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin's package, a researcher's module and package beside it, and a namespace package."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("_of_hash")]:
        del sys.modules[name]


def identity(module: str = "mine_of_hash.sampler", name: str = "Mine") -> CodeIdentity:
    return code_hash(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    "changed",
    [
        "mine_of_hash/sampler.py",
        "mine_of_hash/helper.py",
        "mine_of_hash/table.py",
        "mine_of_hash/deep/far.py",
        "mine_of_hash/__init__.py",
        "beside_of_hash.py",
        "lab_of_hash/__init__.py",
        "lab_of_hash/inner/__init__.py",
        "lab_of_hash/inner/g.py",
        "space_of_hash/part/end.py",
    ],
)
def test_an_edit_of_what_it_imports_is_another_sampler(folder: Path, changed: str) -> None:
    before = identity()
    assert before.complete
    (folder / changed).write_text(FILES[changed] + "edited = 1\n")
    assert identity().code != before.code


@pytest.mark.parametrize("changed", ["mine_of_hash/unused.py", "lab_of_hash/unused.py"])
def test_an_edit_elsewhere_is_not(folder: Path, changed: str) -> None:
    before = identity()
    (folder / changed).write_text("other = 2\n")
    assert identity() == before
    assert len(before.code) == len(before.digest) == 16


@pytest.mark.parametrize(
    "changed", ["mine_of_hash/sampler.py", "beside_of_hash.py", "lab_of_hash/inner/g.py"]
)
def test_an_edit_of_a_comment_or_docstring_is_not(folder: Path, changed: str) -> None:
    before = identity()
    (folder / changed).write_text('"""A docstring."""\n# a comment\n' + FILES[changed])
    assert identity() == before


def test_one_more_registered_plugin_leaves_the_others(folder: Path) -> None:
    before = identity()
    registered = "@hookimpl\ndef register_predictors(register):\n    from mine_of_hash.unused import other\n"
    (folder / "mine_of_hash/__init__.py").write_text(FILES["mine_of_hash/__init__.py"] + registered)
    assert identity() == before


@pytest.mark.usefixtures("folder")
def test_two_classes_of_a_module_have_two_hashes() -> None:
    assert identity(name="Mine").code != identity(name="Other").code


SINGLE = """
import beside_of_hash
from bench import LinearPredictor, hookimpl

class Mine(LinearPredictor):
    name = "mine"

    def coefficients(self, step):
        return 1.0, beside_of_hash.gain(step), 0.0

@hookimpl
def register_predictors(register):
    register(Mine)
"""
"""A plugin that is one file."""


def test_a_registered_predictor_that_imports_a_researcher_s_module(folder: Path) -> None:
    (folder / "single_of_hash.py").write_text(SINGLE)
    (folder / "beside_of_hash.py").write_text("def gain(step):\n    return 1.0\n")
    importlib.invalidate_caches()
    registry = empty_registry()
    registry.load(importlib.import_module("single_of_hash"), "mine", "1.0")
    cls = registry.get("predictors", "mine").thing
    before = code_hash(cls)
    (folder / "beside_of_hash.py").write_text('def gain(step):\n    """Doc."""\n    return 1.0  # one\n')
    assert code_hash(cls) == before
    (folder / "beside_of_hash.py").write_text("def gain(step):\n    return 2.0\n")
    assert code_hash(cls).code != before.code
    assert before.complete


@pytest.mark.usefixtures("folder")
def test_an_installed_distribution_counts_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity()
    assert before.libraries == {"numpy": metadata.version("numpy")}
    source_hash.version.cache_clear()
    monkeypatch.setattr(metadata, "version", lambda _: "999")
    after = identity()
    source_hash.version.cache_clear()
    assert after.libraries == {"numpy": "999"}
    assert after.code == before.code
    assert after.digest != before.digest


def install(folder: Path, *, editable: bool) -> None:
    """Write a distribution's metadata beside the package ``lab_of_hash``."""
    info = folder / "lab_of_hash-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-of-hash\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("lab_of_hash\n")
    files = [] if editable else [name for name in FILES if name.startswith("lab_of_hash")]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in [*files, f"{info.name}/METADATA"]))


@pytest.fixture
def fresh_owners() -> Iterator[None]:
    for cached in (source_hash._owners, source_hash.distribution_of, source_hash.version):
        cached.cache_clear()
    yield
    for cached in (source_hash._owners, source_hash.distribution_of, source_hash.version):
        cached.cache_clear()


@pytest.mark.usefixtures("fresh_owners")
@pytest.mark.parametrize("editable", [True, False])
def test_an_editable_installation_counts_by_its_source(folder: Path, editable: bool) -> None:
    install(folder, editable=editable)
    before = identity()
    assert ("lab-of-hash" in before.libraries) is not editable
    (folder / "lab_of_hash/inner/g.py").write_text("value = 2\n")
    assert (identity().code != before.code) is editable


@pytest.mark.usefixtures("fresh_owners")
def test_a_plugin_s_own_package_counts_by_its_source_when_installed_too(folder: Path) -> None:
    install(folder, editable=False)
    (folder / "lab_of_hash/inner/g.py").write_text("class Mine: ...\n")
    (folder / "lab_of_hash/inner/__init__.py").write_text("")
    before = identity("lab_of_hash.inner.g")
    (folder / "lab_of_hash/inner/g.py").write_text("class Mine: gain = 1\n")
    assert identity("lab_of_hash.inner.g").code != before.code


@pytest.mark.usefixtures("folder")
def test_hashing_imports_nothing() -> None:
    cls = importlib.import_module("mine_of_hash.sampler").Mine
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("_of_hash")]:
        if name != "mine_of_hash.sampler":
            del sys.modules[name]
    before = set(sys.modules)
    assert code_hash(cls).complete
    assert set(sys.modules) == before


@pytest.mark.usefixtures("folder")
def test_modules_that_are_not_imported_yet_hash_as_when_they_are() -> None:
    before = identity()
    importlib.import_module("lab_of_hash.inner.g")
    importlib.import_module("space_of_hash.part.end")
    assert identity() == before


def test_declared_files_count_by_content(folder: Path) -> None:
    (folder / "mine_of_hash/sampler.py").write_text("class Mine:\n    files = ('table.bin',)\n")
    assert not identity().complete
    (folder / "mine_of_hash/table.bin").write_bytes(b"1")
    before = identity()
    (folder / "mine_of_hash/table.bin").write_bytes(b"2")
    after = identity()
    assert before.complete
    assert before.code == after.code
    assert before.files.keys() == {"table.bin"}
    assert before.files != after.files
    assert before.digest != after.digest


def test_a_module_that_can_not_be_read_makes_the_identity_incomplete(folder: Path) -> None:
    cls = importlib.import_module("mine_of_hash.sampler").Mine
    (folder / "lab_of_hash/inner/g.py").write_text("not Python at all\n")
    assert not code_hash(cls).complete


def test_an_extension_module_of_no_distribution_counts_by_content(folder: Path) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (folder / "beside_of_hash.py").unlink()
    cls_source = "def load():\n    import beside_of_hash\nclass Mine: ...\n"
    (folder / "mine_of_hash/sampler.py").write_text(cls_source)
    extension = folder / f"beside_of_hash{suffix}"
    extension.write_bytes(b"1")
    importlib.invalidate_caches()
    before = identity()
    extension.write_bytes(b"2")
    assert identity().code != before.code


def test_code_that_has_no_file_is_incomplete() -> None:
    cls = type("Made", (), {"__module__": "nowhere_at_all"})
    assert code_hash(cls) == CodeIdentity("unknown", complete=False)


def test_the_core_s_files_are_those_that_compute() -> None:
    root = Path(source_hash.__file__).parents[1]
    files = {
        part: {f.relative_to(root).as_posix() for f in core_files(part)} for part in ("samples", "metrics")
    }
    assert {"engine/batch.py", "engine/session.py", "diffusion/sampler.py", "tasks/role.py"} <= files[
        "samples"
    ]
    assert {"metrics/frechet.py", "closed_form/moments.py"} <= files["metrics"]
    for names in files.values():
        assert not [name for name in names if name.startswith(("cli/", "reporting/", "checkpoints/install"))]
    assert core_hash("samples") != core_hash("metrics")
    assert len(core_hash()) == 16


def test_a_reworded_message_of_the_core_leaves_results_valid(tmp_path: Path) -> None:
    file = tmp_path / "core.py"
    file.write_text(
        "def f(x):\n    if x < 0:\n        raise ValueError(f'{x} is negative')\n    return 2 * x\n"
    )
    before = tree_hash(tmp_path, [file])
    file.write_text(file.read_text().replace("is negative", "is below zero"))
    assert tree_hash(tmp_path, [file]) == before
    file.write_text(file.read_text().replace("2 * x", "3 * x"))
    assert tree_hash(tmp_path, [file]) != before


@pytest.mark.parametrize("kind", ["fifo", "folder", "missing"])
def test_a_declared_file_that_is_none_makes_the_code_unknown(tmp_path: Path, kind: str) -> None:
    """A FIFO is not opened: that would wait for its other end."""

    class Declares:
        files = ("good.bin", "odd.bin")

    (tmp_path / "good.bin").write_bytes(b"good")
    if kind == "fifo":
        os.mkfifo(tmp_path / "odd.bin")
    elif kind == "folder":
        (tmp_path / "odd.bin").mkdir()
    digests, present = declared_files(Declares, tmp_path)
    assert (list(digests), present) == (["good.bin"], False)
