"""The shipped cards are registered."""

from __future__ import annotations

from typing import Any

import bench_checkpoints
from bench import Card, registry_path


def test_every_card_is_registered_once() -> None:
    cards: list[Any] = []
    bench_checkpoints.register_checkpoints(cards.append)
    assert all(isinstance(card, Card) for card in cards)
    names = [path.stem for path in registry_path("cards").glob("*.toml")]
    assert sorted(card.name for card in cards) == sorted(names)
