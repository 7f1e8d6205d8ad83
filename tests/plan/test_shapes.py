"""Metrics that can't measure a checkpoint's images are refused when a run is planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import main
from tests.support.large_gaussian import registry_with_large_gaussian


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        (
            ("fd_dct", "-P", "metric.reference=gmm-cifar10"),
            "fd_dct: its reference gmm-cifar10 is of 3x32x32 items, the samples are 3x64x64",
        ),
        (("fd_cifar10",), "fd_cifar10: cifar10-features takes 3x32x32 images, not 3x64x64"),
        (("fd",), "fd: pixels has 12288 features of 3x64x64 items, and a covariance is of at most 4096"),
        (("class_score",), "class_score: cifar10-features takes 3x32x32 images, not 3x64x64"),
        (
            ("kid", "-P", "metric.extractor=cifar10-features"),
            "kid: cifar10-features takes 3x32x32 images, not 3x64x64",
        ),
    ],
)
def test_a_checkpoint_of_larger_images(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    metric: tuple[str, ...],
    line: str,
) -> None:
    """Before anything is sampled, in one line that names the metric."""
    monkeypatch.chdir(tmp_path)
    registry = registry_with_large_gaussian(tmp_path)
    command = ["run", "--checkpoint", "gaussian-64", "--device", "cpu", "--samples", "4"]
    flags = ["--metric", *metric] if metric else []
    with pytest.raises(SystemExit) as stop:
        main([*command, *flags], registry=registry)
    assert stop.value.code == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert line in err[0]
    assert not list(tmp_path.rglob("*.json"))
