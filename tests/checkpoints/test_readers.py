"""Role Reader: what the base class does for every format."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from bench import SDE, Card, Reader
from tests.support.served import Fake, write_card


def test_prepare_leaves_files_as_they_are(tmp_path: Path) -> None:
    class Plain(Reader):
        name = "plain"

        def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
            del card, folder, sde
            return nn.Identity()

    card = Card.read(write_card(tmp_path / "cards", "mine", [{"name": "x"}]))
    (tmp_path / "x").write_bytes(b"1")
    Plain().prepare(card, tmp_path)
    assert (tmp_path / "x").read_bytes() == b"1"
    assert isinstance(Plain().read(card, tmp_path, None), nn.Identity)


def test_a_reader_without_read_is_abstract() -> None:
    class Half(Reader):
        name = "half"

    with pytest.raises(TypeError, match="read"):
        Half()  # type: ignore[abstract]
    assert Fake.parameters() == []
