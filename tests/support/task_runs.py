"""Runs of tasks from the command line, in a folder with a few images and masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cli import main

RunTask = Callable[..., str]
"""``run(task, *arguments, status=0)``: runs ``bench run --task``; its output, or its only line of error."""

RefusedTask = Callable[..., str]
"""``refused(task, *arguments)``: the line that ``bench run --task`` is refused with."""

GAUSSIAN_RUN = ("--checkpoint", "gaussian-cifar10", "--tol", "1e-2")
TINY_RUN = ("--checkpoint", "cifar10-tiny")


@pytest.fixture
def run_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunTask:
    """Runs a task in a folder that holds four 32x32 images and four of 16x16."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("other.npz", rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8))
    np.savez("images.npz", rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))

    def run(*arguments: str, status: int = 0) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["run", "--task", *arguments, "--device", "cpu"])
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        assert "Traceback" not in out + err
        if status == 2:
            assert len(err.splitlines()) == 1
            assert not Path("results").exists()
            return err
        return out

    return run


@pytest.fixture
def refused_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> RefusedTask:
    """Runs a task, on the Gaussian unless a checkpoint is given, in a folder of unusable masks and images."""
    monkeypatch.chdir(tmp_path)
    np.save("small.npy", np.eye(16, dtype=bool))
    np.save("gray.npy", np.linspace(0, 1, 1024).reshape(32, 32))
    np.save("objects.npy", np.array([{}, None]), allow_pickle=True)
    np.save("none.npy", np.zeros((32, 32), dtype=bool))
    np.save("all.npy", np.ones((32, 32), dtype=bool))
    Image.new("L", (32, 30), 255).save("flat.png")
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 32)}\n"
    Path("huge.npy").write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    Path("broken.png").write_bytes(b"no picture")
    np.savez("wide.npz", images=np.zeros((16, 32, 40, 3), np.uint8))
    np.savez("few.npz", images=np.zeros((3, 32, 32, 3), np.uint8))

    def refusal(*arguments: str) -> str:
        checkpoint = () if "--checkpoint" in arguments else ("--checkpoint", "gaussian-cifar10")
        with pytest.raises(SystemExit) as stop:
            main(["run", "--samples", "16", "--task", *arguments, *checkpoint])
        out, err = capsys.readouterr()
        assert stop.value.code == 2, out + err
        assert len(err.splitlines()) == 1, err
        assert err.startswith("bench: ")
        assert not Path("results").exists()
        return err

    return refusal


def records() -> dict[str, dict[str, Any]]:
    """Records of the results folder by their task."""
    contents = [json.loads(path.read_text()) for path in Path("results", "records").glob("*.json")]
    return {record["identity"].get("task", {}).get("name", "generate"): record for record in contents}
