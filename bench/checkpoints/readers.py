"""Role Reader: one published format of checkpoint files."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from bench.checkpoints.cards import Card
from bench.params import Plugin

if TYPE_CHECKING:
    from torch.nn import Module


class Reader(Plugin):
    """Reads a format; its ``name`` is the ``format`` of cards.

    Files are data: whatever they hold, nothing of it is run. Every failure is a `BenchError` of one line
    that begins with what is wrong; the caller names the checkpoint.
    """

    def prepare(self, card: Card, folder: Path) -> None:
        """Turn what was fetched into what `read` reads, in place; called once, before it is installed.

        ``folder`` holds the card's files and nothing else; the default leaves them as they are.
        """
        del card, folder

    @abstractmethod
    def read(self, card: Card, folder: Path) -> Module:
        """The network with its weights, float32 on the host.

        ``network(x, label)``: x (B, C, H, W), label (1,) or (B,) -> (B, C, H, W), or (B, 2 C, H, W) where the
        card has ``learned_variance``.

        Every tensor of the file must find its place, and every place its tensor, of the same shape.
        """
