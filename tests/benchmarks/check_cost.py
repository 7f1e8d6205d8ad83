"""The cost of ``bench check`` beside that of an earlier commit, in one run and in turns.

    git worktree add OLD 4567248
    pip install --no-deps --target META -e OLD
    python -m tests.benchmarks.check_cost results/reference OLD:OLD/plugins:META

writes check_cost.csv: seconds of CPU of each command here and there, and those here over ddim's. What the
earlier commit did not finish is run here alone. The second argument is PYTHONPATH of the earlier commit.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOTH = ("ddim", "dpmpp_2m", "sde_torchsde")
"""Samplers that both check."""
HERE = ("diffusers:DPMSolverSDEScheduler",)
"""Samplers whose check the earlier commit did not finish."""
COLUMNS = ("sampler", "seconds", "seconds_before", "over_before", "over_ddim")


def cpu_seconds(sampler: str, path: str) -> float:
    """Seconds of CPU of ``bench check SAMPLER`` with this PYTHONPATH."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from bench.cli import main; main()", "check", sampler]
        environ = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [*command, "--out", folder], cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=False
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write(target: Path, before: str) -> None:
    """Write ``target / check_cost.csv``."""
    here = f"{ROOT}{os.pathsep}{ROOT / 'plugins'}"
    with (target / "check_cost.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        ddim = 0.0
        for sampler in (*BOTH, *HERE):
            own = cpu_seconds(sampler, here)
            ddim = ddim or own
            other = cpu_seconds(sampler, before) if sampler in BOTH else 0.0
            texts = (f"{other:.1f}", f"{own / other:.2f}") if other else ("", "")
            writer.writerow((sampler, f"{own:.1f}", *texts, f"{own / ddim:.2f}"))
            file.flush()
    print((target / "check_cost.csv").read_text())


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
