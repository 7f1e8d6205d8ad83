"""Sums over a batch whose bits do not depend on the number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 8192
"""Numbers that torch adds up on one thread: it divides sums of 32,768 and more among its threads."""


def batch_sum(values: Tensor) -> Tensor:
    """``sum_i values_i``, added up in chunks of a fixed size.

    torch's own sum of a large tensor divides it by the number of threads, so that its rounding differs from
    one number to another. A sampler whose steps depend on a sum over the batch takes this one.

    Args:
        values: Tensor of any shape with at least one dimension; the first is the batch.

    Returns:
        The sum, a scalar of the same precision and device.
    """
    import torch

    # a sum along one dimension into several numbers is divided between these, not within one
    while values.dim() > 1:
        values = values.sum(dim=-1)
    while len(values) > 1:
        values = torch.stack([chunk.sum() for chunk in values.split(CHUNK)])
    return values.reshape(())
