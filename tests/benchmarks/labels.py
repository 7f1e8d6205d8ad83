"""What a training at discrete noise scales, and the label by which it is asked, are worth.

    python -m tests.benchmarks.labels results/reference

The exact ``fd_dct`` of every cell of Song et al.'s Tables 1 and 4, without sampling noise, for three scores
of one Gaussian: ``gaussian-cifar10``, exact at every level; and ``gaussian-cifar10-1000``, which was trained
at 1000 scales, asked on VP by the index i of the scale (of 2000 steps i / 2) or by t (N - 1), as the
published code does; on VE both are i. Writes labels.csv and labels.png.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench import Array, Card, Sampler
from bench.checkpoints.convention import Convention
from bench.checkpoints.exact import exact_data, trained_answer
from bench.checkpoints.label import Index
from bench.closed_form.mixture import Answer, on_range
from bench.closed_form.moments import frechet, moments
from bench.diffusion.sde import SDE
from tests.support.plugins import installed

PREDICTORS = ("ancestral", "reverse_diffusion", "probability_flow")
SNR = {
    ("ve", "ancestral"): 0.17,
    ("ve", "reverse_diffusion"): 0.16,
    ("ve", "probability_flow"): 0.17,
    ("ve", "none"): 0.22,
    ("vp", "ancestral"): 0.01,
    ("vp", "reverse_diffusion"): 0.01,
    ("vp", "probability_flow"): 0.04,
    ("vp", "none"): 0.27,
}
"""Table 5's r."""
SCALES = 1000
COLUMNS = {"exact_score": "exact at every level", "label_i": "label i", "label_t": "label t (N - 1)"}


def cells() -> list[tuple[str, str, str, dict[str, Any]]]:
    """(SDE, predictor, column, settings) of every cell."""
    rows: list[tuple[str, str, str, dict[str, Any]]] = []
    for sde in ("ve", "vp"):
        for predictor in PREDICTORS:
            corrector = {"corrector": {"snr": SNR[sde, predictor]}}
            rows.append((sde, predictor, "P1000", {"steps": SCALES}))
            rows.append((sde, predictor, "P2000", {"steps": 2 * SCALES}))
            rounding = {"steps": 2 * SCALES, "label_scales": SCALES}
            rows.append((sde, predictor, "P2000 rounding", rounding))
            rows.append((sde, predictor, "PC1000", {"steps": SCALES} | corrector))
        alone = {"corrector": {"snr": SNR[sde, "none"], "steps": 2}}
        rows.append((sde, "none", "C2000", {"steps": SCALES} | alone))
    return rows


def data(sde: SDE) -> tuple[Array, Array]:
    """Mean and variance of the Gaussian on an SDE's range."""
    exact, color = exact_data(card("gaussian-cifar10"))
    moved = on_range(exact, sde.data_range, color)
    return moved.mean[0], moved.variance[0]


def card(name: str) -> Card:
    """A registered card."""
    result: Card = installed().get("checkpoints", name).thing
    return result


def value(sde_name: str, predictor: str, settings: dict[str, Any], score: str) -> float:
    """The exact ``fd_dct`` of a cell."""
    registry, settings = installed(), dict(settings)
    sde = registry.build("sdes", sde_name, {})
    corrector = settings.pop("corrector", None)
    sampler = Sampler(
        sde,
        registry.build("predictors", predictor, {}),
        None if corrector is None else registry.build("correctors", "langevin", corrector),
        **settings,
    )
    mean, variance = data(sde)
    low, high = sde.data_range
    result = moments(sampler, mean, variance, answer(sde, score))
    return frechet(*result, mean, variance) / float(high - low) ** 2


def answer(sde: SDE, score: str) -> Answer | None:
    """How the checkpoint answers: exactly, by label i, or by the label that its SDE's networks have."""
    trained = card(f"gaussian-cifar10-{SCALES}")
    if score == "exact_score":
        return None
    if score == "label_t" or sde.name == "ve":
        return trained_answer(trained, sde)
    return Convention(Index(), sde, trained.scales).answer


def draw(path: Path, rows: list[list[str]]) -> None:
    """The VP cells, a row each."""
    from matplotlib.figure import Figure

    cell_rows = [row for row in rows[1:] if row[0] == "vp"]
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * len(cell_rows)), layout="constrained")
    axes = figure.subplots()
    heights = np.arange(len(cell_rows))[::-1]
    for column, marker in zip(COLUMNS, "|ox", strict=True):
        index = rows[0].index(column)
        axes.plot(
            [float(row[index]) for row in cell_rows], heights, marker, label=COLUMNS[column], markersize=9
        )
    axes.set_yticks(heights, [f"{row[2]}, {row[1]}".replace(", none", "") for row in cell_rows])
    axes.set_xscale("log")
    axes.set_xlabel("exact fd_dct on VP (lower is better)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    rows = [["sde", "predictor", "column", *COLUMNS]]
    for sde, predictor, column, settings in cells():
        rows.append(
            [sde, predictor, column, *(f"{value(sde, predictor, settings, score):.6g}" for score in COLUMNS)]
        )
        print(*rows[-1], flush=True)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)
    draw(folder / "labels.png", rows)


if __name__ == "__main__":
    main()
