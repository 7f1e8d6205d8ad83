"""``bench stats``: statistics with their card, made whole or not at all."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.pixels import Bytes
from bench.files import REGISTRY
from bench.metrics import reference
from bench.plan.sources import open_images
from tests.cli.test_fid import SMALL, Bench, N, bench, measurement, pixels, value
from tests.support.images import recorded
from tests.support.metrics import extractor_of

__all__ = ["bench"]
BUILD = ("stats", "build")
FEATURES = ("--extractor", "colors", "--device", "cpu")
NETWORK = ("--extractor", "cifar10-features", "--device", "cpu")


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> Bytes:
    """A data set cifar10 of 100 training images, those of a.npz."""

    class Fake:
        def __init__(self, root: Path, *, train: bool, download: bool) -> None:
            self.data = pixels(N) if train else pixels(N, 3)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", Fake)
    return pixels(N)


def content_of(bench: Bench, file: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(bench("stats", "show", file, "--json"))
    return content


def arrays(file: str) -> dict[str, Any]:
    with np.load(file) as archive:
        return dict(archive)


def test_build_is_two_pass_moments_and_a_card(bench: Bench) -> None:
    out = bench(*BUILD, "a", "-o", "new/x.npz", *NETWORK)
    assert out == f"new/x.npz: {N} images, 64 features of cifar10-features\n"
    extractor = extractor_of("cifar10-features")
    statistics = reference.read_statistics(Path("new/x.npz"), extractor)
    images = torch.from_numpy(pixels(N)).permute(0, 3, 1, 2)
    rows = extractor.load(torch.device("cpu"))(images).rows.double().numpy()
    np.testing.assert_allclose(statistics.mean, rows.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(statistics.covariance, np.cov(rows.T), rtol=1e-9, atol=1e-12)
    assert statistics.rows is not None
    np.testing.assert_allclose(statistics.rows, rows, rtol=1e-6)
    card = statistics.card
    assert card["source"] == "a"
    assert (card["n"], card["extractor"], card["rounding"], card["kind"]) == (
        N, "cifar10-features", "round", "folder",
    )  # fmt: skip
    assert card["images"] == f"sha256 {open_images('a').sha256()}"
    assert f"{card['decoder']}".startswith("Pillow ")
    features = tomllib.loads((REGISTRY / "features" / "cifar10-features.toml").read_text())
    assert card["hashes"] == {"cifar10-features": features["files"][0]["sha256"]}
    assert f"{card['date']}".startswith("20")


def test_folder_archive_and_run_are_built_alike(bench: Bench) -> None:
    for source in ("a", "a.npz"):
        bench(*BUILD, source, "-o", f"{source.replace('.', '_')}_s.npz", *FEATURES)
    one, two = (arrays(f"{name}_s.npz") for name in ("a", "a_npz"))
    assert np.array_equal(one["mu"], two["mu"])
    assert np.array_equal(one["sigma"], two["sigma"])
    fingerprint = "0123456789abcdef"
    recorded(Path("results"), list(torch.rand(2, 50, 3, 32, 32)), fingerprint)
    bench(*BUILD, fingerprint, "-o", "run.npz", *FEATURES)
    assert abs(value(bench, fingerprint, "run.npz")) < 1e-6
    bench(*BUILD, fingerprint, "-o", "cut.npz", *FEATURES, "--rounding", "truncate")
    assert content_of(bench, "cut.npz")["card"]["rounding"] == "truncate"
    assert abs(value(bench, fingerprint, "cut.npz", "--rounding", "truncate")) < 1e-6


def test_a_data_set_goes_where_metrics_look(bench: Bench, cifar10: Bytes) -> None:
    out = bench(*BUILD, "cifar10-test", *FEATURES)
    path = Path("cache/stats/cifar10-test_colors.npz")
    assert out.startswith(f"{path.absolute()}: {N} images")
    assert content_of(bench, str(path))["card"]["dataset"] == "cifar10-test"
    assert abs(value(bench, "b.npz", "cifar10-test")) < 1e-6
    bench(*BUILD, "cifar10", *FEATURES, "-o", "t.npz")
    assert content_of(bench, "t.npz")["card"]["dataset"] == "cifar10-train"
    assert abs(value(bench, "cifar10", "t.npz")) < 1e-6
    assert np.array_equal(cifar10, pixels(N))


def test_a_data_set_that_is_at_hand_is_measured_where_it_is_needed(bench: Bench) -> None:
    """Its statistics, built or not, are those of its contents: never of what the name stood for before."""
    own = '[datasets.mine]\nsplits = {train = "a", test = "b.npz"}\n'
    Path("bench.toml").write_text(own)
    out = bench(*BUILD, "mine-test", *FEATURES)
    (built,) = Path("cache/stats").iterdir()
    assert out.startswith(f"{built.absolute()}: {N} images")
    assert abs(value(bench, "b.npz", "mine-test")) < 1e-6
    assert list(Path("cache/stats").iterdir()) == [built]
    assert value(bench, "b.npz", "mine") > 1
    np.savez("b.npz", pixels(N, 5))
    assert abs(value(bench, "b.npz", "mine-test")) < 1e-6
    assert len(list(Path("cache/stats").iterdir())) == 3


def test_what_is_shown(bench: Bench) -> None:
    bench(*BUILD, "a", "-o", "x.npz", *FEATURES)
    out = bench("stats", "show", "x.npz")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (lines["n"], lines["extractor"], lines["features"], lines["rows"]) == (
        f"{N}",
        "colors",
        "6",
        f"{N}",
    )
    content = content_of(bench, "x.npz")
    assert content["sha256"] == lines["sha256"]
    assert content["card"]["images"] == lines["images"]
    np.savez("bare.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert "not made by bench stats build" in bench("stats", "show", "bare.npz")
    assert content_of(bench, "bare.npz")["card"] == {}
    shipped = REGISTRY / "stats" / "cifar10-train_cifar10-features.npz"
    assert content_of(bench, str(shipped))["card"]["n"] == 50000


def test_what_is_there_is_replaced_only_when_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench(*BUILD, "a", "-o", "x.npz", *FEATURES)
    before = Path("x.npz").read_bytes()
    Path("bad").mkdir()
    for file in sorted(Path("a").iterdir())[:9]:
        (Path("bad") / file.name).write_bytes(file.read_bytes())
    (Path("bad") / "z.png").write_bytes(b"no image")
    assert "z.png is not an image" in bench(*BUILD, "bad", "-o", "x.npz", *FEATURES, status=2)

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        line = bench(*BUILD, "b.npz", "-o", "x.npz", *FEATURES, status=2)
    assert line == "bench: x.npz can't be written: No space left on device"
    assert Path("x.npz").read_bytes() == before
    assert not list(Path().glob(".x*"))
    bench(*BUILD, "b.npz", "-o", "x.npz", *FEATURES)
    assert Path("x.npz").read_bytes() != before


@pytest.mark.parametrize("command", ["fid", "stats"])
def test_stopped_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.metrics.moments.Moments.add", stop)
    arguments = (
        ("fid", "a", "--reference", "b.npz", *SMALL)
        if command == "fid"
        else (*BUILD, "a", "-o", "x.npz", *FEATURES)
    )
    assert bench(*arguments, status=130).startswith("bench: stopped; nothing was")
    assert not list(Path().glob("*x.npz*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", *FEATURES), "the statistics of a need a file: give -o FILE.npz"),
        (("a", "-o", "x.npy", *FEATURES), "x.npy must end in .npz"),
        (("a.npz", "-o", "a.npz", *FEATURES), "a.npz holds the images: give another file to -o"),
        (("a", "-o", "a.npz/x.npz", *FEATURES), "a.npz/x.npz can't be written:"),
        (("a", "-o", "f.npz", *FEATURES), "f.npz is a folder: give a file"),
        (("a", "-o", "x.npz", "--extractor", "incepton"), "unknown extractor 'incepton' (did you mean"),
        (("a", "-o", "x.npz", *FEATURES, "--mode", "clean"), "colors has no parameter 'mode'"),
        (("a", "-o", "x.npz", "--extractor", "spoilt"), "features are NaN or infinite"),
        (("nowhere", "-o", "x.npz", *FEATURES), "'nowhere' is neither a file or folder nor a data set"),
        (("nowhere", "-o", "x.npz"), "'nowhere' is neither"),  # before Inception is asked for
        (("one", "-o", "x.npz", *FEATURES), "one holds one image"),
        (("x.npz", "-o", "y.npz", *FEATURES), "there is no x.npz"),
    ],
)
def test_mistakes_are_one_line(bench: Bench, arguments: tuple[str, ...], message: str) -> None:
    Path("f.npz").mkdir()
    Path("one").mkdir()
    (Path("one") / "a.png").write_bytes(Path("a/0000.png").read_bytes())
    assert message in bench(*BUILD, *arguments, status=2)
    assert not Path("x.npz").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no x.npz: bench stats build makes statistics"),
        (b"nothing", "x.npz is not a statistics file, or damaged"),
        ({"arr_0": np.zeros((2, 3))}, "x.npz holds no statistics (mu and sigma)"),
        (b"nothing", "damaged: File is not a zip file"),
        ({"mu": np.zeros(3), "sigma": np.eye(2)}, "don't go together"),
        ({"mu": np.full(2, np.inf), "sigma": np.eye(2)}, "has values that are not finite"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "card": np.array("[1]")}, "x.npz"),
        ({"mu": np.zeros(2), "sigma": np.eye(2), "card": np.array("{")}, "x.npz"),
        ({"mu": np.array([None, None]), "sigma": np.eye(2)}, "mu is of type object, not of numbers"),
    ],
)
def test_files_that_can_not_be_shown(bench: Bench, content: Any, message: str) -> None:
    if isinstance(content, bytes):
        Path("x.npz").write_bytes(content)
    elif content is not None:
        np.savez("x.npz", **content)
    line = bench("stats", "show", "x.npz", status=2)
    assert message in line


def test_modes_are_told_apart(bench: Bench) -> None:
    """A mode of an extractor is part of its label, and so of what its statistics are good for."""
    bench(*BUILD, "a", "-o", "x.npz", *FEATURES)
    archive = arrays("x.npz")
    card = json.loads(str(archive["card"])) | {"extractor": "colors-clean"}
    np.savez("y.npz", **archive | {"card": np.array(json.dumps(card))})
    line = bench("fid", "a", "--reference", "y.npz", *SMALL, status=2)
    assert "y.npz is of the extractor colors-clean, not colors" in line
    assert measurement(bench, "a", "--reference", "x.npz", *SMALL)["metrics"]
