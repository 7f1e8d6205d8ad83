"""Langevin correctors: their steps by the paper's formulas, norms, and the SDE's own r."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench import Prediction, Sampler
from bench_score_sde.correctors import AnnealedLangevin, Langevin, NoCorrector
from tests.support.analytic import Replay, gaussian, sde

SHAPE = (1, 2, 2)
VP = sde("vp")
MODEL = gaussian(np.full(SHAPE, 0.3), np.full(SHAPE, 0.25))
STEP = Sampler(VP, steps=40).schedule()[12]
X = torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, *SHAPE)
Z = torch.linspace(2, -1, 12, dtype=torch.float64).view(3, *SHAPE)


def move(
    corrector: Langevin | AnnealedLangevin, rows: slice = slice(None)
) -> tuple[torch.Tensor, torch.Tensor]:
    update = corrector.step(X[rows], STEP, Prediction(MODEL, VP), Replay(Z[None, rows]))
    return update.x, update.mean


def test_langevins_step_is_algorithm_5s() -> None:
    score = MODEL.score(X, STEP)
    norms = [one.flatten(1).norm(dim=1).mean() for one in (Z, score)]
    e = 2 * STEP.alpha_ratio * (0.1 * norms[0] / norms[1]) ** 2
    x, mean = move(Langevin(snr=0.1))
    torch.testing.assert_close(mean, X + e * score)
    torch.testing.assert_close(x, X + e * score + (2 * e).sqrt() * Z)


def test_annealed_langevins_step_is_in_proportion_to_the_variance() -> None:
    e = 2 * STEP.alpha_ratio * (0.1 * STEP.sigma) ** 2
    x, mean = move(AnnealedLangevin(snr=0.1))
    torch.testing.assert_close(mean, X + e * MODEL.score(X, STEP))
    torch.testing.assert_close(x, mean + math.sqrt(2 * e) * Z)


@pytest.mark.parametrize("norm", ["batch", "sqrt_d", "sample"])
def test_norms_over_samples_alone_do_not_couple_the_batch(norm: str) -> None:
    corrector = Langevin(snr=0.1, norm=norm)  # type: ignore[arg-type]
    whole, part = move(corrector)[0][:1], move(corrector, slice(0, 1))[0]
    assert torch.allclose(whole, part, rtol=1e-12) is not corrector.couples_batch
    assert corrector.couples_batch == (norm != "sample")


def test_the_signal_to_noise_ratio_is_the_sdes_by_default() -> None:
    for name, best in (("ve", 0.16), ("vp", 0.01)):
        assert Langevin().resolve(sde(name)) == Langevin(snr=best)
        assert AnnealedLangevin(snr=0.3, steps=2).resolve(sde(name)).values() == {"snr": 0.3, "steps": 2}


def test_no_corrector_makes_no_call() -> None:
    p = Prediction(MODEL, VP)
    assert NoCorrector().calls == 0
    assert NoCorrector().step(X, STEP, p, Replay(torch.empty(0, 1))).x is X
    assert p.calls == 0
