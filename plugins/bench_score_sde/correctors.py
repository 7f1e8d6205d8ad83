"""The paper's correctors (Song et al. 2021, appendix G, algorithms 4 and 5)."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, Self

from bench import SDE, Corrector, LangevinLike, Noise, Scale, ScoreFunction, Tensor, Update, param


class _Langevin(LangevinLike):
    name = "langevin_like"

    snr: float | None = param(
        None, "signal-to-noise ratio r; none takes the published best of the SDE", low=0
    )
    steps: int = param(1, "moves per noise scale", low=1)

    @property
    def calls(self) -> int:
        return self.steps

    def resolve(self, sde: SDE) -> Self:
        return dataclasses.replace(self, snr=sde.best_snr) if self.snr is None else self


class Langevin(_Langevin):
    """Langevin dynamics: ``e = 2 a (r |z| / |s|)^2``, ``x' = x + e s + sqrt(2 e) z``.

    a is 1 for VE, alpha_i = 1 - beta_i for VP, and for sub-VP the squared ratio of mean factors
    between neighbouring scales. The norms are means over the batch, as published; ``sqrt_d`` puts
    sqrt(d) for |z| (for small batches), ``sample`` gives each sample its own norms and step.
    """

    name = "langevin"

    norm: Literal["batch", "sqrt_d", "sample"] = param("batch", "how |z| and |s| are taken")

    def size(self, scale: Scale, noise_norm: Any, score_norm: Any) -> Any:
        assert self.snr is not None
        return 2 * scale.shrink * (self.snr * noise_norm / score_norm) ** 2

    def step(self, x: Tensor, scale: Scale, score: ScoreFunction, noise: Noise) -> Update:
        s, z = score(x, scale), noise(x)
        s_norm: Tensor = s.flatten(1).norm(dim=1)
        z_norm: Tensor | float = (
            math.sqrt(s[0].numel()) if self.norm == "sqrt_d" else z.flatten(1).norm(dim=1)
        )
        if self.norm == "sample":
            e = self.size(scale, z_norm, s_norm).view(-1, *[1] * (x.dim() - 1))
        else:
            e = self.size(scale, z_norm if isinstance(z_norm, float) else z_norm.mean(), s_norm.mean())
        mean = x.addcmul(s, e)
        return Update(mean.addcmul(z, (2 * e).sqrt()), mean)


class AnnealedLangevin(_Langevin):
    """Annealed Langevin dynamics (SMLD, NCSN): ``e = 2 a (r sigma)^2``, with the marginal's sigma."""

    name = "annealed_langevin"

    def size(self, scale: Scale, noise_norm: Any = None, score_norm: Any = None) -> float:
        del noise_norm, score_norm
        assert self.snr is not None
        return 2 * scale.shrink * (self.snr * scale.sigma) ** 2

    def step(self, x: Tensor, scale: Scale, score: ScoreFunction, noise: Noise) -> Update:
        e = self.size(scale)
        mean = x.add(score(x, scale), alpha=e)
        return Update(mean.add(noise(x), alpha=math.sqrt(2 * e)), mean)


class NoCorrector(Corrector):
    """No corrector: the predictor works alone."""

    name = "none"

    def step(self, x: Tensor, scale: Scale, score: ScoreFunction, noise: Noise) -> Update:
        del scale, score, noise
        return Update(x, x)
