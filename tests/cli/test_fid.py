"""``bench fid``: anyone's samples, against data sets, statistics and other images."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import Extractor, Features, Register, Tensor, hookimpl
from bench.cli import main
from bench.data.pixels import Bytes
from bench.plan.installed import load_datasets
from bench.plan.sources import open_images
from tests.support.plugins import installed

Bench = Callable[..., str]
SMALL = ("--metric", "fd", "-P", "metric.extractor=colors")
LABEL = "fd-colors"
NETWORK = ("--metric", "fd", "-P", "metric.extractor=cifar10-features")
N = 100


class Spoilt(Extractor):
    """64 features that are not finite."""

    name = "spoilt"
    width = 64

    def load(self, device: Any) -> Callable[[Tensor], Features]:
        return lambda images: Features(torch.full((len(images), 64), torch.nan))


class Colors(Extractor):
    """Six features: mean and spread of the colors. No network, so that tests are quick."""

    name = "colors"
    width = 6
    shape = (3, 32, 32)

    def load(self, device: Any) -> Callable[[Tensor], Features]:
        def extract(images: Tensor) -> Features:
            x = images.flatten(2).float()
            return Features(torch.cat([x.mean(dim=2), x.std(dim=2)], 1))

        return extract


class Narrow(Colors):
    """Three features, the means alone."""

    name = "narrow"
    width = 3

    def load(self, device: Any) -> Callable[[Tensor], Features]:
        whole = super().load(device)
        return lambda images: Features(whole(images).rows[:, :3])


class Plugin:
    @hookimpl
    def register_extractors(self, register: Register) -> None:
        register(Spoilt)
        register(Colors)
        register(Narrow)


def pixels(n: int, seed: int = 0) -> Bytes:
    """Random images (n, 32, 32, 3), brighter with the seed."""
    coarse = np.random.default_rng(seed).integers(0, 200 + 10 * seed, (n, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs a command in a folder with ``a.npz``, ``b.npz`` and ``a/`` (the images of a.npz); its stdout.

    More extractors and the data sets of its bench.toml are registered, and the cache is empty. Of a mistake,
    its one line.
    """
    registry = installed().copy()
    registry.load(Plugin(), "extractors-of-test", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    np.savez("a.npz", images=pixels(N))
    np.savez("b.npz", pixels(N, 3))
    Path("a").mkdir()
    for i, image in enumerate(pixels(N)):
        Image.fromarray(image).save(f"a/{i:04d}.png")

    def call(*arguments: str, status: int = 0) -> str:
        own = registry.copy()
        load_datasets(own)
        with pytest.raises(SystemExit) as stop:
            main(arguments, registry=own)
        out, err = capsys.readouterr()
        assert stop.value.code == status, out + err
        errors = [line for line in err.splitlines() if line.startswith("bench: ")]
        assert len(errors) == (status != 0), err
        assert "Traceback" not in err
        return err.splitlines()[-1] if status else out

    return call


def measurement(bench: Bench, *arguments: str) -> dict[str, Any]:
    """The JSON of ``bench fid``."""
    content: dict[str, Any] = json.loads(bench("fid", *arguments, "--json", "--device", "cpu"))
    return content


def value(bench: Bench, path: str, reference: str, *more: str) -> float:
    """The small Fréchet distance."""
    content = measurement(bench, path, "--reference", reference, *SMALL, *more)
    (reading,) = content["metrics"].values()
    return float(reading["value"])


def sampled() -> str:
    """The fingerprint of a real, small run in ``results``."""
    command = ["run", "--checkpoint", "gaussian-cifar10", "--device", "cpu", "--grid", "uniform"]
    command += ["--steps", "21", "--samples", f"{N}", "--batch-size", "64", "--metric", "fd_cifar10"]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 0
    (path,) = Path("results/records").iterdir()
    return path.stem


def test_the_same_images_are_at_no_distance_whatever_holds_them(bench: Bench) -> None:
    content = measurement(bench, "a", "--reference", "a.npz", *NETWORK)
    assert abs(content["metrics"]["fd-cifar10_features"]["value"]) < 1e-6
    assert abs(value(bench, "a.npz", "a")) < 1e-6
    assert abs(value(bench, "a", "a")) < 1e-6
    assert abs(value(bench, "a.npz", "a.npz", "--rounding", "truncate")) < 1e-6
    forth, back = value(bench, "a", "b.npz"), value(bench, "b.npz", "a")
    assert forth == pytest.approx(back, rel=1e-6)
    assert forth > 0.1


def test_the_value_is_that_of_the_features(bench: Bench) -> None:
    """Against scipy's matrix square root of features taken here."""
    from scipy.linalg import sqrtm

    extract = Colors().load(torch.device("cpu"))
    sides = []
    for images in (pixels(N), pixels(N, 3)):
        rows = extract(torch.from_numpy(images).permute(0, 3, 1, 2)).rows.double().numpy()
        sides.append((rows.mean(0), np.cov(rows.T)))
    (m, c), (m_, c_) = sides
    expected = np.sum((m - m_) ** 2) + np.trace(c + c_ - 2 * np.real(sqrtm(c @ c_)))
    assert value(bench, "a", "b.npz") == pytest.approx(expected, rel=1e-6)


def test_the_table(bench: Bench) -> None:
    out = bench("fid", "a", "--reference", "cifar10", "--metric", "fd_cifar10", *NETWORK, "--device", "cpu")
    assert f"a: {N} images of 3x32x32 (folder)" in out
    rows = [[part.strip() for part in line.split("  ") if part.strip()] for line in out.splitlines()]
    assert ["metric", "value", "n", "better", "against"] in rows
    cells = {row[0]: row for row in rows if row and row[0].startswith("fd")}
    assert cells["fd_cifar10"][1:] == cells["fd-cifar10_features"][1:]
    assert cells["fd_cifar10"][2:] == [f"{N}", "lower", "cifar10-train (50000 images)"]
    assert cells["fd_cifar10"][1].endswith(" †")
    assert "† fd_cifar10: n below 1000" in out


def test_the_json(bench: Bench) -> None:
    content = measurement(bench, "a.npz", "--reference", "b.npz", *SMALL, "--rounding", "truncate")
    assert content["source"] == open_images("a.npz").facts()
    reading = content["metrics"]["fd-truncate-colors"]
    assert (reading["n"], reading["direction"], reading["reference"]) == (N, "lower", "b.npz")
    assert reading["parameters"]["reference"] == "b.npz"
    assert reading["parameters"]["rounding"] == "truncate"
    assert set(reading["provenance"]) == {"b.npz"}
    card = reading["reference_card"]
    assert card["images"] == f"sha256 {open_images('b.npz').sha256()}"
    assert (card["n"], card["extractor"], card["rounding"]) == (N, "colors", "truncate")
    assert card["decoder"].startswith("numpy ")


def test_a_run_is_measured_as_it_was(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    fingerprint = sampled()
    capsys.readouterr()
    record = json.loads(Path(f"results/records/{fingerprint}.json").read_text())
    for name in (fingerprint[:8], f"results/records/{fingerprint}.json", "results"):
        metric = measurement(bench, name, "--metric", "fd_cifar10")["metrics"]["fd_cifar10"]
        assert metric.items() >= record["metrics"]["fd_cifar10"].items()
    assert abs(value(bench, fingerprint, fingerprint)) < 1e-6
    assert abs(value(bench, fingerprint, "results", "--rounding", "truncate")) < 1e-6
    # floats: how they become bytes tells, and is kept apart
    assert value(bench, "a", fingerprint) != value(bench, "a", fingerprint, "--rounding", "truncate")
    # and a metric of a run takes images as its reference, too
    bench("measure", *SMALL, "-P", "metric.reference=a", "--device", "cpu")
    record = json.loads(Path(f"results/records/{fingerprint}.json").read_text())
    assert record["metrics"][f"{LABEL}-a"]["value"] == value(bench, fingerprint, "a")


def test_a_reference_of_images_is_measured_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = value(bench, "b.npz", "a")
    (statistics,) = Path("cache/stats").iterdir()

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("bench.metrics.reference.measure_images", never)
    Path("a").rename("moved")
    assert value(bench, "b.npz", "moved") == first
    assert list(Path("cache/stats").iterdir()) == [statistics]
    with pytest.raises(AssertionError, match="measured again"):
        value(bench, "a.npz", "moved", "--rounding", "truncate")


def test_metrics_share_one_reading_of_the_images(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.data.npz import Npz

    read: list[str] = []
    original = Npz.__iter__

    def once(self: Npz) -> Any:
        read.append(self.name)
        return original(self)

    monkeypatch.setattr(Npz, "__iter__", once)
    more = ("--metric", "precision", "--metric", "class_score")
    content = measurement(bench, "b.npz", "--reference", "a", *NETWORK, *more)
    assert read == ["b.npz"]
    readings = {name.partition("-")[0]: reading for name, reading in content["metrics"].items()}
    assert {name: reading["reference"] for name, reading in readings.items()} == {
        "fd": "a",
        "precision": "a",
        "class_score": "",
    }


def test_the_table_tells_how_many_images_of_the_reference_a_metric_compares_with(bench: Bench) -> None:
    """All statistics are of 50,000 images; rows of 10,000 of them come with the extractor."""
    two = ("--metric", "kid", "--metric", "fd")
    out = bench("fid", "a", *two, "-P", "metric.extractor=cifar10-features", "--device", "cpu")
    (kid,) = (line for line in out.splitlines() if line.strip().startswith("kid"))
    (fd,) = (line for line in out.splitlines() if line.strip().startswith("fd"))
    assert "cifar10-train (10000 of its 50000 images)" in kid
    assert "cifar10-train (50000 images)" in fd


BAD = [
    (("nowhere",), "'nowhere' is neither a file or folder nor a data set"),
    (("a", "--reference", "cifra10", *SMALL), "reference 'cifra10' is neither a file, a folder or a run"),
    (("a", "--reference", "cifra10", *SMALL), "(did you mean 'cifar10' or"),
    (("a", "--reference", "x.npz", *SMALL), "reference x.npz: there is no such file"),
    (("a", "--reference", "empty", *SMALL), "empty holds no PNG, JPEG, WebP or BMP (it is empty)"),
    (("empty", *SMALL), "empty holds no PNG, JPEG, WebP or BMP (it is empty)"),
    (("large.npz", "--metric", "fd_cifar10"), "cifar10-features takes 3x32x32 images, not 3x8x8"),
    (("a", "--reference", "a.npz", "--metric", "fd_cifar10"), "fd_cifar10 is always against cifar10-train"),
    (("a", "--reference", "cifar10-test", *SMALL), "there are no statistics of cifar10-test for the"),
    (("a", "--metric", "fidd"), "unknown metric 'fidd' (did you mean 'fid'?"),
    (("a", "-P", "sde.eps=1"), "-P takes metric.NAME=VALUE here"),
    (("a", "--reference", "a", "-P", "metric.reference=b.npz"), "metric.reference was given twice"),
    (("a", *SMALL, "--device", "tpu"), "unknown device 'tpu'"),
    (("a", "--reference", "a", "--metric", "fd", "-P", "metric.extractor=spoilt"), "NaN or infinite"),
    (("a", "--reference", "broken.npz", *SMALL), "broken.npz is not a statistics file, or damaged"),
    (("a", "--reference", "nan.npz", *SMALL), "nan.npz has values that are not finite"),
    (("a", "--reference", "odd.npz", *SMALL), "a mean (6,) and a covariance (3, 3) don't go together"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_mistakes_are_one_line(bench: Bench, arguments: tuple[str, ...], message: str) -> None:
    Path("empty").mkdir()
    np.savez("large.npz", pixels(4)[:, :8, :8])
    Path("broken.npz").write_text("nothing")
    np.savez("nan.npz", mu=np.zeros(6), sigma=np.full((6, 6), np.nan))
    np.savez("odd.npz", mu=np.zeros(6), sigma=np.eye(3))
    assert message in bench("fid", *arguments, status=2)


OF_TASKS = {
    "bits_per_dim": ("bits_per_dim", "likelihood"),
    "class_share": ("labels", "class_conditional"),
    "component_share": ("labels", "class_conditional"),
    "conditional_fd": ("original, known, axes", "colorize or inpaint"),
    "fd_class": ("labels", "class_conditional"),
    "fd_component": ("labels", "class_conditional"),
    "known_error": ("original, known, axes", "colorize or inpaint"),
    "latent_correlation": ("latents, other_latents", "identifiability"),
    "latent_difference": ("latents, other_latents", "identifiability"),
    "latent_fd": ("latents", "encode or identifiability"),
    "round_trip": ("round_trip", "encode"),
}
"""What each metric of a task reads besides images, and the tasks whose runs have it."""


def test_every_metric_of_a_task_is_in_the_list() -> None:
    registry = installed()
    inputs = {name: registry.get("metrics", name).thing.inputs for name in registry.names("metrics")}
    assert {name for name, names in inputs.items() if names != ("images",)} == set(OF_TASKS)


@pytest.mark.parametrize(
    "more", [(), ("--reference", "nowhere"), ("--metric", "fidd"), ("--rounding", "round")]
)
@pytest.mark.parametrize("name", OF_TASKS)
def test_a_metric_of_a_task_is_refused_in_one_line(bench: Bench, name: str, more: tuple[str, ...]) -> None:
    """Before the images are opened, and before its own files and parameters are looked at."""
    reads, tasks = OF_TASKS[name]
    expected = (
        f"bench: {name} reads {reads}, which images alone do not have: measure runs of the task {tasks}, "
        "by bench run or bench measure"
    )
    for path in ("a", "a.npz", "nowhere"):
        assert bench("fid", path, "--metric", name, *more, status=2) == expected
    assert bench("fid", "a", "--metric", "fd_cifar10", "--metric", name, status=2) == expected


def test_statistics_of_another_extractor_or_dimension(bench: Bench) -> None:
    bench("stats", "build", "a", "-o", "narrow.npz", "--extractor", "narrow", "--device", "cpu")
    line = bench("fid", "a", "--reference", "narrow.npz", *SMALL, status=2)
    assert "narrow.npz is of the extractor narrow, not colors: build another" in line
    np.savez("bare.npz", mu=np.zeros(3), sigma=np.eye(3))  # as clean-fid and EDM keep them, without a card
    line = bench("fid", "a", "--reference", "bare.npz", *SMALL, status=2)
    assert "bare.npz is of 3 features, colors has 6: not the same extractor" in line
    narrow = ("--metric", "fd", "-P", "metric.extractor=narrow")
    content = measurement(bench, "a", "--reference", "bare.npz", *narrow)
    assert content["metrics"]["fd-narrow"]["value"] > 0


def test_a_bad_image_late_is_one_line(bench: Bench) -> None:
    Image.fromarray(pixels(1)[0]).convert("L").save("a/0099.png")
    assert "a/0099.png is gray, but 0000.png RGB" in bench(
        "fid", "a", "--reference", "b.npz", *SMALL, status=2
    )
    assert "a/0099.png is gray" in bench("fid", "b.npz", "--reference", "a", *SMALL, status=2)
    assert [path.name.startswith("images_") for path in Path("cache/stats").iterdir()] == [True]  # b.npz's


def test_inception_out_of_reach_says_what_needs_none(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("socket.getaddrinfo", offline)
    monkeypatch.setattr("bench.download.PAUSES", ())
    assert "fd_cifar10" in bench("fid", "a", status=2)


def test_stopped_is_130(tmp_path: Path) -> None:
    """A real Ctrl-C, in the middle of a long measurement."""
    np.savez(tmp_path / "many.npz", np.zeros((20_000, 32, 32, 3), np.uint8))
    command = ["fid", "many.npz", "--metric", "fd_cifar10", "--device", "cpu"]
    # a line of progress at once, as the sign that it is at work
    code = "import bench.reporting.progress as p; p.SOON = 0; from bench.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        cwd=tmp_path,
        env=os.environ | {"BENCH_CACHE": str(tmp_path / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "measuring many.npz: " in process.stderr.readline()  # the first line of progress
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert rest.splitlines()[-1] == "bench: stopped; nothing was measured"
    assert "Traceback" not in rest
