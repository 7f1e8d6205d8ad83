"""Contiguous and channels-last memory on the CPU: time and rounding of networks, within one run.

    python -m tests.benchmarks.formats FOLDER

writes formats.csv. ``time`` is relative to the first variant: medians over rounds in which all variants take
turns, in processor seconds of one thread, which other work on the machine disturbs least. ``error`` is the
score's, relative, against float64, and ``uneven_error`` that of weights on which rounding shows.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import TinyUNet
from bench.checkpoints.networks.unet import UNet, UNetConfig
from tests.benchmarks import networks as speed
from tests.benchmarks.networks import Variant, load_module
from tests.support.plugins import installed
from tests.support.uneven import make_uneven

CPU = torch.device("cpu")
VARIANTS = (
    Variant("fp32, NCHW", channels_last=False),
    Variant("fp32, channels-last"),
    Variant("bf16, NCHW", "bf16", channels_last=False),
    Variant("bf16, channels-last", "bf16"),
)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tiny": TinyUNet,
    "ddpm, width 64": lambda: UNet(UNetConfig.read({"configuration": "ddpm", "width": 64})),
}


@torch.no_grad()
def compare(network: nn.Module, x: Tensor, rounds: int) -> list[tuple[float, float]]:
    """Of each variant its relative error and its time, in that of the first one."""
    level = installed().build("sdes", "vp", {}).at(0.5)
    label = torch.full((len(x),), 999 * level.t, dtype=torch.float64)
    truth = copy.deepcopy(network).double()(x.double(), label) / -level.sigma
    shape = (x.shape[1], x.shape[2], x.shape[3])
    models = [load_module(copy.deepcopy(network), shape, variant, CPU) for variant in VARIANTS]
    errors = [float((model.score(x, level) - truth).norm() / truth.norm()) for model in models]
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, times in zip(models, seconds, strict=True):
            begun = time.process_time()
            model.score(x, level)
            times.append(time.process_time() - begun)
    ratios = [statistics.median(a / b for a, b in zip(t, seconds[0], strict=True)) for t in seconds]
    return list(zip(errors, ratios, strict=True))


def write(
    folder: Path,
    networks: Mapping[str, Callable[[], nn.Module]],
    *,
    size: int = 32,
    batches: Sequence[int] = (16, 64),
    rounds: int = 7,
) -> None:
    """Write formats.csv, and print it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x = torch.randn((max(batches), 3, size, size), generator=torch.Generator().manual_seed(0))
    rows: list[dict[str, Any]] = []
    try:
        for (name, make), batch in itertools.product(networks.items(), batches):
            torch.manual_seed(0)
            measured = compare(make(), x[:batch], rounds)
            uneven = compare(make_uneven(make()), x[:2], 1)
            for variant, (error, ratio), (uneven_error, _) in zip(VARIANTS, measured, uneven, strict=True):
                row = {"network": name, "batch": batch, "variant": variant.name, "time": f"{ratio:.2f}"}
                rows.append(row | {"error": f"{error:.1e}", "uneven_error": f"{uneven_error:.1e}"})
    finally:
        torch.set_num_threads(threads)
    speed.write(folder / "formats.csv", rows)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, NETWORKS)


if __name__ == "__main__":
    main()
