"""The refined exponential solver against ComfyUI's, recorded."""

from __future__ import annotations

from bench_fast.res import RESMultistep
from tests.support.authors import agrees


def test_it_is_comfyuis() -> None:
    """``sample_res_multistep``."""
    agrees(RESMultistep(), "res_multistep")
