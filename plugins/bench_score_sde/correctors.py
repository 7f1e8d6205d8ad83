"""The paper's correctors (Song et al. 2021, appendix G, algorithms 4 and 5)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, Self

from bench import SDE, Corrector, LangevinLike, Noise, Prediction, Step, Tensor, Update, batch_sum, param


class _Langevin(LangevinLike):
    name = "langevin_like"

    snr: float | None = param(
        default=None,
        help="signal-to-noise ratio r; none takes the published best of the SDE",
        low=0,
        flag="snr",
    )
    steps: int = param(default=1, help="moves at each noise level", low=1, flag="corrector-steps")

    @property
    def calls(self) -> int:
        return self.steps

    def resolve(self, sde: SDE) -> Self:
        return dataclasses.replace(self, snr=sde.best_snr) if self.snr is None else self


class Langevin(_Langevin):
    """Langevin dynamics: ``e = 2 a (r |z| / |s|)^2``, ``x' = x + e s + sqrt(2 e) z``.

    a is 1 for VE, alpha_i = 1 - beta_i for VP, and for sub-VP the squared ratio of mean factors
    between neighboring levels. The norms are means over the batch, as published; ``sqrt_d`` takes
    sqrt(d) for |z| (for small batches), ``sample`` gives each sample its own norms and step.
    """

    name = "langevin"

    norm: Literal["batch", "sqrt_d", "sample"] = param(
        default="batch", help="over what |z| and |s| are taken"
    )

    @property
    def couples_batch(self) -> bool:
        return self.norm != "sample"

    def size(self, step: Step, noise_norm: Any, score_norm: Any) -> Any:
        assert self.snr is not None
        return 2 * step.alpha_ratio * self.snr**2 * (noise_norm / score_norm) ** 2

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        from torch import addcmul
        from torch.linalg import vector_norm

        s, z = p.score(x, step), noise(x)
        each = tuple(range(1, x.dim()))
        if self.norm == "sample":
            e = self.size(
                step, vector_norm(z, dim=each, keepdim=True), vector_norm(s, dim=each, keepdim=True)
            )
        else:
            # sums over the batch for means: the batch size cancels
            expected = self.norm == "sqrt_d"
            noise_norm = len(x) * math.sqrt(x[0].numel()) if expected else batch_sum(vector_norm(z, dim=each))
            e = self.size(step, noise_norm, batch_sum(vector_norm(s, dim=each)))
        mean = x.addcmul(s, e)
        return Update(addcmul(mean, z, (2 * e).sqrt_(), out=z), mean)


class AnnealedLangevin(_Langevin):
    """Annealed Langevin dynamics (SMLD, NCSN): ``e = 2 a (r sigma)^2``, with the marginal's sigma."""

    name = "annealed_langevin"

    def size(self, step: Step, noise_norm: Any = None, score_norm: Any = None) -> float:
        del noise_norm, score_norm
        assert self.snr is not None
        return 2 * step.alpha_ratio * (self.snr * step.sigma) ** 2

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        e = self.size(step)
        mean = x.add(p.score(x, step), alpha=e)
        return Update(noise(x).mul_(math.sqrt(2 * e)).add_(mean), mean)


class NoCorrector(Corrector):
    """No corrector: the predictor works alone."""

    name = "none"
    uses_chain = False

    def step(self, x: Tensor, step: Step, p: Prediction, noise: Noise) -> Update:
        del step, p, noise
        return Update(x, x)
