"""What the readers' examples share."""

from __future__ import annotations

import torch
from torch import nn

from bench_readers.edm import EDM
from bench_readers.example import SMALL_UNET, example_card, random_weights
from bench_readers.score_sde import ScoreSDE


def test_the_card_says_what_it_is_given_and_contradicts_nothing() -> None:
    card = example_card(ScoreSDE(), ["a.pth"], predicts="noise", labels="999t", network=SMALL_UNET)
    assert (card.format, card.sde, [file.name for file in card.files]) == ("score_sde", "vp", ["a.pth"])
    assert card.contradiction() == ""
    denoiser = example_card(EDM(), ["a.safetensors"], predicts="edm", labels="edm")
    assert (denoiser.sde, denoiser.contradiction()) == (None, "")


def test_no_weight_stays_zero() -> None:
    """Zero weights, as networks start with, would hide that a reader does not read them."""
    matrix = nn.Linear(64, 64)
    network = nn.Sequential(matrix, nn.LayerNorm(64))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    random_weights(network)
    assert all(bool((parameter != 0).all()) for parameter in network.parameters())
    assert abs(float(matrix.weight.detach().std()) * 8 - 1) < 0.1
