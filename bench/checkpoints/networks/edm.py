"""EDM's preconditioning: one denoiser for every noise level (Karras et al. 2022)."""

from __future__ import annotations

from torch import Tensor, nn


class EDMDenoiser(nn.Module):
    """Denoiser ``D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)`` (Karras et al. 2022, eq. 7).

    With ``s = sqrt(sigma^2 + sigma_data^2)``: ``c_skip = sigma_data^2 / s^2``,
    ``c_out = sigma sigma_data / s``, ``c_in = 1 / s``, ``c_noise = ln(sigma) / 4`` (Table 1).
    """

    def __init__(self, network: nn.Module, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor, *classes: Tensor) -> Tensor:
        """Expected clean item given ``x = x0 + sigma noise``.

        Args:
            x: Noisy items (B, *shape).
            sigma: Their noise (B,) or (1,), positive.
            *classes: Of a class-conditional network, its argument ``classes`` (B,).

        Returns:
            The expected clean items (B, *shape).
        """
        noise = sigma.view(-1, *[1] * (x.dim() - 1))
        total = noise**2 + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = noise * self.sigma_data * total.rsqrt()
        c_in = total.rsqrt()
        f = self.network(x * c_in, sigma.log() / 4, *classes)
        result: Tensor = c_skip * x + c_out * f.to(x.dtype)
        return result
