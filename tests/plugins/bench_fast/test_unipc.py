"""UniPC against diffusers', and its correction."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bench import Prediction, Sampler, Tensor
from bench_fast.unipc import UniPC
from tests.support.analytic import gaussian, grid_of, sde
from tests.support.published_fast import PLACES, check_multistep, multistep, quiet

pytestmark = quiet

MU = np.array([[0.4, -0.5, 0.2], [0.3, -1.0, 0.0]])
LAM = np.array([[0.01, 0.3, 1.0], [4.0, 0.05, 2.0]])
MODEL = gaussian(MU, LAM)


@pytest.mark.parametrize(
    ("order", "variant", "checkpoint", "law"),
    [(order, b, *place) for order in (1, 2, 3) for b in ("bh1", "bh2") for place in PLACES[:3]]
    + [(3, "bh1", *PLACES[3])],
)
def test_it_is_diffusers(checkpoint: str, law: str, order: int, variant: str) -> None:
    scheduler = partial(multistep, "UniPCMultistepScheduler", solver_order=order, solver_type=variant)
    parameters = {"order": order, "variant": variant}
    # theirs has no step to clean data at that order
    check_multistep(checkpoint, law, "unipc", "unipc", parameters, scheduler, whole=False)


def test_a_correctors_moves_are_preserved() -> None:
    """UniC adds a difference: a shift of the state between two steps passes through it unchanged."""
    sampler = Sampler(sde("vp"), UniPC(), steps=6, grid=grid_of("logsnr"))
    score = Prediction(MODEL, sampler.sde)
    predictor, steps = sampler.predictor, sampler.schedule()
    assert predictor is not None
    x = torch.ones(1, *MU.shape, dtype=torch.float64)
    x, _, state = predictor.step(x, steps[0], score, torch.zeros_like, None)

    class Shifted:
        """The network's answer does not see the shift, so that the state alone carries it on."""

        sde = sampler.sde

        def denoised(self, y: Tensor, level: Any) -> Tensor:
            return score.denoised(x, level)

    plain, _, _ = predictor.step(x, steps[1], score, torch.zeros_like, state)
    moved, _, _ = predictor.step(x + 0.5, steps[1], Shifted(), torch.zeros_like, state)  # type: ignore[arg-type]
    expected = 0.5 * steps[1].sigma_next / steps[1].sigma  # D is as it was: x alone has moved
    torch.testing.assert_close(moved - plain, torch.full_like(plain, expected))
