"""What is here of a checkpoint, as plain facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import BenchError, Card, registry_path
from bench.checkpoints.install.installer import import_files
from bench.checkpoints.install.states import (
    all_facts,
    facts,
    fetchable,
    file_facts,
    refuse_unfetchable,
    state,
    total_bytes,
    verify,
)
from bench.plugins.registry import Entry
from tests.support.served import content, fake_registry, sha256, write_card

BODY = content(2000)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """A checkpoint whose size and hash nobody has published."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return Card.read(write_card(tmp_path / "cards", "mine", [{"name": "weights.bin"}]))


def entry(card: Card) -> Entry:
    return Entry("checkpoints", card.name, card, "dist", "1.0")


def test_an_absent_checkpoint(card: Card) -> None:
    assert (state(card), fetchable(card), total_bytes(card)) == ("by hand", False, None)
    (file,) = file_facts(card)
    assert (file.bytes, file.sha256, file.hash) == (None, None, "not known")
    with pytest.raises(BenchError, match=r"can't be fetched by a program: put weights\.bin into"):
        refuse_unfetchable(card)
    ((problem,), unknown) = verify(card)
    assert "is not here" in problem
    assert unknown == []


def test_an_installed_checkpoint(card: Card, tmp_path: Path) -> None:
    (tmp_path / "download").write_bytes(BODY)
    assert import_files(card, tmp_path / "download", fake_registry())
    assert (state(card), total_bytes(card)) == ("installed", 2000)
    (file,) = file_facts(card)
    assert (file.bytes, file.sha256, file.hash) == (2000, sha256(BODY), "recorded at first installation")
    assert verify(card) == ([], [])
    row = facts(entry(card)).plain()
    assert (row["from"], row["bytes"], row["state"], row["sde"]) == ("dist 1.0", 2000, "installed", "vp")
    assert "distribution" not in row
    whole = all_facts(entry(card))
    assert whole["source"] == str(tmp_path / "download")
    assert row.items() <= whole.items()
    (card.folder / "weights.bin").write_bytes(BODY[:-1])
    assert state(card) == "damaged"


def test_a_shipped_checkpoint() -> None:
    card = Card.read(registry_path("cards", "gaussian-cifar10.toml"))
    row = facts(entry(card))
    assert (row.state, row.noise_levels, row.predicts) == ("shipped", "any", "score (exact)")
    assert all_facts(entry(card))["source"] is None


def test_the_noise_levels_of_exact_checkpoints() -> None:
    names = ("gaussian-cifar10", "gaussian-cifar10-1000")
    rows = [facts(entry(Card.read(registry_path("cards", f"{name}.toml")))) for name in names]
    assert [row.noise_levels for row in rows] == ["any", "1000 discrete"]
    assert {row.predicts for row in rows} == {"score (exact)"}
