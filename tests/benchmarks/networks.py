"""How fast a published network samples, by memory format, precision and compilation; ratios within one run.

    python -m tests.benchmarks.networks results/reference [SCORE_SDE_PYTORCH]

writes networks-cpu.csv and networks-cpu.png, its bars (DDPM at width 64, random weights). ``share`` is that
of the processor's own rate for products of matrices in the same precision. With a checkout of
score_sde_pytorch, ``over_score_sde`` compares with its own network in its own sampler (float32) in the same
run. A GPU is asked by `tests.benchmarks.gpu`. ``warm_s`` is a cold compilation: minutes on two cores, which
are most of this command's time.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench import Model, Prediction
from bench.checkpoints.cards import Card
from bench.checkpoints.load import load_model
from bench.checkpoints.networks.tiny import TinyUNet
from bench.checkpoints.networks.unet import PUBLISHED, UNet, UNetConfig
from bench.diffusion.noise import noise_streams
from bench.types import Precision
from tests.benchmarks.overhead import sampler
from tests.support.analytic import grid_of
from tests.support.plugins import installed

CALLS = 2000
"""Network calls of a sample in Song et al.'s PC1000."""


class Variant(NamedTuple):
    """How a network is run: ``channels_last`` of its weights and its input, or contiguous (NCHW); ``graphs``
    where it is compiled into a CUDA graph, in place of the compilation of a run."""

    name: str
    precision: Precision = "fp32"
    compile: bool = False
    channels_last: bool = True
    graphs: bool = False


class TinyConfig(NamedTuple):
    """The network of ``cifar10-tiny``."""

    size: int = 32
    channels: int = 3


Config = UNetConfig | TinyConfig


def build(config: Config) -> nn.Module:
    """The network, untrained."""
    return TinyUNet() if isinstance(config, TinyConfig) else UNet(config)


ON_CPU = (
    Variant("fp32, NCHW", channels_last=False),
    Variant("fp32, channels-last"),
    Variant("bf16, channels-last", "bf16"),
    Variant("fp32, compiled", compile=True, channels_last=False),
    Variant("bf16, compiled", "bf16", compile=True),
)
ON_GPU = (
    Variant("fp32"),
    Variant("tf32", "tf32"),
    Variant("bf16", "bf16"),
    Variant("bf16, compiled", "bf16", compile=True),
    Variant("fp32, NCHW", channels_last=False),
    Variant("bf16, NCHW", "bf16", channels_last=False),
    Variant("bf16, compiled, NCHW", "bf16", compile=True, channels_last=False),
    Variant("bf16, CUDA graph", "bf16", graphs=True),
)
FULL: dict[str, Config] = {
    "cifar10-tiny": TinyConfig(),
    **{name: PUBLISHED[name] for name in ("ddpm", "ncsnpp_continuous")},
}


class Speed(NamedTuple):
    """Of one variant: network evaluations of one image a second, the ratio to the first variant, and the
    seconds of its first run, in which it compiles and warms up.

    Medians over rounds in which all variants take turns; the ratio is the median of the rounds' own ratios.
    """

    evaluations: float
    ratio: float
    warm: float


class FixedMemory(nn.Module):
    """A network that is handed its images in a memory format, whatever a run chooses."""

    def __init__(self, network: nn.Module, memory: torch.memory_format, *, graphs: bool = False) -> None:
        super().__init__()
        self.network, self.memory, self.graphs = network, memory, graphs
        # another mode is another compilation: torch would take that of a network of the same code for it
        mode = "reduce-overhead"
        self.call = torch.compile(network, mode=mode, dynamic=False) if graphs else network

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        y: Tensor = self.call(x.contiguous(memory_format=self.memory), label)
        return y.clone() if self.graphs else y  # the next replay writes over it


def load(config: Config, variant: Variant, device: torch.device) -> Model:
    """A network with random weights, as a run loads it: a DDPM on VP."""
    torch.manual_seed(0)
    return load_module(build(config), (config.channels, config.size, config.size), variant, device)


def load_module(
    module: nn.Module, shape: tuple[int, int, int], variant: Variant, device: torch.device
) -> Model:
    """A network that predicts the noise of VP, as a run loads it, in the variant's memory."""
    memory = torch.channels_last if variant.channels_last else torch.contiguous_format
    network = FixedMemory(module, memory, graphs=variant.graphs)
    fields: dict[str, Any] = dict.fromkeys(("summary", "licence", "author", "data", "metric"), "none")
    fields |= {"name": "random", "format": "score_sde", "files": [{"name": "none"}]}
    fields |= {"shape": shape, "data_range": (-1.0, 1.0)}
    card = Card(**fields, sde="vp", predicts="noise", labels="999t")
    with mock.patch("bench.checkpoints.load.read_network", return_value=network):
        model = load_model(
            card, sampler(1).sde, device, installed(), precision=variant.precision, compile=variant.compile
        )
    network.to(memory_format=memory)
    return model


def allow(precision: Precision) -> None:
    """Float32 products in TF32 or not, as a run does."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


def wait(device: torch.device) -> float:
    """The time when the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@torch.no_grad()
def once(model: Model, variant: Variant, like: Tensor, steps: int) -> tuple[float, int]:
    """Seconds and network calls of one predictor-corrector run shaped as ``like``."""
    allow(variant.precision)
    pc = dataclasses.replace(sampler(steps), grid=grid_of("polynomial"))  # which may be as short as one likes
    prior, predictor, corrector = noise_streams(0, 0, like.device)
    score = Prediction(model, pc.sde)
    x, begun = prior(like), wait(like.device)
    pc.run(x, score, predictor, corrector)
    return wait(like.device) - begun, score.calls


def compare(
    config: Config,
    variants: Sequence[Variant],
    batch: int,
    *,
    steps: int,
    rounds: int,
    device: torch.device,
) -> list[Speed]:
    """The variants' speeds, each on a network of its own."""
    like = torch.empty(batch, config.channels, config.size, config.size, device=device)
    result: list[list[float]] = [[] for _ in variants]
    # in an empty cache: what was compiled yesterday would not be compiled again
    with (
        tempfile.TemporaryDirectory() as cache,
        mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache),
    ):
        if any(variant.compile for variant in variants):
            torch.compiler.reset()
        models = [load(config, variant, device) for variant in variants]
        pairs = list(zip(models, variants, strict=True))
        warm = [once(model, variant, like, steps)[0] for model, variant in pairs]
        for _ in range(rounds):
            for (model, variant), speeds in zip(pairs, result, strict=True):
                seconds, calls = once(model, variant, like, steps)
                speeds.append(batch * calls / seconds)
    return [
        Speed(
            statistics.median(speeds),
            statistics.median(a / b for a, b in zip(speeds, result[0], strict=True)),
            first,
        )
        for speeds, first in zip(result, warm, strict=True)
    ]


@torch.no_grad()
def flops(config: Config, device: torch.device) -> int:
    """Floating-point operations of one image's evaluation, a multiplication and an addition being two."""
    network = build(config).to(device)
    x = torch.zeros(1, config.channels, config.size, config.size, device=device)
    with FlopCounterMode(display=False) as counter:
        network(x, torch.ones(1, device=device))
    return int(counter.get_total_flops())


def matrix_rate(precision: Precision, size: int, device: torch.device, rounds: int = 10) -> float:
    """Floating-point operations a second of a product of two matrices of this size, the best of rounds."""
    allow(precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)
    a @ b
    seconds = []
    for _ in range(rounds):
        begun = wait(device)
        a @ b
        seconds.append(wait(device) - begun)
    return 2 * size**3 / min(seconds)


def processor() -> str:
    """The processor's name, and what it has for products in bfloat16."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    report = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    has = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in report.get("flags", "").split()]
    return " ".join([report.get("model name", platform.machine()), *has])


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The rows as CSV, and on the screen."""
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(path.read_text())


def speed_row(variant: Variant, speed: Speed) -> dict[str, Any]:
    """What both tables tell of a variant."""
    return {
        "variant": variant.name,
        "evaluations_per_s": f"{speed.evaluations:.4g}",
        "pc1000_samples_per_s": f"{speed.evaluations / CALLS:.4g}",
        "ratio": f"{speed.ratio:.2f}",
        "warm_s": f"{speed.warm:.1f}",
    }


def on_cpu(
    folder: Path,
    config: UNetConfig,
    *,
    batch: int = 32,
    steps: int = 1,
    rounds: int = 5,
    size: int = 2048,
    variants: Sequence[Variant] = ON_CPU,
    theirs: Path | None = None,
) -> None:
    """Write networks-cpu.csv and its plot; ``size`` is that of the matrices whose product is the measure."""
    cpu = torch.device("cpu")
    speeds = compare(config, variants, batch, steps=steps, rounds=rounds, device=cpu)
    about = {"batch": batch, "threads": torch.get_num_threads(), "torch": torch.__version__}
    about["processor"] = processor()
    work, their_evaluations = flops(config, cpu), None
    if theirs is not None:
        from tests.benchmarks.score_sde import their_speed

        settings: dict[str, Any] = {"width": config.width, "steps": steps, "rounds": rounds, "device": cpu}
        their_evaluations = their_speed(theirs, batch, **settings).evaluations
    rows = []
    for variant, speed in zip(variants, speeds, strict=True):
        row = speed_row(variant, speed)
        row["share"] = f"{speed.evaluations * work / matrix_rate(variant.precision, size, cpu):.3f}"
        over = None if their_evaluations is None else speed.evaluations / their_evaluations
        rows.append(row | {"over_score_sde": "" if over is None else f"{over:.2f}"} | about)
    write(folder / "networks-cpu.csv", rows)
    plot(folder / "networks-cpu.png", rows)


def on_gpu(
    folder: Path,
    networks: Mapping[str, Config],
    *,
    batches: Iterable[int] = (256, 1024),
    steps: int = 3,
    rounds: int = 5,
    size: int = 8192,
    variants: Sequence[Variant] = ON_GPU,
    device: torch.device,
) -> None:
    """Write networks-gpu.csv; ``size`` is that of the matrices whose product is the measure."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    rows = []
    for network, config in networks.items():
        work = flops(config, device)
        for batch in batches:
            speeds = compare(config, variants, batch, steps=steps, rounds=rounds, device=device)
            for variant, speed in zip(variants, speeds, strict=True):
                reached, most = speed.evaluations * work, matrix_rate(variant.precision, size, device)
                row: dict[str, Any] = {"network": network, "batch": batch, **speed_row(variant, speed)}
                row |= {"tflop_per_s": f"{reached / 1e12:.4g}", "matrix_tflop_per_s": f"{most / 1e12:.4g}"}
                row |= {"share": f"{reached / most:.3f}", "torch": torch.__version__, "device": name}
                rows.append(row)
    write(folder / "networks-gpu.csv", rows)


def plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A bar per variant, its speed against the first's, and beside it evaluations a second."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from bench.reporting.figure_style import COLORS, STYLE

    first = rows[0]
    threads = f"{first['threads']} CPU thread{'s' if int(first['threads']) > 1 else ''}"
    with mpl.rc_context({**STYLE, "axes.axisbelow": True}):
        figure = Figure(figsize=(6.4, 0.9 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        names, ratios = [row["variant"] for row in rows], [float(row["ratio"]) for row in rows]
        bars = axes.barh(names, ratios, 0.66, color=[COLORS[-1], *[COLORS[0]] * (len(rows) - 1)])
        axes.bar_label(bars, [f"{float(row['evaluations_per_s']):.3g} / s" for row in rows], padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"network evaluations per second, {first['variant']} = 1 ({threads})")
        figure.savefig(path, metadata={"Software": None})


def main() -> None:
    folder, *theirs = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    on_cpu(folder, dataclasses.replace(PUBLISHED["ddpm"], width=64), theirs=theirs[0] if theirs else None)


if __name__ == "__main__":
    main()
