"""Bits/dim by the probability flow and the instantaneous change of variables."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import ClassVar, Literal

from bench import (
    SDE,
    BatchContext,
    BenchError,
    Card,
    Images,
    MixtureModel,
    Prediction,
    Sampler,
    Task,
    Tensor,
    param,
)


class Likelihood(Task):
    """Bits/dim of images (Song et al. 2021, eq. 39 and appendix D.2):

        log p(x) = log prior(x(T)) + int_eps^T div v(x(t), t) dt,   dx/dt = v(x, t),   x(eps) = x,

    with the probability flow's velocity v. Images are taken as states at eps: this is the density at eps, not
    at 0, and on VE, whose noise at eps is already sigma_min, the two differ. The divergence is
    ``e^T (dv/dx) e``, the mean over probes e of zero mean and unit covariance, drawn once per image (Skilling
    1989, Hutchinson 1990), or exact where the score is closed-form. A counted evaluation is one call of the
    network and, for each probe, one product with its Jacobian.

    8-bit images are dequantized, (k + u) / 256 with u uniform on [0, 1). In bits per dimension of pixels 0 to
    255, whatever the SDE's data range: ``-log2 p(x) / D + 8 - log2(high - low)``.
    """

    name = "likelihood"
    outputs = ("bits_per_dim",)
    metrics = ("bits_per_dim",)
    takes_data = True
    follows_flow = True
    default_solver = "rk45"
    sde_defaults: ClassVar[dict[str, float]] = {"eps": 1e-5}

    divergence: Literal["estimate", "exact"] = param(
        default="estimate", help="by probes, or in closed form on exact checkpoints"
    )
    probe: Literal["rademacher", "gaussian"] = param(default="rademacher", help="distribution of the probes")
    probes: int = param(default=1, help="probes per image", low=1, high=1000)
    dequantize: Literal["auto", "uniform", "none"] = param(
        default="auto", help="noise of one gray level; auto: on 8-bit images, not on floats"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.divergence == "exact" and (self.probe, self.probes) != ("rademacher", 1):
            raise BenchError("an exact divergence takes no probes: leave out task.probe and task.probes")

    def check(self, card: Card, sampler: Sampler) -> None:
        if self.divergence == "exact" and not card.exact:
            raise BenchError(
                f"the divergence of {card.name}'s score is not known in closed form: "
                "leave out -P task.divergence=exact"
            )

    def check_data(self, data: Images | None, samples: int, batch_size: int) -> None:
        if self.dequantize == "uniform" and (data is None or data.kind == "run"):
            what = "draws of an exact checkpoint" if data is None else f"the samples of {data.name}"
            raise BenchError(f"{what} are no 8-bit images: leave out -P task.dequantize=uniform")

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        images = batch.images
        assert images is not None
        if self.dequantize == "uniform" or (self.dequantize == "auto" and are_bytes(images)):
            images = dequantize(images, batch)
        x, sde = batch.model.states(images), batch.sampler.sde
        log_p, latent = self.log_density(x, batch)
        outputs = {"bits_per_dim": bits_per_dim(log_p, sde, x[0].numel())}
        if isinstance(batch.model, MixtureModel):
            # the truth, which the solver reaches as its tolerance falls
            true = true_log_density(x, latent, batch)
            outputs["limit_bits_per_dim"] = bits_per_dim(true, sde, x[0].numel())
        return outputs

    def warm(self, batch: BatchContext) -> None:
        x = batch.prior()
        self.flow(x, batch)(batch.sampler.sde.end, x)

    def flow(self, x: Tensor, batch: BatchContext) -> Flow:
        """The velocity and its divergence; the probes are shaped as x (B, ...)."""
        p = batch.prediction
        if self.divergence == "exact":
            return lambda t, x: p.velocity_and_divergence(x, t)
        noise = batch.noise("probe")
        probes = [noise(x) for _ in range(self.probes)]
        if self.probe == "rademacher":
            probes = [(2 * (e > 0) - 1).to(x.dtype) for e in probes]
        return estimated_flow(p, probes)

    def log_density(self, x: Tensor, batch: BatchContext) -> tuple[Tensor, Tensor]:
        """``log p(x)`` (B,), in nats, and the latents x(T) (B, ...); x (B, ...) states at eps."""
        sde, flow = batch.sampler.sde, self.flow(x, batch)

        def field(t: float, y: Tensor) -> Tensor:
            v, divergence = flow(t, y[:, :-1].view_as(x))
            return append_column(v, divergence)

        y = batch.integrate(field, append_column(x, x.new_zeros(len(x))), sde.eps, sde.end)
        latent = y[:, :-1].view_as(x)
        return log_prior(latent, sde) + y[:, -1], latent


Flow = Callable[[float, Tensor], tuple[Tensor, Tensor]]
"""``flow(t, x)``: velocity (B, ...) and its divergence (B,)."""


def estimated_flow(p: Prediction, probes: list[Tensor]) -> Flow:
    """The velocity, and the mean of ``e^T (dv/dx) e`` over probes e (B, ...)."""
    import torch

    def flow(t: float, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = p.velocity(x, t)
        divergence = x.new_zeros(len(x))
        with p.clock or nullcontext():
            for e in probes:
                (product,) = torch.autograd.grad(v, x, e, retain_graph=e is not probes[-1])
                divergence += (product * e).flatten(1).sum(1)
        return v.detach(), divergence / len(probes)

    return flow


def append_column(x: Tensor, column: Tensor) -> Tensor:
    """x (B, ...) as rows, with a number (B,) at the end of each: (B, D + 1)."""
    import torch

    return torch.cat([x.flatten(1), column[:, None]], dim=1)


def log_prior(latent: Tensor, sde: SDE) -> Tensor:
    """``log N(x(T); 0, prior_std^2 I)`` (B,), in nats and float64."""
    z = latent.flatten(1).double() / sde.prior_std
    constant = z.shape[1] * (0.5 * math.log(2 * math.pi) + math.log(sde.prior_std))
    return -0.5 * (z**2).sum(1) - constant


def true_log_density(x: Tensor, latent: Tensor, batch: BatchContext) -> Tensor:
    """``log p_eps(x) + log prior(x(T)) - log p_T(x(T))``, the true ``log p(x)`` on an exact checkpoint,
    (B,) in nats.

    Runs have the prior in place of the marginal p_T, so that the ratio of the two at x(T) enters. It varies
    so little with x(T) that the solver's error there does not show.
    """
    import torch

    assert isinstance(batch.model, MixtureModel)
    model = MixtureModel(batch.model.data, x.device, torch.float64, color=None, range_=batch.model.range)
    sde = batch.sampler.sde

    def log_marginal(x: Tensor, t: float) -> Tensor:
        return model.log_components(x.double(), sde.at(t)).logsumexp(1)

    return log_marginal(x, sde.eps) + log_prior(latent, sde) - log_marginal(latent, sde.end)


def bits_per_dim(log_p: Tensor, sde: SDE, dimension: int) -> Tensor:
    """Log-densities of states, in nats, as negative log2-densities per dimension of pixels 0 to 255."""
    low, high = sde.data_range
    return log_p / (-math.log(2) * dimension) + (8 - math.log2(high - low))


def are_bytes(images: Tensor) -> bool:
    """Whether images on [0, 1] are bytes k as k / 255, up to rounding: devices divide differently."""
    scaled = images * 255
    return bool(((scaled - scaled.round()).abs() < 1e-4).all())


def dequantize(images: Tensor, batch: BatchContext) -> Tensor:
    """Bytes k as (k + u) / 256, with u uniform on [0, 1): the normal distribution function of noise."""
    # the stream's name decides its bits
    z = batch.noise("dequantise")(images)
    return (images * 255 + (1 + (z / math.sqrt(2)).erf()) / 2) / 256
