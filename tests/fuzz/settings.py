"""Fuzz bench.toml and cards: ``python -m tests.fuzz.settings --minutes 10 --seed 1``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.files import registry_path
from tests.fuzz.harness import CORPUS, run
from tests.fuzz.mutate import mutate_toml

WEIGHTS = tuple(
    registry_path("cards", f"{name}.safetensors") for name in ("gaussian-cifar10", "cifar10-tiny")
)
COMMANDS = (
    ("list", "suites"),
    ("checkpoints", "list"),
    ("checkpoints", "list", "--json"),
    ("checkpoints", "show", "mine-gaussian"),
    ("checkpoints", "show", "mine-tiny", "--json"),
    ("checkpoints", "show", "mine-published"),
    ("checkpoints", "verify"),
    ("run", "--dry-run"),
    ("run", "--dry-run", "--suite", "s"),
    ("run", "--dry-run", "--suite", "t", "--only", "vp *"),
    ("run", "--dry-run", "--checkpoint", "mine-gaussian"),
    ("run", "--dry-run", "--checkpoint", "mine-tiny"),
    ("table", "s", "--no-plots"),
)


def make_case(rng: Random, folder: Path) -> Sequence[Sequence[str]]:
    """A bench.toml and three cards, one or two of them mutated, and two commands."""
    source = CORPUS / "settings"
    files = sorted(path.relative_to(source) for path in source.rglob("*.toml"))
    mutated = {rng.choice(files) for _ in range(rng.randint(1, 2))}
    (folder / "cards").mkdir()
    for path in WEIGHTS:
        shutil.copy(path, folder / "cards")
    for file in files:
        text = (source / file).read_text()
        (folder / file).write_bytes(mutate_toml(text, rng) if file in mutated else text.encode())
    return [rng.choice(COMMANDS), rng.choice(COMMANDS)]


if __name__ == "__main__":
    run("settings", make_case)
