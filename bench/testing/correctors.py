"""Whether a corrector leaves the exact marginal where it is, but for the known bias of its step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from bench.diffusion.prediction import Prediction
from bench.diffusion.roles import Corrector
from bench.diffusion.sde import SDE
from bench.testing.probe import GAUSSIAN, Stream, Watched, marginal, prior, sampler
from bench.testing.report import Finding, guarded, judged

BATCH = 512


def correctors(part: Corrector, sdes: Sequence[SDE]) -> Iterator[Finding]:
    """On every SDE."""
    for sde in sdes:
        yield from guarded(f"invariance, {sde.name}", lambda sde=sde: invariance(part, sde))  # type: ignore[misc]


def invariance(part: Corrector, sde: SDE) -> Iterator[Finding]:
    """One move from the exact marginal N(m, v), at a noisy, a middle and a clean scale.

    A move takes x to ``m + A (x - m)`` in the mean and adds noise of variance c^2 per coordinate. Langevin
    dynamics with a step e has A = 1 - k, k = e / v, and c^2 = 2 k v: the variance becomes (1 + k^2) v, its
    known bias. Required of each coordinate: ``|A^2 v + c^2 - v| <= k^2 v``, give or take what the estimates
    of A (a regression of the mean on x) and of c (the noise's mean square) may be off, and k > 0.
    """
    name = f"invariance, {sde.name}"
    if part.calls == 0:
        yield Finding(name, "info", "makes no moves")
        return
    own, worst, pulls = part.resolve(sde), 0.0, []
    plan = sampler(part, sde, 40).schedule()
    for scale in (plan[4], plan[20], plan[36]):
        mean, variance = (torch.from_numpy(one) for one in marginal(sde, scale))
        x = mean + variance.sqrt() * prior(BATCH, seed=31)
        with torch.no_grad():
            update = own.step(x, scale, Prediction(Watched(GAUSSIAN, sde), sde), Stream(32))
        y, moved = (x - mean) / variance.sqrt(), (update.mean - mean) / variance.sqrt()
        kept = ((y - y.mean(0)) * (moved - moved.mean(0))).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
        # a corrector that takes norms over each sample scatters its pull; its mean is what the marginal sees
        left = (kept**2).numpy() + ((update.x - update.mean) ** 2 / variance).mean(0).numpy()
        pull = 1 - kept.numpy()
        noise = ((update.x - update.mean) ** 2 / variance).mean(0).numpy()
        # c^2 is the mean of 512 squares: four of its standard errors, over all coordinates' draws six
        slack = 6 * math.sqrt(2 / BATCH) * noise + 1e-6
        worst = max(worst, float(((np.abs(left - 1) - 1.1 * pull**2) / slack).max()))
        pulls.append(float(np.median(pull)))
    still = max(map(abs, pulls)) < 1e-9
    if still:
        yield Finding(name, "info", "moves nothing")
        return
    inward = min(pulls) > 0
    said = "variance within its bias" if worst <= 1 else f"variance off, {worst:.1f} times what it may be"
    said = f"pull {' '.join(f'{p:.1e}' for p in pulls)} a move; {said if inward else 'away from the mean'}"
    yield judged(
        name, worst <= 1 and inward, said, "leaves the marginal but for pull^2", pulls=pulls, worst=worst
    )
