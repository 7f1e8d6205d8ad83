"""Random streams: standard normal noise from (seed, batch, role)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


Noise = Callable[["Tensor"], "Tensor"]
"""``noise(x)``: a fresh standard normal draw shaped as x, from the run's own stream; yours to overwrite."""


def streams(
    seed: int, batch: int, device: Any, roles: Sequence[str] = ("prior", "predictor", "corrector")
) -> Any:
    """The random streams of one batch, one per role (`stream`)."""
    return tuple(stream(seed, batch, role, device) for role in roles)


def stream(seed: int, batch: int, role: str, device: Any) -> Noise:
    """The random stream of one role of one batch, from (seed, batch, role) alone.

    The prior's depends on nothing else, so that all samplers start from the same noise and can be
    compared in pairs.
    """
    import numpy as np
    import torch

    entropy = np.random.SeedSequence([seed, batch, *role.encode()])
    generator = torch.Generator(device=device)
    generator.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

    return noise
