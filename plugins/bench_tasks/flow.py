"""Images to latents by the probability flow, and back."""

from __future__ import annotations

from bench import BatchContext, Tensor, velocity


def encoded(x: Tensor, work: BatchContext) -> Tensor:
    """States (B, ...) at eps -> latents ``z = x(T) / prior_std``, standard normal under the prior."""
    sde = work.sampler.sde
    return _followed(x, work, sde.eps, sde.end) / sde.prior_std


def decoded(z: Tensor, work: BatchContext) -> Tensor:
    """Latents (B, ...) -> states at eps."""
    sde = work.sampler.sde
    return _followed(z * sde.prior_std, work, sde.end, sde.eps)


def _followed(x: Tensor, work: BatchContext, start: float, end: float) -> Tensor:
    """``dx/dt = f x - g^2 score / 2`` (Song et al. 2021, eq. 13) from one time to another."""
    sde, p = work.sampler.sde, work.prediction
    return work.integrate(lambda t, x: velocity(x, t, sde, p.score(x, t)), x, start, end)
