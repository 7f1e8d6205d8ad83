"""Role Reader: one published format of checkpoint files."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from bench.checkpoints.cards import Card
from bench.errors import BenchError
from bench.params import Plugin

if TYPE_CHECKING:
    from torch.nn import Module

    from bench.diffusion.sde import SDE


class Reader(Plugin):
    """Reader of one format of checkpoint files; its ``name`` is the ``format`` in cards.

    Files are data: a reader runs nothing that they hold. Every failure is a `BenchError` with a message of
    one line; the caller puts the checkpoint's name before it.
    """

    class_conditional: ClassVar[bool] = False
    """Whether it reads class-conditional networks (`Card.classes`)."""

    def prepare(self, card: Card, folder: Path) -> None:
        """Convert the fetched files in place to those that `read` takes; called once, at installation.

        Args:
            card: The checkpoint.
            folder: A folder that holds the card's files and nothing else. The default changes nothing.

        Raises:
            BenchError: The files are not of this format, or damaged.
        """
        del card, folder

    @abstractmethod
    def read(self, card: Card, folder: Path, sde: SDE | None) -> Module:
        """Build the card's network with its weights, in float32 on the host.

        Every tensor of the file must belong to the network, and every tensor of the network must be in the
        file, in the same shape.

        Args:
            card: The checkpoint.
            folder: The folder that holds its files, after `prepare`.
            sde: The SDE of the network's training according to the card, to check against files that state it
                too; None where the card names none.

        Returns:
            ``network(x, label)``, which maps x (B, C, H, W) and label (1,) or (B,) to (B, C, H, W), or to
            (B, 2 C, H, W) where the card has ``learned_variance``. Where the card has ``classes``,
            ``network(x, label, classes)`` with classes (B,), integers; -1 stands for no class.

        Raises:
            BenchError: The files are missing, damaged, or of another network than the card's.
        """

    def example(self, folder: Path) -> Card:
        """Write a small checkpoint of this format with random weights, for ``bench check`` to read.

        Args:
            folder: An empty folder, for the files as they are published: before `prepare`.

        Returns:
            Its card, which names the files.

        Raises:
            BenchError: The reader writes no example, as by default: it can't be checked.
        """
        del folder
        raise BenchError(f"{self.name} writes no example: define Reader.example")
