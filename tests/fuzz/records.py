"""Fuzz records, planned suites, batches and CSV: ``python -m tests.fuzz.records --minutes 10 --seed 1``.

``tests/fuzz/corpus/records`` is a results folder as ``bench run --suite s`` and ``bench table s`` leave it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.results.identity import with_checksum
from tests.fuzz.harness import CORPUS, run
from tests.fuzz.mutate import mutate_bytes, mutate_plain

SOURCE = CORPUS / "records"
RUN = (
    *("run", "--suite", "s", "--checkpoint", "gaussian-cifar10", "--samples", "2", "--batch-size", "1"),
    *("--device", "cpu", "--dry-run", "--only", "vp ancestral *"),
)


def _mutated(path: Path, rng: Random) -> bytes:
    """A file's content with odd data under a right checksum, or with other bytes."""
    content = path.read_bytes()
    if path.suffix == ".json" and rng.random() < 0.8:
        plain = mutate_plain(json.loads(content), rng)
        try:
            if isinstance(plain, dict) and rng.random() < 0.85:
                return with_checksum(plain)
        except ValueError:
            pass
        return json.dumps(plain).encode()
    if path.suffix == ".csv" and rng.random() < 0.7:
        rows = [line.split(",") for line in content.decode().splitlines()]
        for _ in range(rng.randint(1, 3)):
            row = rng.choice(rows)
            words = ("", "nan", "inf", "1e400", "-1", "9" * 5000, '"', "x" * 200_000, "\0", "finished", "=1")
            row[rng.randrange(len(row))] = rng.choice(words)
        return "\n".join(map(",".join, rows)).encode()
    if path.suffix == ".safetensors" and rng.random() < 0.5:
        sizes = (0, 1, 2**20, 2**40, 2**63)
        return rng.choice(sizes).to_bytes(8, "little") + content[8:]
    return mutate_bytes(content, content, rng)


def make_case(rng: Random, folder: Path) -> Sequence[Sequence[str]]:
    """A results folder with one or two files mutated, and two commands that read them."""
    out = folder / "results"
    shutil.copytree(SOURCE, out)
    shutil.move(out / "bench.toml", folder)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    kinds = ("records", "records", "suites", "samples", "")
    chosen = rng.choice(kinds)
    pool = [
        path for path in files if (path.relative_to(out).parts[0] == chosen if chosen else path.parent == out)
    ]
    for path in {rng.choice(pool) for _ in range(rng.randint(1, 2))}:
        path.write_bytes(_mutated(path, rng))
    records = sorted((out / "records").iterdir())
    record = str(rng.choice(records).relative_to(folder))
    commands = (
        ("table", "s", "--no-plots"),
        ("table", "s", "--no-plots", "--to", "tables"),
        ("compare", "results", "results"),
        ("compare", "s", "results/cells.csv"),
        ("compare", record, "results/runs.csv"),
        ("measure", "--metric", "fd_dct", "--device", "cpu"),
        ("measure", "--metric", "fd_cifar10", "--suite", "s", "--device", "cpu"),
        ("fid", record, "--metric", "fd_cifar10", "--device", "cpu"),
        ("fid", Path(record).stem, "--metric", "fd_dct", "--device", "cpu"),
        RUN,
    )
    if chosen == "":
        return [rng.choice(commands[3:5])]
    return [rng.choice(commands), rng.choice(commands)]


if __name__ == "__main__":
    run("records", make_case)
