"""The complete examples of the docs run, and pass `bench check`."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import bench
from bench import Batch, Card, Executor
from tests.support.pages import block, blocks
from tests.support.plans import quick_spec
from tests.support.plugins import empty_registry, installed
from tests.support.worker_work import Fatal

CARD = "docs/extend/card.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for modules, from which other processes import too."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name, module in sys.modules.items() if _lies_in(module, tmp_path)]:
        del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Whether a module is of a file in a folder."""
    return str(getattr(module, "__file__", None) or "").startswith(str(folder))


def thing(page: str, kind: str, name: str, folder: Path) -> type[bench.Plugin]:
    """The plugin of a page's module."""
    (file,) = (file for file in blocks(page) if file.startswith("my_") and file.endswith(".py"))
    (folder / file).write_text(block(page, file))
    importlib.invalidate_caches()
    registry = empty_registry()
    registry.load(importlib.import_module(Path(file).stem), name, "0.1.0")
    assert registry.all_problems() == []
    plugin: type[bench.Plugin] = registry.get(kind, name).thing
    return plugin


@pytest.mark.parametrize("role", ["grid", "sde", "metric", "dataset"])
def test_an_example_passes_its_check(role: str, example: Path) -> None:
    name = "my_data" if role == "dataset" else f"my_{role}"
    report = bench.check(thing(f"docs/extend/{role}.md", f"{role}s", name, example), registry=installed())
    assert report.passed, report
    assert len(report.findings) >= 3


def test_the_executor_computes_every_batch_in_one_other_process(example: Path) -> None:
    """The conformance kit takes it a quarter of a minute; its class is held to whole runs there."""
    plugin = thing("docs/extend/executor.md", "executors", "my_executor", example)
    executor = plugin()
    assert isinstance(executor, Executor)
    assert not executor.in_process
    spec = quick_spec()
    work = Fatal(example / "batches")
    work.folder.mkdir()
    done = [batch.index for batch, _ in executor.map(work, iter([Batch(spec, i) for i in range(3)]))]
    assert done == [0, 1, 2]
    assert [work.count(index) for index in done] == [1, 1, 1]
    assert len(work.workers()) == 1


def test_the_network_of_the_docs_is_what_its_card_says(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained for a fraction of the page's steps; a label of another convention fails."""
    monkeypatch.chdir(example)
    monkeypatch.setattr(sys, "argv", ["train.py", "200"])
    exec(compile(block(CARD, "train.py"), "train.py", "exec"), {"__name__": "__main__"})
    toml = Path("my_cards/my-circle.toml")
    toml.write_text(block(CARD, str(toml)))
    assert tomllib.loads(block(CARD, "bench.toml")) == {"cards": ["my_cards"]}
    card = Card.read(toml)
    assert bench.check(card, data="circle.npz", registry=installed()).passed
    wrong = card.model_copy(update={"labels": "sigma"})
    assert not bench.check(wrong, data="circle.npz", registry=installed()).passed
