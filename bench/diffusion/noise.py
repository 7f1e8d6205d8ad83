"""Random streams: standard normal noise from (seed, batch, role)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, device


class Noise(Protocol):
    """A random stream of one batch: ``z = noise(x)``, z ~ N(0, I) of the shape of x.

    Any callable with this signature is a stream. A sampler draws all its randomness from the streams that it
    receives. They derive from (seed, batch, role) alone, so that a rerun has the same bits.
    """

    def __call__(self, x: Tensor, /) -> Tensor:
        """The stream's next draw.

        Args:
            x: A tensor (B, ...), used for its shape, precision and device alone.

        Returns:
            A fresh standard normal tensor of that shape, precision and device; the caller may overwrite it.
        """
        ...


def _entropy(seed: int, batch: int, role: str) -> np.random.SeedSequence:
    import numpy as np

    return np.random.SeedSequence([seed, batch, *role.encode()])


def noise_stream(seed: int, batch: int, role: str, device: device | str) -> Noise:
    """The random stream of one role of one batch, from (seed, batch, role) alone.

    The role ``prior`` depends on nothing else: all samplers start from the same noise and can be compared
    in pairs.
    """
    import numpy as np
    import torch

    entropy = _entropy(seed, batch, role)
    generator = torch.Generator(device=device)
    generator.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def noise(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

    return noise


def draw_integers(seed: int, batch: int, role: str, count: int, size: int) -> NDArray[np.int64]:
    """Independent integers, uniform from 0 to ``count - 1``, from (seed, batch, role) alone; (size,)."""
    import numpy as np

    generator = np.random.default_rng(_entropy(seed, batch, role))
    return generator.integers(count, size=size, dtype=np.int64)


def noise_streams(
    seed: int, batch: int, device: device | str, roles: Sequence[str] = ("prior", "predictor", "corrector")
) -> tuple[Noise, ...]:
    """The random streams of one batch, one per role (`noise_stream`)."""
    return tuple(noise_stream(seed, batch, role, device) for role in roles)


def draw_seed(noise: Noise, x: Tensor) -> int:
    """A seed for a library's own generator: the bits of the first two numbers of one draw of the stream.

    Args:
        noise: A random stream; one draw of the shape of x is taken from it.
        x: The state (B, ...), with two elements or more.

    Returns:
        An integer from 0 to 2^63 - 1.
    """
    import torch

    low, high = noise(x).flatten()[:2].to(torch.float32).view(torch.int32).tolist()
    return int((high & 0x7FFFFFFF) << 32 | (low & 0xFFFFFFFF))
