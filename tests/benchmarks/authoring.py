"""The steps from an empty folder to a table, timed one by one: docs/extend/sampler.md.

    python -m tests.benchmarks.authoring results/reference

makes an empty folder with a fresh virtual environment, follows that page there with its code and its suite,
each command in a process of its own, and writes authoring.csv: seconds, and seconds of CPU, of each command.
The environment sees this one's packages (torch, sampler-bench), so that the time to install the project does
not count. pip fetches the build tool (hatchling).
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from tests.support.pages import block

PAGE = "docs/extend/sampler.md"
STEPS = (
    "bench new predictor my-sampler",
    "pip install -e ./my-sampler",
    "bench check my_sampler",
    "bench run --suite mine",
    "bench table mine",
)


def environment(folder: Path) -> Path:
    """The folder of scripts of a fresh virtual environment that sees this one's packages."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    base = {"base": str(folder), "platbase": str(folder)}
    path_file = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    Path(sysconfig.get_path("purelib", vars=base), "shared.pth").write_text(path_file)
    scripts = Path(sysconfig.get_path("scripts", vars=base))
    bench = scripts / "bench"
    bench.write_text(f"#!{scripts / 'python'}\nfrom bench.cli import main\n\nmain()\n")
    bench.chmod(0o755)
    return scripts


def timed(command: str, folder: Path, scripts: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds, of a command; it must succeed."""
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environ["PATH"] = f"{scripts}{os.pathsep}{environ['PATH']}"
    words = command.split()
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([str(scripts / words[0]), *words[1:]], cwd=folder, env=environ, check=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write(target: Path) -> None:
    """Do the steps, then write ``target / authoring.csv``."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        scripts = environment(folder / "venv")
        for command in STEPS:
            rows.append((command, *timed(command, folder, scripts)))
            if command == STEPS[0]:
                (folder / "my-sampler" / "my_sampler.py").write_text(block(PAGE, "my_sampler.py"))
                (folder / "bench.toml").write_text(block(PAGE, "bench.toml"))
    rows.append(("in all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    with (target / "authoring.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "seconds", "cpu_seconds"])
        writer.writerows((step, f"{seconds:.1f}", f"{cpu:.1f}") for step, seconds, cpu in rows)
    print((target / "authoring.csv").read_text())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
