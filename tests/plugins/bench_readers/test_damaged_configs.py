"""Absurd and damaged ``config.json``s of diffusers: one line each, before anything large is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench_readers.diffusers import configuration
from tests.plugins.bench_readers.test_diffusers import DDPM, NCSNPP, card
from tests.support.plugins import installed

BIG = 10**4000


@pytest.mark.parametrize(
    ("base", "change", "message"),
    [
        *((DDPM, {"norm_eps": bad}, "not a number between 0 and 1") for bad in (1, -1.0, 1e400, BIG)),
        (DDPM, {"norm_eps": float("nan")}, "norm_eps = NaN: not a number between 0 and 1"),
        (NCSNPP, {"mid_block_scale_factor": float("nan")}, "mid_block_scale_factor = NaN"),
        (NCSNPP, {"mid_block_scale_factor": BIG}, "mid_block_scale_factor = 1000"),
        (DDPM, {"layers_per_block": 10**6}, "makes no network: blocks: "),
        (DDPM, {"layers_per_block": BIG}, "layers_per_block = 1000"),
        (DDPM, {"block_out_channels": [10**9, 10**9]}, "makes no network: width: "),
        (DDPM, {"block_out_channels": [32, 32 * 10**6]}, "makes no network: multipliers: "),
        (DDPM, {"attention_head_dim": BIG}, "attention_head_dim = 1000"),
        (DDPM, {"block_out_channels": [8192, 8192], "layers_per_block": 64}, "makes no network: "),
        (
            DDPM,
            {
                "block_out_channels": [32] * 5000,
                "down_block_types": ["DownBlock2D"] * 5000,
                "up_block_types": ["UpBlock2D"] * 5000,
            },
            "makes no network: multipliers: ",
        ),
        (DDPM, {"a\x1b[31m": 1}, "config.json has a\\u001b[31m = 1: an unknown key"),
    ],
)
def test_absurd_values_of_a_configuration(base: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError) as caught:
        configuration(base | change, card(base))
    line = str(caught.value)
    assert line.isprintable()
    assert message in line
    assert line.startswith("its config.json ")
    assert len(line) < 500


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            b'{"norm_eps": ' + b"1" * 5000 + b"}",
            "config.json is not JSON, or damaged: a number in it is too long",
        ),
        (
            json.dumps({"_class_name": "red \x1b[31m\n"}).encode(),
            "config.json is of a red \\u001b[31m\\n, not of a UNet2DModel",
        ),
        (json.dumps({"_class_name": "x" * 10**6}).encode(), "config.json is of a xxx"),
        (b"\xff\xfe\x00", "config.json is not JSON, or damaged: it is not text"),
    ],
)
def test_a_damaged_configuration(config: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(config)
    reader = installed().build("readers", "diffusers", {})
    with pytest.raises(BenchError) as caught:
        reader.read(card(DDPM), tmp_path, None)
    line = str(caught.value)
    assert line.isprintable()
    assert line.startswith(message)
    assert "set_int_max" not in line
    assert len(line) < 300
