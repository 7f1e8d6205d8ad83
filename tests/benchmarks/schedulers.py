"""What the samplers of diffusers, k-diffusion and azula do, measured one by one on data with a known answer.

    pip install -e '.[diffusers,kdiffusion]'; pip install --no-deps azula
    python -m tests.benchmarks.schedulers results/reference

writes schedulers.csv and schedulers.png; docs/schedulers.md says how to read them. The data are a mixture
of two normal distributions on the line, under VP. There the probability flow keeps the rank of a sample, so
that its end is the quantile of the data at the rank of the start: the truth, in closed form. It takes some
minutes on a core.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch.utils._python_dispatch import TorchDispatchMode

from bench import SDE, Array, BenchError, Model, Prediction, Sampler, Solver, Tensor
from bench.closed_form.mixture import Mixture, MixtureModel
from bench.diffusion.noise import noise_streams
from bench.diffusion.sampler import default_denoise
from bench_adapters.common import levels_between
from bench_adapters.diffusers import trial_of
from tests.support.plugins import installed

Finding = Literal["level_off", "noise_left", "top_left_out", "order_low", "float32", "one_step", "stops"]
"""What a sampler gets wrong: a timestep stands for another level than its state's (`LEVEL_OFF`); noise is
left at the end; the first timestep is below T; the error falls with a lower power than published; float32
is worse than float64; one step is refused, or fails; the library stops at a number of calls of the
table."""
WEIGHTS, MEANS, DEVIATION = (0.35, 0.65), (-0.6, 0.4), 0.15
CALLS = (10, 20, 50)
REFINED = (40, 80)
"""Calls between which the order is measured."""
FLOW_SAMPLES, RANDOM_SAMPLES = 256, 2048
LEVEL_OFF, LEFT_OUT, ORDER_LOW, FLOAT32 = 1.02, 0.95, 0.5, 1.5
"""Factor between two levels, part of rho at T, difference of two orders, and factor between two errors from
which there is a finding."""
PUBLISHED_ORDER = {
    "DDIM": 1, "DDIMParallel": 1, "CogVideoXDDIM": 1, "EulerDiscrete": 1, "EDMEuler": 1,
    "FlowMatchEulerDiscrete": 1, "MiniMaxH3": 1, "HeunDiscrete": 2, "FlowMatchHeunDiscrete": 2,
    "KDPM2Discrete": 2, "LMSDiscrete": 4, "PNDM": 4, "IPNDM": 4, "DEISMultistep": 2, "DPMSolverMultistep": 2,
    "DPMSolverSinglestep": 2, "EDMDPMSolverMultistep": 2, "UniPCMultistep": 2,
    "euler": 1, "heun": 2, "dpm_2": 2, "lms": 4, "dpmpp_2m": 2,
    "DDIMSampler": 1, "EulerSampler": 1, "HeunSampler": 2, "zABSampler": 2, "vABSampler": 2, "zEABSampler": 2,
    "xEABSampler": 2, "REABSampler": 2,
}  # fmt: skip
"""Orders of deterministic samplers at their default settings: of the papers that their documentation
cites."""
VARIANTS = {
    "DDIM": ("timestep_spacing=linspace", "timestep_spacing=trailing"),
    "DDPM": ("timestep_spacing=trailing",),
    "PNDM": ("timestep_spacing=linspace", "timestep_spacing=trailing", "skip_prk_steps=true"),
    "DEISMultistep": ("use_karras_sigmas=true",),
    "DPMSolverMultistep": (
        "use_karras_sigmas=true", "use_exponential_sigmas=true", "use_beta_sigmas=true",
        "use_lu_lambdas=true", "final_sigmas_type=sigma_min", "algorithm_type=sde-dpmsolver++",
    ),
    "UniPCMultistep": ("use_karras_sigmas=true",),
    "SASolver": ("use_karras_sigmas=true",),
    "EulerDiscrete": ("use_karras_sigmas=true", "final_sigmas_type=sigma_min"),
    "FlowMatchEulerDiscrete": ("shift=3.0",),
}  # fmt: skip
"""Settings of diffusers' schedulers beside the defaults."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        library: diffusers, k-diffusion or azula.
        sampler: Its name there.
        config: Its settings, where they are not the defaults.
        levels: Where the network is asked: at the ``state``'s level or its ``timestep``'s.
        nfe: Network calls per sample in 20 steps.
        first_level: sigma / alpha of the first timestep over that at T.
        last_level: sigma / alpha of the last timestep over that at eps.
        level_off: The greatest factor between the level of a state and that of its timestep.
        noise_left: sigma / alpha of the result.
        deterministic: Whether the result depends on the start alone.
        draws: Tensors of normal noise that a run of 20 steps draws.
        published_order: The order that is published, of deterministic ones.
        measured_order: The power with which the error falls from 40 calls to 80.
        error: ``flow``: root-mean-square distance per sample to the flow's end; ``data``: 1-Wasserstein
            distance to the data, of which exact draws have 0.022 on average; both over the data's
            deviation.
        float64: The error at `CALLS`.
        float32: The same in float32.
        findings: What it gets wrong.
    """

    library: str
    sampler: str
    config: str
    levels: str
    nfe: int
    first_level: float
    last_level: float
    level_off: float
    noise_left: float
    deterministic: bool
    draws: int
    published_order: int | None
    measured_order: float | None
    error: Literal["flow", "data"]
    float64: tuple[float, ...]
    float32: tuple[float, ...]
    findings: tuple[Finding, ...]

    def texts(self) -> list[str]:
        """The line of the CSV."""
        order = "" if self.measured_order is None else f"{self.measured_order:.2f}"
        return [
            self.library, self.sampler, self.config, self.levels, str(self.nfe), f"{self.first_level:.4g}",
            f"{self.last_level:.4g}", f"{self.level_off:.4g}", f"{self.noise_left:.1e}",
            "yes" if self.deterministic else "no", str(self.draws),
            "" if self.published_order is None else str(self.published_order), order, self.error,
            *(f"{value:.3g}" for value in (*self.float64, *self.float32)), " ".join(self.findings),
        ]  # fmt: skip


COLUMNS = [
    "library", "sampler", "config", "levels", "nfe_of_20_steps", "first_level", "last_level", "level_off",
    "noise_left", "deterministic", "draws_of_20_steps", "published_order", "measured_order", "error",
    *(f"{precision}_{calls}_calls" for precision in ("float64", "float32") for calls in CALLS), "findings",
]  # fmt: skip


class _Draws(TorchDispatchMode):
    """Counts the tensors of normal noise that torch draws."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.count += name in ("randn", "randn_like", "normal_", "normal", "normal_functional")
        return func(*args, **(kwargs or {}))


@functools.cache
def _sde() -> SDE:
    law: SDE = installed().build("sdes", "vp", {})
    return law


@functools.cache
def _model(dtype: torch.dtype) -> Model:
    mean = np.array(MEANS).reshape(2, 1, 1, 1)
    data = Mixture(np.array(WEIGHTS), mean, np.full_like(mean, DEVIATION**2))
    return MixtureModel(data, "cpu", dtype, color=None, range_=_sde().data_range)


def _quantiles(ranks: Array, alpha: float, sigma: float) -> Array:
    """The values of these ranks under the mixture at a noise level."""
    deviation = math.hypot(alpha * DEVIATION, sigma)

    def excess(x: float, rank: float) -> float:
        return float(np.dot(WEIGHTS, norm.cdf(x, np.multiply(alpha, MEANS), deviation)) - rank)

    ends = alpha * min(MEANS) - 12 * deviation, alpha * max(MEANS) + 12 * deviation
    return np.array([brentq(excess, *ends, args=(rank,), xtol=1e-13) for rank in ranks])


@functools.cache
def _flow_truth(count: int) -> tuple[Tensor, Tensor]:
    """Starts at T (count, 1, 1, 1), and ends of the flow with the denoising step at eps; float64."""
    law = _sde()
    top, end = law.at(law.end), law.at(law.eps)
    draw = noise_streams(0, 0, "cpu")[0](torch.empty(count, 1, 1, 1, dtype=torch.float64))
    deviation = math.hypot(top.alpha * DEVIATION, top.sigma)
    ranks = norm.cdf(draw.numpy().reshape(-1, 1) * law.prior_std, np.multiply(top.alpha, MEANS), deviation)
    at_eps = torch.from_numpy(_quantiles(ranks @ np.array(WEIGHTS), end.alpha, end.sigma)).view_as(draw)
    return draw, Prediction(_model(torch.float64), law).denoised(at_eps, end)


@functools.cache
def _data(count: int) -> Array:
    """The quantiles of the data in the middle of ``count`` equal parts."""
    return _quantiles((np.arange(count) + 0.5) / count, 1.0, 0.0)


def _spread() -> float:
    mean = np.dot(WEIGHTS, MEANS)
    return math.sqrt(DEVIATION**2 + float(np.dot(WEIGHTS, (np.array(MEANS) - mean) ** 2)))


def _error_in(name: str, values: dict[str, Any], calls: int, dtype: torch.dtype) -> float:
    """The error in so many calls at most; not a number where the library stops."""
    try:
        return _error(_with_calls(name, values, calls), dtype)
    except BenchError:
        return math.nan


def _error(solver: Solver, dtype: torch.dtype) -> float:
    """The distance of a run's result from the truth, over the data's deviation."""
    random = solver.couples_batch
    start, truth = _flow_truth(RANDOM_SAMPLES if random else FLOW_SAMPLES)
    sampler = Sampler(_sde(), solver=solver, denoise=default_denoise(solver))
    streams = noise_streams(0, 0, "cpu")
    with torch.no_grad():
        x = sampler.run(start.to(dtype), Prediction(_model(dtype), _sde()), streams[1], streams[2])
    result = x.double()
    if random:
        sorted_result = np.sort(result.numpy().ravel())
        return float(np.abs(sorted_result - _data(RANDOM_SAMPLES)).mean()) / _spread()
    return float((result - truth).square().mean().sqrt()) / _spread()


def _with_calls(name: str, values: dict[str, Any], calls: int) -> Solver:
    """The sampler with the greatest number of steps that takes so many calls at most."""

    def built(steps: int) -> tuple[Solver, int]:
        solver: Solver = installed().build("solvers", name, values | {"steps": steps})
        return solver, solver.nfe() or 0

    steps = calls
    solver, nfe = built(steps)
    while nfe > calls:
        steps = min(steps - 1, steps * calls // nfe)
        solver, nfe = built(steps)
    while True:
        better, nfe = built(steps + 1)
        if nfe > calls:
            return solver
        solver, steps = better, steps + 1


def _takes_one_step(name: str, values: dict[str, Any]) -> bool:
    try:
        _error(installed().build("solvers", name, values | {"steps": 1}), torch.float64)
    except BenchError:
        return False
    return True


def measure(name: str, values: dict[str, Any]) -> Row:
    """A line of the table.

    Args:
        name: The solver's name, ``family:member``.
        values: Its parameters, without ``steps``.
    """
    family, member = name.split(":")
    library = {"kdiffusion": "k-diffusion"}.get(family, family)
    label = member.removesuffix("Scheduler")
    solver = installed().build("solvers", name, values | {"steps": 20})
    law = _sde()
    bottom, top = (law.at(t).sigma / law.at(t).alpha for t in (law.eps, law.end))
    _error(solver, torch.float64)  # trials before a run draw too
    with _Draws() as draws:
        _error(solver, torch.float64)
    random = solver.couples_batch
    if family == "diffusers":
        trial = trial_of(solver, law)
        first, last, off = trial.timesteps[0], trial.timesteps[-1], trial.worst_call[1]
        rest = trial.noise_left
    else:
        levels = levels_between(law, 20 + (family == "azula"), "polynomial", 7.0)
        first, last, off = levels[0], levels[-1 - (family == "azula")], 1.0
        rest = 0.0 if solver.ends_clean else solver.end_level(law).sigma / solver.end_level(law).alpha
    errors = {
        dtype: tuple(_error_in(name, values, calls, dtype) for calls in CALLS)
        for dtype in (torch.float64, torch.float32)
    }
    published = None if random else PUBLISHED_ORDER.get(label)
    order = None if random else _order(name, values)
    wrong: dict[Finding, bool] = {
        "level_off": off > (1.1 if random else LEVEL_OFF),
        "noise_left": rest > 1e-4,
        "top_left_out": first < LEFT_OUT * top,
        "order_low": published is not None and order is not None and order < published - ORDER_LOW,
        "float32": not random and errors[torch.float32][-1] > FLOAT32 * errors[torch.float64][-1],
        "stops": any(map(math.isnan, (*errors[torch.float64], *errors[torch.float32]))),
        "one_step": not _takes_one_step(name, values),
    }
    return Row(
        library=library,
        sampler=label,
        config=values.get("config", ""),
        levels=values.get("levels", "state"),
        nfe=solver.nfe() or 0,
        first_level=first / top,
        last_level=last / bottom,
        level_off=off,
        noise_left=rest,
        deterministic=not random,
        draws=draws.count - random,  # the seed of its noise is drawn too
        published_order=published,
        measured_order=order,
        error="data" if random else "flow",
        float64=errors[torch.float64],
        float32=errors[torch.float32],
        findings=tuple(one for one in get_args(Finding) if wrong[one]),
    )


def _order(name: str, values: dict[str, Any]) -> float | None:
    """The power with which the error in float64 falls between `REFINED` calls; None where the library
    stops."""
    try:
        solvers = [_with_calls(name, values, calls) for calls in REFINED]
    except BenchError:
        return None
    coarse, fine = (_error(solver, torch.float64) for solver in solvers)
    steps = [float(solver.values()["steps"]) for solver in solvers]  # type: ignore[arg-type]
    return math.log(coarse / fine) / math.log(steps[1] / steps[0])


def samplers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every sampler with its settings; of diffusers' also where the network is told the timestep's level."""
    import azula.sample
    import diffusers
    import k_diffusion.sampling

    for name in sorted(dir(diffusers)):
        if not name.endswith("Scheduler"):
            continue
        for config in ("", *VARIANTS.get(name.removesuffix("Scheduler"), ())):
            values = {"config": config, "levels": "state"}
            try:
                solver = installed().build("solvers", f"diffusers:{name}", values)
            except BenchError:
                break
            yield f"diffusers:{name}", values
            if not solver.couples_batch and trial_of(solver, _sde()).worst_call[1] > LEVEL_OFF:
                yield f"diffusers:{name}", values | {"levels": "timestep"}
    for name in sorted(dir(k_diffusion.sampling)):
        if name.startswith("sample_"):
            member = f"kdiffusion:{name.removeprefix('sample_')}"
            try:
                installed().get("solvers", member)
            except BenchError:
                continue
            yield member, {}
    for name in azula.sample.__all__:
        if name != "Sampler":
            yield f"azula:{name}", {}


def write(folder: Path, chosen: Sequence[tuple[str, dict[str, Any]]] | None = None) -> None:
    """Measure the samplers, and write the table and its plot."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with (folder / "schedulers.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, values in samplers() if chosen is None else chosen:
            rows.append(measure(name, values))
            writer.writerow(rows[-1].texts())
            file.flush()
            print(*rows[-1].texts(), flush=True)
    draw(folder / "schedulers.png", rows)


def draw(path: Path, rows: Sequence[Row]) -> None:
    """The errors in float64, by sampler."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.5 + 0.19 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    parts = [
        (row.library, row.sampler, row.config, "" if row.levels == "state" else "(timestep)") for row in rows
    ]
    names = [" ".join(filter(None, part)) for part in parts]
    # blue, vermilion and green of Okabe and Ito, told apart by shape too
    looks = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"))
    for axis, kind, title in zip(axes, ("flow", "data"), ("to the flow's end", "to the data"), strict=True):
        for place, (calls, (color, marker)) in enumerate(zip(CALLS, looks, strict=True)):
            points = [(row.float64[place], at) for at, row in enumerate(rows) if row.error == kind]
            if points:
                axis.scatter(*zip(*points, strict=True), s=16, c=color, marker=marker, label=f"{calls} calls")
        axis.set_xscale("log")
        axis.set_title(f"distance {title}", fontsize=9)
        axis.grid(alpha=0.3)
        axis.margins(y=0.01)
    figure.supxlabel("in standard deviations of the data", fontsize=9)
    axes[0].set_yticks(range(len(names)), names, fontsize=6)
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=7, loc="upper left")
    figure.savefig(path, dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    write(Path(sys.argv[1]))
