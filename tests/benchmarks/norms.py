"""Group norm in two passes on the CPU: its error and time against torch's own, within one run.

    python -m tests.benchmarks.norms FOLDER

writes norms.csv. Rows are group norms of activations whose mean is 0, 30 and 300 standard deviations, and
whole networks of random weights, even and uneven. Errors are relative, against float64: of torch's in
contiguous memory, of torch's in channels-last memory, and of the product's in channels-last memory. Ratios of
time are to torch's in channels-last memory: medians over rounds in which the three take turns, in processor
seconds of one thread, which other work on the machine disturbs least.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn

from bench import TinyUNet
from bench.checkpoints.networks.layers import GroupNorm, TwoPassGroupNorm
from bench.checkpoints.networks.unet import PUBLISHED, UNet, UNetConfig

LAYERS = (((16, 64, 16, 16), 4), ((16, 128, 8, 8), 8), ((8, 128, 32, 32), 32), ((8, 256, 16, 16), 32))
"""Shapes and groups: two of cifar10-tiny, two of the published networks."""


class Case(NamedTuple):
    """A module, its input, and its label if it is a network."""

    name: str
    module: nn.Module
    x: Tensor
    label: tuple[Tensor, ...] = ()


@contextmanager
def torch_norms() -> Iterator[None]:
    """Networks with torch's group norm."""
    with mock.patch.object(TwoPassGroupNorm, "forward", nn.GroupNorm.forward):
        yield


def spread(network: nn.Module, *, uneven: bool) -> nn.Module:
    """A network with random weights, none of them zero.

    Uneven ones have channels of different scales, and biases of several times their activations' deviation.
    """
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                scales = torch.randn(len(parameter), generator=generator).mul(uneven).exp()
                values *= scales.view(-1, *[1] * (parameter.ndim - 1)) / parameter[0].numel() ** 0.5
            elif name.endswith("weight"):
                values = (values * 0.5 * uneven).exp()
            else:
                values *= 3 if uneven else 0.1
            parameter.copy_(values)
    return network.eval().requires_grad_(False)


def layers() -> Iterator[Case]:
    """Group norms alone."""
    for shape, groups in LAYERS:
        for ratio in (0, 30, 300):
            norm = GroupNorm(groups, shape[1]).requires_grad_(False)
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + ratio
            yield Case(f"group norm {'x'.join(map(str, shape))}, mean / sd {ratio}", norm, x)


def networks(configs: dict[str, UNetConfig], batch: int) -> Iterator[Case]:
    """Whole networks, the first one that of ``cifar10-tiny``."""
    label = torch.full((batch,), 0.5)
    x = torch.randn((batch, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    for uneven in (False, True):
        kind = "uneven" if uneven else "even"
        yield Case(f"tiny, {kind} weights", spread(TinyUNet(), uneven=uneven), x, (label,))
        for name, config in configs.items():
            yield Case(f"{name}, {kind} weights", spread(UNet(config), uneven=uneven), x, (label,))


@torch.no_grad()
def compare(case: Case, rounds: int) -> dict[str, str]:
    """The row of a case."""
    with torch_norms():
        wide = copy.deepcopy(case.module).double()
        truth = wide(case.x.double(), *(label.double() for label in case.label))
    turned = copy.deepcopy(case.module).to(memory_format=torch.channels_last)
    x = case.x.contiguous(memory_format=torch.channels_last)

    def run(name: str) -> tuple[float, float]:
        """Error and processor seconds."""
        module, images = (case.module, case.x) if name == "contiguous" else (turned, x)
        begun = time.process_time()
        y = module(images, *case.label)
        return float((y.double() - truth).norm() / truth.norm()), time.process_time() - begun

    errors: dict[str, float] = {}
    seconds: dict[str, list[float]] = {"contiguous": [], "channels_last": [], "two_passes": []}
    for turn in range(rounds + 1):
        for name, times in seconds.items():
            if name == "two_passes":
                errors[name], used = run(name)
            else:
                with torch_norms():
                    errors[name], used = run(name)
            if turn:  # the first one warms up
                times.append(used)
    row = {"case": case.name} | {f"error_{name}": f"{value:.1e}" for name, value in errors.items()}
    for name in ("contiguous", "two_passes"):
        ratios = [a / b for a, b in zip(seconds[name], seconds["channels_last"], strict=True)]
        row[f"time_{name}"] = f"{statistics.median(ratios):.2f}"
    return row


def write(folder: Path, cases: Iterable[Case], rounds: int) -> None:
    """Write norms.csv, and print it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [compare(case, rounds) for case in cases]
    finally:
        torch.set_num_threads(threads)
    with (folder / "norms.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print((folder / "norms.csv").read_text())


def main(arguments: Sequence[str]) -> None:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    configs = {name: PUBLISHED[name] for name in ("ddpm", "ncsnpp_continuous", "iddpm")}
    # few channels to a group: their own means then stand out most
    narrow = {f"{k}, width 32": dataclasses.replace(v, width=32, blocks=1) for k, v in configs.items()}
    write(folder, [*layers(), *networks(narrow | configs, batch=2)], rounds=7)


if __name__ == "__main__":
    main(sys.argv[1:])
