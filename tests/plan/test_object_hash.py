"""The hash of an object in memory: all that it computes with changes it, and nothing else."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import importlib
import itertools
import linecache
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.plan.object_hash import object_hash

CELL = '''
import math
import numpy as np
from bench import Predictor, param

GAIN = 2.0
TABLE = np.arange(3.0)
RULES = {"a": [1, 2], "b": {"c", "d"}}

def weight(x):
    """Reads a global of its own."""
    return GAIN * x

def decorated(f):
    def inner(*arguments):
        return f(*arguments)
    return inner

class Base(Predictor):
    """A base."""
    order: int = param(default=1, help="the order")
    def nfe(self, steps):
        return steps
    @decorated
    def step(self, x, levels, i, noise):
        return math.exp(weight(x)) + self.shift(x)  # a comment
    @staticmethod
    def shift(x):
        return TABLE[0] * x * RULES["a"][0]
    scale = staticmethod(lambda x: 3 * x)

class Mine(Base):
    name = "mine"

class Other(Base):
    name = "other"
'''
"""A notebook cell; no class of it has a file."""

_numbers = itertools.count()


def run_cell(source: str, name: str = "Mine", namespace: dict[str, Any] | None = None) -> Any:
    """Run a cell as IPython does: its source is known to `linecache` by a made-up file name."""
    file = f"<cell {next(_numbers)} of test_object_hash>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = {"__name__": "__main__"} if namespace is None else namespace
    exec(compile(source, file, "exec"), namespace)
    return namespace[name]


def test_a_cell_run_twice_hashes_the_same() -> None:
    first = object_hash(run_cell(CELL))
    assert first is not None
    assert len(first) == 16
    assert object_hash(run_cell(CELL)) == first
    assert object_hash(run_cell("\n\n" + CELL)) == first


@pytest.mark.parametrize(
    ("before", "after"),
    [("a comment", "another"), ("A base.", "Another text."), ("Reads a", "Uses a"), ("the order", "order")],
)
def test_a_reworded_text_leaves_the_hash(before: str, after: str) -> None:
    assert before in CELL
    assert object_hash(run_cell(CELL.replace(before, after))) == object_hash(run_cell(CELL))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("GAIN = 2.0", "GAIN = 2.5"),
        ("GAIN * x", "GAIN + x"),
        ("arange(3.0)", "arange(4.0)"),
        ("[1, 2]", "[1, 3]"),
        ('{"c", "d"}', '{"c", "e"}'),
        ("f(*arguments)", "2 * f(*arguments)"),
        ("math.exp", "math.sin"),
        ("return steps", "return 2 * steps"),
        ("default=1", "default=2"),
        ("3 * x", "4 * x"),
        ("TABLE[0]", "TABLE[1]"),
        ("import math\n", "import cmath as math\n"),
    ],
)
def test_an_edit_of_anything_that_it_computes_with_changes_the_hash(before: str, after: str) -> None:
    assert before in CELL
    assert object_hash(run_cell(CELL.replace(before, after))) != object_hash(run_cell(CELL))


def test_an_edit_of_what_it_does_not_use_leaves_the_hash() -> None:
    unused = "UNUSED = 1\n"
    first = object_hash(run_cell(CELL + unused))
    assert object_hash(run_cell(CELL + "UNUSED = 2\ndef unused(): ...\n")) == first


def test_two_classes_of_a_cell_have_two_hashes() -> None:
    assert object_hash(run_cell(CELL, "Mine")) != object_hash(run_cell(CELL, "Other"))


def test_an_attribute_set_afterwards_counts() -> None:
    cls = run_cell(CELL)
    before = object_hash(cls)
    cls.extra = 3
    assert object_hash(cls) != before


def test_an_instance_hashes_its_parameters() -> None:
    cls = run_cell(CELL)
    assert object_hash(cls(order=1)) == object_hash(cls(order=1))
    assert object_hash(cls(order=1)) != object_hash(cls(order=2))
    assert object_hash(cls(order=1)) != object_hash(cls)


def test_a_closure_and_defaults_count() -> None:
    source = "def make(gain):\n    def f(x, y={default}):\n        return gain * x + y\n    return f\n"
    make = run_cell(source.format(default=1), "make")
    assert object_hash(make(1.0)) == object_hash(make(1.0))
    assert object_hash(make(1.0)) != object_hash(make(2.0))
    assert object_hash(make(1.0)) != object_hash(run_cell(source.format(default=2), "make")(1.0))


def test_two_functions_of_one_line_are_told_apart() -> None:
    pair = run_cell("pair = (lambda x: 2 * x, lambda x: 3 * x)\n", "pair")
    hashes = [object_hash(function) for function in pair]
    assert None not in hashes
    assert hashes[0] != hashes[1]


def test_code_without_source_has_no_hash() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("class Bare:\n    def step(self, x):\n        return x\n", namespace)
    assert object_hash(namespace["Bare"]) is None
    assert object_hash(namespace["Bare"]()) is None
    namespace |= {"bare": eval("lambda x: x", {"__name__": "__main__"})}
    assert object_hash(run_cell("def f(x):\n    return bare(x)\n", "f", namespace)) is None


def test_an_object_without_readable_state_has_no_hash(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        namespace = {"__name__": "__main__", "file": file}
        assert object_hash(run_cell("def f():\n    return file.name\n", "f", namespace)) is None


def test_a_cycle_ends() -> None:
    source = "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n > 0 and even(n - 1)\n"
    assert object_hash(run_cell(source, "even")) is not None


FILES = {
    "classes_for_hash.py": (
        "import beside_for_hash\nclass Mine:\n    def step(self, x):\n        return beside_for_hash.f(x)\n"
        "class Other:\n    def step(self, x):\n        return x\n"
    ),
    "beside_for_hash.py": "def f(x):\n    return x\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    yield tmp_path
    for name in ("classes_for_hash", "beside_for_hash"):
        sys.modules.pop(name, None)


def imported(name: str) -> str | None:
    for module in ("classes_for_hash", "beside_for_hash"):
        sys.modules.pop(module, None)
    return object_hash(getattr(importlib.import_module("classes_for_hash"), name))


def test_classes_of_one_file_have_their_own_hashes(folder: Path) -> None:
    mine, other = imported("Mine"), imported("Other")
    assert None not in (mine, other)
    assert mine != other
    edited = FILES["classes_for_hash.py"].replace("return x\n", "return 2 * x\n")
    (folder / "classes_for_hash.py").write_text(edited)
    assert imported("Mine") == mine
    assert imported("Other") != other


def test_a_module_beside_it_counts_by_its_source(folder: Path) -> None:
    before = imported("Mine"), imported("Other")
    (folder / "beside_for_hash.py").write_text("def f(x):\n    return 2 * x\n")
    after = imported("Mine"), imported("Other")
    assert after[0] != before[0]
    assert after[1] == before[1]


def network(seed: int = 0, width: int = 4) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.SiLU(), torch.nn.Dropout(0.1))


def test_a_network_hashes_its_weights_and_settings() -> None:
    first = object_hash(network())
    assert first is not None
    assert object_hash(network()) == first
    edited = network()
    edited[2].p = 0.2  # type: ignore[index]
    others = [network(seed=1), network(width=5), edited, network().to(torch.bfloat16), network().eval()]
    assert len({first, *map(object_hash, others)}) == 6


def test_a_network_of_a_cell_hashes_its_forward() -> None:
    source = (
        "import torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.ones(3))\n"
        "    def forward(self, x, t):\n        return {formula}\n"
    )
    cells = [run_cell(source.format(formula=formula), "Net") for formula in ("self.weight * x", "x - t")]
    hashes = [object_hash(cell()) for cell in cells]
    assert None not in hashes
    assert hashes[0] != hashes[1]
    assert object_hash(cells[0]()) == hashes[0]


@dataclasses.dataclass(eq=False)
class Block(torch.nn.Module):
    """A network that is a dataclass too, and pickles without its weights."""

    width: int

    def __post_init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(self.width, 1)

    def __getstate__(self) -> dict[str, int]:
        return {"width": self.width}

    @functools.cached_property
    def count(self) -> int:
        return self.width


def test_state_is_all_that_an_object_holds() -> None:
    blocks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        blocks.append(Block(2))
    assert len({object_hash(block) for block in blocks} | {None}) == 3
    before = object_hash(blocks[0])
    assert blocks[0].count == 2
    assert object_hash(blocks[0]) == before


class Color(enum.Enum):
    RED = 1


@functools.cache
def cached(x: float) -> float:
    return 2 * x


@pytest.mark.parametrize("make", [threading.Lock, lambda: (i for i in range(3))])
def test_values_without_content_have_no_hash(make: Callable[[], Any]) -> None:
    assert object_hash(make()) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.float32(1.5),
        lambda: np.eye(2),
        lambda: torch.arange(4).reshape(2, 2),
        lambda: torch.tensor(1.0, dtype=torch.bfloat16),
        lambda: torch.empty(0),
        lambda: torch.float32,
        lambda: np.exp,
        lambda: torch.exp,
        lambda: Path("a"),
        lambda: {"a": (1, [2.0, None]), "b": {1, 2}},
        lambda: range(3),
        lambda: functools.partial(np.add, 1),
        lambda: collections.defaultdict(list, a=[1]),
        lambda: collections.OrderedDict(a=1),
        lambda: logging.getLogger("a"),
        lambda: Color.RED,
        lambda: cached,
        lambda: torch.device("cpu"),
        lambda: Fraction(1, 3),
    ],
)
def test_values_hash_by_content(make: Callable[[], Any]) -> None:
    first = object_hash(make())
    assert first is not None
    assert object_hash(make()) == first


def test_values_that_differ_have_different_hashes() -> None:
    values: list[Any] = [1, 1.0, True, "1", None, np.float32(1), np.float64(1), torch.tensor(1)]
    values += [torch.tensor(1.0), [1], (1,), {1}, {1: 1}, collections.OrderedDict({1: 1}), np.array([1])]
    values += [np.array([[1]]), range(1), torch.exp, torch.log]
    hashes = [object_hash(value) for value in values]
    assert None not in hashes
    assert len(set(hashes)) == len(values)
