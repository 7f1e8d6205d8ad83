"""All that a GPU is asked, in one call of at most eight minutes.

    python -m tests.benchmarks.gpu results/reference/gpu --theirs SCORE_SDE_PYTORCH
    python -m tests.benchmarks.gpu FOLDER --tiny

First the sampler's own time per step (gpu-steps.csv); then, in three fifths of the time, the network of
cifar10-tiny, DDPM and NCSN++ at full size, fp32, tf32, bf16, contiguous and compiled, against the card's
measured matrix rate (networks-gpu-NETWORK-BATCH.csv, as `tests.benchmarks.networks` has it), and beside
DDPM score_sde_pytorch's own of a checkout of it; then the suite table1 on cifar10-tiny in FOLDER/gpu-table1,
as many runs as the rest of the time allows. The suite goes on where it stopped at the next call.
``--tiny`` tries all of it in a minute on a CPU, on a narrow network and at a small part of the steps.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

import torch

from bench import Prediction
from bench.checkpoints.networks.unet import UNetConfig
from bench.diffusion.noise import noise_streams
from tests.benchmarks import networks, overhead
from tests.benchmarks.networks import Config, Variant
from tests.benchmarks.score_sde import NAME, their_speed

LIMIT = 480.0
"""Seconds that the whole call may take."""
BATCHES = (256, 1024, 64)
TINY = UNetConfig(size=8, width=32, multipliers=(1,), blocks=1, attention=())
SUITE = "run --suite table1 --checkpoint cifar10-tiny --samples 1024 --batch-size 1024 --metric fd_cifar10"
TINY_SUITE = "run --suite table1 --checkpoint gaussian-cifar10 --samples 8 --batch-size 8 --steps-scale 0.03"


def measure_networks(
    folder: Path, end: float, device: torch.device, *, tiny: bool, theirs: Path | None
) -> list[Path]:
    """Write networks-gpu-NETWORK-BATCH.csv one after another until ``end`` (`time.monotonic`).

    A table that fails is told, and the others follow.

    Returns:
        The files.
    """
    files: list[Path] = []
    every: Mapping[str, Config] = {"tiny": TINY} if tiny else networks.FULL
    for batch in (1, 2) if tiny else BATCHES:
        for name, config in every.items():
            if time.monotonic() > end:
                return files
            try:
                networks.on_gpu(
                    folder,
                    {name: config},
                    batches=[batch],
                    steps=1 if tiny else 3,
                    rounds=1 if tiny else 3,
                    size=64 if tiny else 8192,
                    variants=[one for one in networks.ON_GPU if not (tiny and (one.compile or one.graphs))],
                    device=device,
                )
                file = folder / f"networks-gpu-{name}-{batch}.csv"
                (folder / "networks-gpu.csv").replace(file)
                if theirs is not None and name in ("ddpm", "tiny"):
                    add_theirs(file, theirs, batch, device, tiny=tiny)
                files.append(file)
            except Exception:
                traceback.print_exc()
            if device.type == "cuda":
                torch.cuda.empty_cache()
    return files


def add_theirs(file: Path, theirs: Path, batch: int, device: torch.device, *, tiny: bool) -> None:
    """Add the row of score_sde_pytorch's DDPM to a table."""
    with file.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    speed = their_speed(
        theirs,
        batch,
        width=32 if tiny else 128,
        steps=1 if tiny else 3,
        rounds=1 if tiny else 3,
        device=device,
    )
    ours = next(row for row in rows if row["variant"] == "fp32")
    ratio = speed.evaluations / float(ours["evaluations_per_s"])
    row = networks.speed_row(Variant(NAME), speed._replace(ratio=ratio))
    networks.write(file, [*rows, ours | row | {"tflop_per_s": "", "share": "", "matrix_tflop_per_s": ""}])


def step_seconds(batch: int, device: torch.device, steps: int) -> float:
    """Seconds of a predictor-corrector step over a network that costs nothing, 3x32x32, on a device."""
    pc = overhead.sampler(steps)
    _, predictor, corrector = noise_streams(0, 0, device)
    prior = torch.randn(batch, 3, 32, 32, device=device)
    model = overhead.Free(torch.randn(batch, 3, 32, 32, device=device) * 1e-3)

    def run() -> float:
        begin = networks.wait(device)
        pc.run(prior, Prediction(model, pc.sde), predictor, corrector)
        return (networks.wait(device) - begin) / steps

    run()
    return min(run() for _ in range(3))


def write_steps(folder: Path, device: torch.device, *, tiny: bool) -> None:
    """Write gpu-steps.csv: the sampler's own microseconds per predictor-corrector step."""
    with (folder / "gpu-steps.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["batch", "step_us", "device"])
        for batch in (1, 2) if tiny else BATCHES:
            seconds = step_seconds(batch, device, 30 if tiny else 200)
            writer.writerow([batch, f"{seconds * 1e6:.1f}", device.type])


def run_suite(folder: Path, seconds: float, *, tiny: bool) -> int:
    """Run table1 for at most so many seconds; the number of records that there are then."""
    out = folder / "gpu-table1"
    words = [*(TINY_SUITE if tiny else SUITE).split(), "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "bench", *words])
    try:
        process.wait(max(10.0, seconds))
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
    return len(list((out / "records").glob("*.json")))


def main(words: list[str]) -> None:
    """Measure all, within the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds")
    parser.add_argument("--theirs", type=Path, help="a checkout of score_sde_pytorch")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(words)
    begin = time.monotonic()
    args.folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    write_steps(args.folder, device, tiny=args.tiny)
    end = begin + args.limit * 0.6
    files = measure_networks(args.folder, end, device, tiny=args.tiny, theirs=args.theirs)
    records = run_suite(args.folder, args.limit - 20 - (time.monotonic() - begin), tiny=args.tiny)
    print(f"{len(files)} tables of networks, {records} records of table1, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
