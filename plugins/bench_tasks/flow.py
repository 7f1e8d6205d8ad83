"""Images to latents by the probability flow, and back."""

from __future__ import annotations

from bench import BatchContext, Tensor


def encode(x: Tensor, batch: BatchContext) -> Tensor:
    """States (B, ...) at eps -> latents ``z = x(T) / prior_std``, standard normal under the prior."""
    sde = batch.sampler.sde
    return _follow(x, batch, sde.eps, sde.end) / sde.prior_std


def decode(z: Tensor, batch: BatchContext) -> Tensor:
    """Latents (B, ...) -> states at eps."""
    sde = batch.sampler.sde
    return _follow(z * sde.prior_std, batch, sde.end, sde.eps)


def _follow(x: Tensor, batch: BatchContext, start: float, end: float) -> Tensor:
    """The probability flow ``dx/dt`` (Song et al. 2021, eq. 13) from one time to another."""
    p = batch.prediction
    return batch.integrate(lambda t, x: p.velocity(x, t), x, start, end)
