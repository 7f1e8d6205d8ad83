"""A network that is called in parts of a batch where the whole does not fit into the GPU's memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.diffusion.counting import report_part


class InParts:
    """A network whose call is halved, again and again, when the GPU's memory runs out.

    The network alone works on parts: the sampler's loop goes on with the whole batch, whose norms and steps
    it may share. Each state's answer is the same to rounding, and not to the bit, since a library picks its
    kernels by size. What is found to fit holds for later calls.

    Args:
        network: Takes states (B, *shape), labels (1,) or (B,), and further tensors (B,).
    """

    def __init__(self, network: Callable[..., Tensor]) -> None:
        self.network = network
        self.most: int | None = None
        """Greatest number of states of a call; None while every call has fitted."""

    def __call__(self, x: Tensor, labels: Tensor, *arguments: Tensor) -> Tensor:
        """The answer to all states.

        Raises:
            torch.OutOfMemoryError: A single state does not fit.
        """
        while True:
            size = len(x) if self.most is None else min(self.most, len(x))
            try:
                return self._in_parts(size, x, labels, *arguments)
            except torch.OutOfMemoryError:
                if size <= 1:
                    raise
            # outside of the handler, which keeps the failed call's tensors alive
            self.most = -(-size // 2)
            if x.device.type == "cuda":
                torch.cuda.empty_cache()

    def _in_parts(self, size: int, x: Tensor, labels: Tensor, *arguments: Tensor) -> Tensor:
        if size >= len(x):
            return self.network(x, labels, *arguments)
        report_part(size)
        answers = []
        for first in range(0, len(x), size):
            part = slice(first, first + size)
            own = labels if len(labels) == 1 else labels[part]
            answers.append(self.network(x[part], own, *(argument[part] for argument in arguments)))
        return torch.cat(answers)
