"""All that a GPU is asked, in one call of at most eight minutes.

    python -m tests.benchmarks.gpu results/reference
    python -m tests.benchmarks.gpu FOLDER --tiny

First the sampler's own time per step (gpu-steps.csv); then, in three fifths of the time, DDPM and NCSN++ at
full size, fp32, tf32, bf16, contiguous and compiled, against the card's measured matrix rate
(networks-gpu-NETWORK-BATCH.csv, as `tests.benchmarks.networks` has it); then the suite table1 on cifar10-tiny
in FOLDER/gpu-table1, as many runs as the rest of the time allows. The suite goes on where it stopped when the
command is called again. ``--tiny`` tries all of it in a minute on a CPU, on a narrow network and at a small
part of the steps.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path

import torch

from bench import Prediction
from bench.checkpoints.networks.unet import UNetConfig
from bench.diffusion.noise import noise_streams
from tests.benchmarks import networks, overhead
from tests.benchmarks.networks import ON_GPU, Variant

LIMIT = 480.0
"""Seconds that the whole call may take."""
BATCHES = (64, 256, 1024)
VARIANTS = (
    *ON_GPU,
    Variant("fp32, NCHW", channels_last=False),
    Variant("bf16, NCHW", "bf16", channels_last=False),
)
TINY = UNetConfig(size=8, width=32, multipliers=(1,), blocks=1, attention=())
SUITE = "run --suite table1 --checkpoint cifar10-tiny --samples 1024 --batch-size 1024 --metric fd_cifar10"
TINY_SUITE = "run --suite table1 --checkpoint gaussian-cifar10 --samples 8 --batch-size 8 --steps-scale 0.03"


def measure_networks(folder: Path, end: float, device: torch.device, *, tiny: bool) -> list[Path]:
    """Write networks-gpu-NETWORK-BATCH.csv one after another until ``end`` (`time.monotonic`).

    Returns:
        The files.
    """
    files: list[Path] = []
    for name, config in ({"tiny": TINY} if tiny else networks.FULL).items():
        for batch in (1, 2) if tiny else BATCHES:
            if time.monotonic() > end:
                return files
            size = 64 if tiny else 8192
            networks.on_gpu(
                folder,
                {name: config},
                batches=[batch],
                steps=1 if tiny else 3,
                rounds=1 if tiny else 3,
                size=size,
                variants=[one for one in VARIANTS if not (tiny and one.compile)],
                device=device,
            )
            files.append(folder / f"networks-gpu-{name}-{batch}.csv")
            (folder / "networks-gpu.csv").replace(files[-1])
    return files


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


def main(arguments: list[str], limit: float = LIMIT) -> None:
    """Measure all, within ``limit`` seconds."""
    begin = time.monotonic()
    folder, tiny = Path(arguments[0]), "--tiny" in arguments
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    write_steps(folder, device, tiny=tiny)
    files = measure_networks(folder, begin + limit * 0.6, device, tiny=tiny)
    records = run_suite(folder, limit - 20 - (time.monotonic() - begin), tiny=tiny)
    print(f"{len(files)} tables of networks, {records} records of table1, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
