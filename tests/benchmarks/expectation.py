"""What the closed form of the Langevin corrector is worth: batch norms taken at their expectation.

    python -m tests.benchmarks.expectation results/reference

On ``gaussian-cifar10``, predictor-corrector runs at several batch sizes: the ratio of sampled to
closed-form variance, averaged over the 3072 coefficients, with its standard error; ``relative_bias``
beyond a few standard errors is the approximation's. Writes langevin_expectation.csv.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import numpy as np
import torch

from bench import Card, Prediction, Sampler
from bench.checkpoints.exact import exact_data
from bench.checkpoints.load import load_model
from bench.closed_form.mixture import on_range
from bench.closed_form.moments import moments
from bench.diffusion.noise import noise_streams
from tests.support.plugins import installed

STEPS, SAMPLES, SNR = 60, 2048, 0.16


def main() -> None:
    registry = installed()
    card: Card = registry.get("checkpoints", "gaussian-cifar10").thing
    device = torch.device("cpu")
    rows = [["sde", "snr", "steps", "batch", "samples", "relative_bias", "standard_error"]]
    for name in ("ve", "vp", "subvp"):
        sampler = Sampler(
            sde=registry.build("sdes", name, {}),
            predictor=registry.build("predictors", "reverse_diffusion", {}),
            corrector=registry.build("correctors", "langevin", {"snr": SNR}),
            steps=STEPS,
        )
        data, color = exact_data(card)
        moved = on_range(data, sampler.sde.data_range, color)
        mean, variance = moments(sampler, moved.mean[0], moved.variance[0])
        model = load_model(card, sampler.sde, device, registry)
        for batch in (1, 4, 16, 128):
            total = np.zeros_like(variance)
            for index in range(SAMPLES // batch):
                prior, predictor, corrector = noise_streams(0, index, device)
                start = prior(torch.empty(batch, *model.shape))
                x = sampler.run(start, Prediction(model, sampler.sde), predictor, corrector)
                total += ((x.double().numpy() - mean) ** 2).sum(axis=0)
            ratio = total / SAMPLES / variance
            error = math.sqrt(2 / (SAMPLES * variance.size))
            rows.append(
                [
                    name,
                    f"{SNR}",
                    f"{STEPS}",
                    f"{batch}",
                    f"{SAMPLES}",
                    f"{ratio.mean() - 1:.2e}",
                    f"{error:.1e}",
                ]
            )
            print(*rows[-1], flush=True)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "langevin_expectation.csv").open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
