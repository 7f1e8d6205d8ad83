"""The reader of score_sde_pytorch's files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import SDE, BenchError
from bench_readers.score_sde import ScoreSDE, frozen, views
from tests.support import score_sde_files as files
from tests.support.plugins import installed

NAME = "ncsnpp_ve"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.save(files.published(NAME), tmp_path / "small.pth")
    return tmp_path


def law(sigma_max: float) -> SDE:
    sde: SDE = installed().build("sdes", "ve", {"sigma_max": sigma_max})
    return sde


def test_the_average_or_the_last_weights(folder: Path) -> None:
    card = files.card(NAME, folder, "small.pth")
    for reader, phase in ((ScoreSDE(weights="ema"), 0.5), (ScoreSDE(weights="raw"), 0.0)):
        network = reader.read(card, folder, None)
        expected = files.tensors(NAME, phase)
        raw = files.tensors(NAME)
        for name, view in views(network):
            source = raw if name in frozen(network) else expected  # the average lacks the frozen ones
            assert torch.equal(view, source[name]), name  # type: ignore[arg-type]


def test_the_noise_levels_in_the_file_are_those_of_the_sde(folder: Path) -> None:
    card = files.card(NAME, folder, "small.pth")
    ScoreSDE().read(card, folder, law(50.0))
    with pytest.raises(BenchError, match=r"its noise levels are from 50 to 0\.01, its card's from 90"):
        ScoreSDE().read(card, folder, law(90.0))
