"""What configurations of networks share: bounds and reading."""

from __future__ import annotations

import pytest

from bench import BenchError, EDM2Config, UNetConfig
from bench.checkpoints.networks.config import MOST, check_sizes, read_config
from bench.checkpoints.networks.edm2 import PUBLISHED


@pytest.mark.parametrize(
    ("size", "widths", "blocks", "message"),
    [
        (12, [8, 8, 8, 8], 1, "can't be halved 3 times"),
        (1, [8, 8], 1, "can't be halved 1 times"),
        (8, [2 * MOST], 1, f"{2 * MOST} channels are more than {MOST}"),
        (8, [MOST], 64, "parameters is more than"),
    ],
)
def test_sizes_are_bounded(size: int, widths: list[int], blocks: int, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        check_sizes(size, widths, blocks)


def test_a_published_configuration_is_overridden_key_by_key() -> None:
    config = read_config(EDM2Config, {"configuration": "img64_s", "multipliers": [1]}, PUBLISHED, "it")
    assert (config.width, config.multipliers, config.classes) == (192, (1,), 1000)
    with pytest.raises(BenchError, match=r"unknown key 'witdh' of it.*did you mean 'width'"):
        read_config(EDM2Config, {"witdh": 1}, PUBLISHED, "it")


@pytest.mark.parametrize("cls", [EDM2Config, UNetConfig])
def test_values_are_checked_against_their_annotations(cls: type) -> None:
    with pytest.raises(BenchError, match=r"width: input should be greater than or equal to 1, not 0"):
        cls(width=0)
    with pytest.raises(BenchError, match=r"blocks: "):
        cls(blocks="3")
