"""Conventions of published FIDs: what they fix, against the arithmetic of the papers' own codes."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import BenchError, FeatureMetric
from bench.data.pixels import to_uint8
from bench_fid import frechet
from bench_fid.frechet import FID
from bench_fid.inception import EDM_DATA
from bench_fid.presets import PRESETS
from tests.support.inception_stand_in import pictures, save_torchscript
from tests.support.metrics import metric_context
from tests.support.plugins import installed


def fid(**parameters: object) -> FID:
    """The metric, built as a command builds it."""
    instance: FID = installed().build("metrics", "fid", parameters)
    return instance


def values() -> torch.Tensor:
    """Numbers about [0, 1] and beyond it, none of them half way between two bytes."""
    x = np.linspace(-0.2, 1.2, 100_001)
    scaled = 255 * x
    return torch.from_numpy(x[np.abs(scaled - np.floor(scaled) - 0.5) > 1e-4]).float()


def test_edm_s_bytes() -> None:
    """generate.py: ``images * 127.5 + 128`` of images on [-1, 1], clipped and cast."""
    x = values()
    images = 2 * x.double() - 1
    expected = (images * 127.5 + 128).clip(0, 255).to(torch.uint8)
    assert torch.equal(to_uint8(x, fid(preset="edm").rounding), expected)


def test_song_s_bytes() -> None:
    """run_lib.py: ``np.clip(samples * 255., 0, 255).astype(np.uint8)`` of samples in float32."""
    x = values()
    expected = np.clip(x.numpy() * 255.0, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(to_uint8(x, fid(preset="song2021").rounding).numpy(), expected)
    assert not torch.equal(to_uint8(x, "round"), to_uint8(x, "truncate"))


@pytest.mark.parametrize(
    ("preset", "mode", "rounding", "reference"),
    [
        ("song2021", "legacy_tensorflow", "truncate", "cifar10-train"),
        ("edm", "legacy_tensorflow", "round", "cifar10-32x32"),
        ("clean", "clean", "round", "cifar10-train"),
    ],
)
def test_a_preset_is_settings_and_a_label(preset: str, mode: str, rounding: str, reference: str) -> None:
    metric = fid(preset=preset)
    assert (metric.mode, metric.rounding, metric.reference_name()) == (mode, rounding, reference)
    assert metric.label == f"fid-{preset}"
    assert fid(preset=preset, extrapolate=True, bootstrap=50).label == f"fid_inf-{preset}"
    # records hold what the preset set, and it comes back from there, from a pickle and from a command
    assert metric.values() == metric.values() | {"mode": mode, "rounding": rounding, "preset": preset}
    assert fid(**metric.values()) == fid(**metric.changed()) == pickle.loads(pickle.dumps(metric)) == metric
    assert fid(preset=preset, mode=mode, rounding=rounding).label == metric.label


def test_without_a_preset_settings_are_free() -> None:
    metric = fid(mode="clean", rounding="truncate", reference="mine")
    assert (metric.preset, metric.label, metric.reference_name()) == (
        "none",
        "fid-truncate-clean-mine",
        "mine",
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"preset": "edm", "mode": "clean"},
            "edm fixes mode=legacy_tensorflow, which is not clean:",
        ),
        (
            {"preset": "clean", "mode": "legacy_tensorflow"},
            "clean fixes mode=clean, which is not legacy",
        ),
        ({"preset": "song2021", "rounding": "round"}, "song2021 fixes rounding=truncate, which is not round"),
        (
            {"preset": "edm", "reference": "cifar10-test"},
            "compares with cifar10-32x32, .*not with cif",
        ),
        ({"preset": "song2021", "reference": "svhn"}, "compares with cifar10-train, or a statistics file"),
    ],
)
def test_settings_that_contradict_a_preset_are_refused(settings: Mapping[str, str], message: str) -> None:
    with pytest.raises(BenchError, match=message) as raised:
        fid(**settings)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("or give -P metric.preset=none")


def test_an_object_is_refused_too() -> None:
    with pytest.raises(BenchError, match="edm fixes rounding=round, which is not truncate"):
        FID(preset="edm", rounding="truncate")


def test_references_of_presets() -> None:
    for name in EDM_DATA:
        assert fid(preset="edm", reference=name).reference_name() == name
    assert fid(preset="edm", reference="cifar10").reference_name() == "cifar10-32x32"
    assert fid(preset="edm", reference="mine.npz").reference_name() == "mine.npz"
    assert fid(preset="clean", reference="svhn-test").reference_name() == "svhn-test"


def test_the_value_is_that_of_its_settings_and_other_counts_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    save_torchscript(tmp_path / "inception", live=8)
    # a distance without the root of 2048 x 2048 numbers, which takes seconds
    monkeypatch.setattr(frechet, "frechet_distance", lambda m, _, n, __: float(((m - n) ** 2).sum()))
    np.savez(tmp_path / "data.npz", mu=np.zeros(2048), sigma=np.zeros((2048, 2048)))
    images = pictures(4) / 255 + 0.003  # truncated, most bytes are others than rounded
    results = {}
    for preset in ("none", *PRESETS):
        metric: FeatureMetric = fid(preset=preset, reference=str(tmp_path / "data.npz"))
        if preset == "none":
            metric = fid(rounding="truncate", reference=str(tmp_path / "data.npz"))
        state = metric.start(metric_context())
        state.update(images)
        results[preset] = state.compute()
    assert results["song2021"].value == results["none"].value
    assert len({result.value for result in results.values()}) == 3
    for preset in PRESETS:
        assert results[preset].note == f"n is 4, not the 50000 of the preset {preset}"
        assert results[preset].details["not_fixed"] == PRESETS[preset].not_fixed
    assert results["edm"].details["minimum_of"] == 3
    assert "minimum_of" not in results["song2021"].details
    assert results["none"].note == ""
