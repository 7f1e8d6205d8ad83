"""Inception through clean-fid, against clean-fid's own functions, on files of random weights."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any, get_args

import cleanfid
import numpy as np
import pytest
import torch
from cleanfid import downloads_helper, fid
from cleanfid.resize import build_resizer
from numpy.typing import NDArray
from torch import Tensor

import bench.download
from bench import BenchError, Extractor, FeatureMetric, cache, silent
from bench.events import Advance, Event, Notice
from bench.metrics import reference
from bench.metrics.frechet import frechet_distance
from bench_fid import inception
from tests.support.inception_stand_in import (
    PYTORCH,
    TORCHSCRIPT,
    clean_fid_features,
    clean_fid_network,
    pictures,
    quick_sqrtm,
    save_png,
    save_pytorch,
    save_torchscript,
)
from tests.support.metrics import extractor_of, metric_context
from tests.support.plugins import installed
from tests.support.served import Served, Server

CPU = torch.device("cpu")
MODES = get_args(inception.Mode)
LIVE = 24
"""Features that are not zero, where clean-fid is to take a matrix square root."""


def count(mode: str) -> int:
    """Images of a set: pytorch's network is the whole Inception, at half a second each."""
    return 2 if mode == "legacy_pytorch" else 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds both networks."""
    root = tmp_path_factory.mktemp("cache")
    save_torchscript(root / "inception")
    save_pytorch(root / "inception", live=LIVE)
    return root


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever of clean-fid's is on this machine is not seen, and no address answers."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(inception, "TEMPORARY", tmp_path / "tmp" / TORCHSCRIPT)
    monkeypatch.setattr(cleanfid, "__file__", str(tmp_path / "cleanfid" / "__init__.py"))
    monkeypatch.setattr(downloads_helper, "inception_url", "http://127.0.0.1:1/" + TORCHSCRIPT)
    monkeypatch.setattr(inception, "_pytorch_address", lambda: "http://127.0.0.1:1/" + PYTORCH)
    monkeypatch.setattr(inception, "STATISTICS", "http://127.0.0.1:1/stats/")
    monkeypatch.setattr(inception, "EDM", "http://127.0.0.1:1/edm/")
    monkeypatch.setattr(bench.download, "PAUSES", ())


def extractor(mode: str) -> Extractor:
    return extractor_of("inception", mode=mode)


def rows(of: Extractor, images: Tensor) -> NDArray[Any]:
    return of.load(CPU)(images).rows.numpy()


@pytest.mark.parametrize("mode", MODES)
def test_features_statistics_and_fid_are_clean_fids(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """From pixels to the figure: reference statistics built and read, batches streamed."""
    weights = folder
    if mode != "legacy_pytorch":
        save_torchscript(tmp_path / "live" / "inception", live=LIVE)
        weights = tmp_path / "live"
    monkeypatch.setenv("BENCH_CACHE", str(weights))
    n = count(mode)
    data, samples = pictures(n, seed=1), pictures(n, seed=2)
    network = clean_fid_network(weights / "inception", mode)
    seen = []

    def counting(batch: Tensor) -> Tensor:
        features: Tensor = network(batch)
        seen.append(features.numpy())
        return features

    quick_sqrtm(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = fid.compute_fid(
            str(save_png(data, tmp_path / "data")),
            str(save_png(samples, tmp_path / "samples")),
            mode=mode,
            custom_feat_extractor=counting,
            device=CPU,
            num_workers=0,
            verbose=False,
        )
    rows = np.concatenate(seen)[:n]
    assert rows.std(axis=0).max() > 0.01  # images are told apart
    statistics = reference.measure_features([data / 255], extractor(mode), "round", metric_context())
    assert statistics.rows is not None
    np.testing.assert_allclose(statistics.rows, rows, rtol=1e-4, atol=1e-5 * np.abs(rows).max())
    np.testing.assert_allclose(statistics.mean, rows.mean(axis=0), rtol=1e-4, atol=1e-5)
    covariance = np.cov(rows, rowvar=False)
    assert np.abs(statistics.covariance - covariance).max() < 1e-4 * np.abs(covariance).max()

    reference.write_statistics(tmp_path / "data.npz", statistics)
    metric = installed().build("metrics", "fid", {"mode": mode, "reference": str(tmp_path / "data.npz")})
    assert isinstance(metric, FeatureMetric)
    measured = metric.start(metric_context())
    for batch in samples.split(29):
        measured.update(batch / 255)
    reading = measured.compute()
    assert reading.n == n
    assert reading.value == pytest.approx(expected, rel=1e-4)
    assert reading.value > 0.01
    name = PYTORCH if mode == "legacy_pytorch" else TORCHSCRIPT
    assert metric.provenance(metric_context())[name] == cache.sha256_of(weights / "inception" / name)
    one_image = metric_context().features(extractor(mode))(data[:1] / 255)
    assert (one_image.probabilities is None) == (mode == "legacy_pytorch")


def test_distance_of_few_samples_at_full_width(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2048 features of 40 images: against the distance from the features, and of a set to itself."""
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    a, b = (rows(extractor("clean"), pictures(40, seed=s)).astype(np.float64) for s in (1, 2))
    one, two = ((x - x.mean(axis=0)) / np.sqrt(39) for x in (a, b))
    mean = a.mean(axis=0) - b.mean(axis=0)
    cross = np.linalg.svd(one @ two.T, compute_uv=False).sum()
    expected = mean @ mean + (one**2).sum() + (two**2).sum() - 2 * cross
    (ma, ca), (mb, cb) = ((x.mean(axis=0), np.cov(x.T)) for x in (a, b))
    assert frechet_distance(ma, ca, mb, cb) == pytest.approx(expected, rel=1e-9)
    assert abs(frechet_distance(ma, ca, ma, ca)) < 1e-6


SIDES = [(32, 32), (64, 64), (299, 299), (300, 300), (512, 400), (33, 57), (1, 1), (2, 3)]


@pytest.mark.parametrize("sides", SIDES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_bicubic_is_pillows(sides: tuple[int, int]) -> None:
    """To float32's rounding of numbers up to 255, for noise of the two extremes and for smooth images."""
    resize = build_resizer("clean")
    noise = torch.randint(0, 2, (1, 3, *sides), generator=torch.Generator().manual_seed(0)) * 255
    for image in (noise.to(torch.uint8), pictures(1, sides=sides)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = resize(image[0].permute(1, 2, 0).numpy())
        resized = inception.bicubic(image.float())[0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(resized, expected, rtol=0, atol=8 * 255 * float(np.finfo(np.float32).eps))


@pytest.mark.parametrize("mode", ["legacy_tensorflow", "clean"])
def test_batches_and_chunks_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    images = pictures(37, sides=(40, 24))
    whole = extractor(mode).load(CPU)(images)
    monkeypatch.setitem(inception.CHUNKS, "cpu", 5)
    extract = extractor(mode).load(CPU)
    for features in (extract(images).rows, torch.cat([extract(part).rows for part in images.split(9)])):
        torch.testing.assert_close(features, whole.rows, rtol=1e-5, atol=1e-5)


def test_gray_images_are_taken_as_color_images_of_one_color(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    gray = pictures(2)[:, :1]
    extract = extractor("clean").load(CPU)
    torch.testing.assert_close(extract(gray).rows, extract(gray.expand(-1, 3, -1, -1)).rows)
    with pytest.raises(BenchError, match="1 or 3 channels, not 4"):
        extract(torch.zeros(2, 4, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize("mode", ["legacy_tensorflow", "clean"])
def test_class_probabilities_leave_out_the_bias(
    folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    features = extractor(mode).load(CPU)(pictures(20))
    network: Any = clean_fid_network(folder / "inception", mode)
    expected = (features.rows @ network.base.output.weight.detach().T).softmax(dim=1)
    assert features.probabilities is not None
    torch.testing.assert_close(features.probabilities, expected)
    biased = network.base.output(features.rows).detach().softmax(dim=1)
    assert (features.probabilities - biased).abs().max() > 1e-4


def test_a_network_without_classes_has_no_probabilities(tmp_path: Path) -> None:
    save_torchscript(tmp_path / "empty" / "inception", classes=False)
    for mode in ("legacy_tensorflow", "clean"):
        assert extractor(mode).load(CPU)(pictures(1)).probabilities is None


def test_labels_tell_the_modes_apart() -> None:
    labels = [extractor(mode).label for mode in MODES]
    assert labels == ["inception", "inception-clean", "inception-legacy_pytorch"]


def test_files_of_clean_fids_own_are_used(tmp_path: Path) -> None:
    """Where clean-fid put them, they stay."""
    save_torchscript(inception.TEMPORARY.parent)
    own_extractor = extractor("clean")
    own_extractor.check(silent)
    assert own_extractor.provenance() == {TORCHSCRIPT: cache.sha256_of(inception.TEMPORARY)}
    assert own_extractor.load(CPU)(pictures(2)).rows.shape == (2, 2048)
    hub = tmp_path / "hub" / "hub" / "checkpoints" / PYTORCH
    hub.parent.mkdir(parents=True)
    hub.write_bytes(b"weights")
    assert extractor("legacy_pytorch").provenance() == {PYTORCH: cache.sha256_of(hub)}
    own = tmp_path / "cleanfid" / "stats" / "cifar10_clean_train_32.npz"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"statistics")
    assert own_extractor.reference("cifar10-train", silent) == own
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("mode", MODES)
def test_offline_one_line_says_what_goes_where(tmp_path: Path, mode: str) -> None:
    name = PYTORCH if mode == "legacy_pytorch" else TORCHSCRIPT
    metric = installed().build("metrics", "fid", {"mode": mode})
    for fail in (
        lambda: extractor(mode).check(silent),
        lambda: metric.provenance(metric_context()),
        lambda: extractor(mode).load(CPU),
    ):
        with pytest.raises(BenchError) as raised:
            fail()
        line = str(raised.value)
        assert "\n" not in line
        assert f"bring http://127.0.0.1:1/{name} to {tmp_path / 'empty' / 'inception' / name}" in line
        assert "fd_cifar10 needs no download" in line


def test_what_is_tried_again_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.download, "PAUSES", (0.0, 0.0))
    events: list[Event] = []
    with pytest.raises(BenchError, match="can't be fetched"):
        extractor("clean").check(events.append)
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert len(notices) == 2
    assert all(line.startswith("127.0.0.1:1 can't be reached: ") for line in notices)
    assert all(line.endswith("; trying again") for line in notices)


def test_offline_without_statistics(tmp_path: Path) -> None:
    with pytest.raises(BenchError) as raised:
        metric_context().statistics("cifar10-train", extractor("legacy_tensorflow"))
    line = str(raised.value)
    file = "cifar10_legacy_tensorflow_train_32.npz"
    assert f"bring http://127.0.0.1:1/stats/{file} to {tmp_path / 'empty' / 'stats' / file}" in line
    assert "bench stats build cifar10-train --extractor inception makes your own" in line
    assert "\n" not in line


def test_names_of_statistics(tmp_path: Path) -> None:
    stats = tmp_path / "empty" / "stats"
    stats.mkdir(parents=True)
    for name, file in {
        "cifar10-train": "cifar10_clean_train_32.npz",
        "cifar10-test": "cifar10_clean_test_32.npz",
        "cifar10-train-32": "cifar10_clean_train_32.npz",
        "ffhq-trainfull-256": "ffhq_clean_trainfull_256.npz",
        "AFHQ_cat-train-512": "afhq_cat_clean_train_512.npz",
    }.items():
        (stats / file).write_bytes(b"statistics")
        assert extractor("clean").reference(name, silent) == stats / file
    for name in ("cifar100-train", "mine", "a-b-c"):
        assert extractor("clean").reference(name, silent) is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("content", [b"\x00\x80not a network" * 99, b"PK\x03\x04" + bytes(999), b""])
def test_damaged_weights_are_one_line(tmp_path: Path, mode: str, content: bytes) -> None:
    name = PYTORCH if mode == "legacy_pytorch" else TORCHSCRIPT
    path = tmp_path / "empty" / "inception" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(BenchError, match="is damaged, or not the network of clean-fid") as raised:
        extractor(mode).load(CPU)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_weights_are_fetched_whole_and_taken_up_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    body = (folder / "inception" / TORCHSCRIPT).read_bytes()
    with Server() as server:
        served = server.files[TORCHSCRIPT] = Served(body, cuts=[1_000_000])
        monkeypatch.setattr(downloads_helper, "inception_url", server.url(TORCHSCRIPT))
        with pytest.raises(BenchError, match=r"broke off.*fd_cifar10 needs no download"):
            extractor("clean").check(silent)
        target = tmp_path / "empty" / "inception" / TORCHSCRIPT
        assert not target.exists()
        extractor("clean").check(events.append)
        assert target.read_bytes() == body
        assert sum(served.sent) == len(body)
        extractor("legacy_tensorflow").check(silent)
        assert len(served.requests) == 2
    assert any(isinstance(event, Advance) and event.phase == TORCHSCRIPT for event in events)
    assert list((tmp_path / "empty" / "partial").iterdir()) == []


def test_clean_fids_statistics_have_no_rows_and_the_remedy_names_the_mode(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stats").mkdir()
    (tmp_path / "inception").symlink_to(folder / "inception")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    np.savez(tmp_path / "stats" / "cifar10_clean_train_32.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    metric = installed().build("metrics", "kid", {"mode": "clean"})
    with pytest.raises(BenchError) as raised:
        metric.provenance(metric_context())
    command = "bench stats build cifar10-train --extractor inception -P extractor.mode=clean"
    assert str(raised.value).endswith(f"have no rows: {command} makes some that have")


def test_statistics_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = "cifar10_clean_test_32.npz"
    np.savez(tmp_path / file, mu=np.zeros(2048), sigma=np.eye(2048))
    with Server() as server:
        server.files[f"stats/{file}"] = Served((tmp_path / file).read_bytes())
        monkeypatch.setattr(inception, "STATISTICS", server.url("stats/"))
        path = reference.find_statistics("cifar10-test", extractor("clean"), "round", metric_context())
    assert path == tmp_path / "empty" / "stats" / file
    statistics = reference.read_statistics(path, extractor("clean"))
    assert statistics.rows is None
    assert (statistics.covariance == np.eye(2048)).all()


def test_statistics_of_edm_are_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As fid.py of NVlabs/edm writes them: mu and sigma, in float64."""
    np.savez(tmp_path / "ffhq", mu=np.zeros(2048), sigma=np.eye(2048))
    metric = installed().build("metrics", "fid", {"preset": "edm", "reference": "ffhq-64x64"})
    with pytest.raises(BenchError) as raised:
        metric.statistics(metric_context())
    target = tmp_path / "empty" / "stats" / "edm_ffhq-64x64.npz"
    line = str(raised.value)
    assert f"bring http://127.0.0.1:1/edm/ffhq-64x64.npz to {target}; or name another file by" in line
    assert "\n" not in line
    with Server() as server:
        served = server.files["edm/ffhq-64x64.npz"] = Served((tmp_path / "ffhq.npz").read_bytes())
        monkeypatch.setattr(inception, "EDM", server.url("edm/"))
        assert (metric.statistics(metric_context()).covariance == np.eye(2048)).all()
        assert metric.statistics(metric_context()).sha256 == cache.sha256_of(target)
        assert len(served.requests) == 1


def test_statistics_of_edm_are_of_one_mode_and_those_of_edm2_are_to_be_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = installed().build("metrics", "fid", {"mode": "clean", "reference": "ffhq-64x64"})
    with pytest.raises(BenchError, match="of the mode legacy_tensorflow, not of clean: name others"):
        metric.statistics(metric_context())
    metric = installed().build("metrics", "fid", {"preset": "edm", "reference": "img64"})
    with pytest.raises(
        BenchError, match=r"fetch https://.*/edm2/dataset-refs/img64\.pkl, run python -c"
    ) as raised:
        metric.statistics(metric_context())
    line = str(raised.value)
    assert "\n" not in line
    # the command does what the line says
    monkeypatch.chdir(tmp_path)
    content = {"num_images": 2, "fid": {"mu": np.zeros(2048), "sigma": np.eye(2048)}, "fd_dinov2": {}}
    Path("img64.pkl").write_bytes(pickle.dumps(content))
    exec(line.partition('python -c "')[2].partition('"')[0], {})
    metric = installed().build("metrics", "fid", {"preset": "edm", "reference": "img64.npz"})
    assert (metric.statistics(metric_context()).covariance == np.eye(2048)).all()


def test_another_file_under_the_address_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second network's name has the start of its hash."""
    with Server() as server:
        server.files[PYTORCH] = Served(b"another")
        monkeypatch.setattr(inception, "_pytorch_address", lambda: server.url(PYTORCH))
        with pytest.raises(BenchError, match="SHA-256 does not start with 6726825d"):
            extractor("legacy_pytorch").check(silent)
    assert not (tmp_path / "empty" / "inception" / PYTORCH).exists()


@pytest.mark.inception
@pytest.mark.parametrize("mode", MODES)
def test_the_real_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.undo()
    name = PYTORCH if mode == "legacy_pytorch" else TORCHSCRIPT
    path = cache.root() / "inception" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    images = pictures(8)
    expected = clean_fid_features(
        save_png(images, tmp_path / "png"), clean_fid_network(path.parent, mode), mode
    )
    features = extractor(mode).load(CPU)(images)
    np.testing.assert_allclose(features.rows.numpy(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert (features.probabilities is None) == (mode == "legacy_pytorch")
    if features.probabilities is not None:
        assert features.probabilities.shape == (8, 1008)
