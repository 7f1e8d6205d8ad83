"""The conformance kit passes a sound predictor on every SDE."""

from __future__ import annotations

from bench import (
    assert_conforms,
)
from tests.support.plugins import installed
from tests.support.samplers import Sound


def test_the_sound_original_passes() -> None:
    assert_conforms(Sound, registry=installed())
