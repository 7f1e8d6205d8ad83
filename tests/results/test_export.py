"""Exported samples: the bytes that metrics see, read by other programs, and whole or not there."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from bench import BenchError, Images
from bench.data.pixels import Bytes, to_uint8
from bench.errors import StoreError
from bench.events import Advance, Emit, Event
from bench.metrics.features import Rounding
from bench.plan.sources import open_images
from bench.results.export import export_images
from tests.support.images import back

FINGERPRINT = "0123456789abcdef"
SIZES = (5, 5, 2)


class Samples(Images):
    """Random floats about [0, 1], some outside, in batches of these sizes."""

    kind = "run"

    def __init__(self, seed: int = 0, sizes: tuple[int, ...] = SIZES) -> None:
        self.seed, self._sizes = seed, sizes
        super().__init__(f"samples {seed}", sum(sizes), (3, 6, 4), "none", sizes[0])

    def __iter__(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        for size in self._sizes:
            yield torch.rand(size, *self.shape, generator=generator) * 1.4 - 0.2

    def compute_hash(self, emit: Emit) -> str:
        return ""


def expected(samples: Images, rounding: Rounding = "round") -> Bytes:
    """The bytes (n, H, W, 3) by NumPy alone."""
    floats = torch.cat(list(samples)).permute(0, 2, 3, 1).numpy()
    scaled = np.clip(floats, 0, 1) * np.float32(255)
    content: Bytes = (np.rint(scaled) if rounding == "round" else np.floor(scaled)).astype(np.uint8)
    return content


def write(target: Path, samples: Images | None = None, **more: Any) -> None:
    export_images({FINGERPRINT: Samples() if samples is None else samples}, target, **more)


def refusal(target: str | Path, runs: dict[str, Images] | None = None, **more: Any) -> str:
    """The one line that refuses an export."""
    with pytest.raises(BenchError) as caught:
        export_images({FINGERPRINT: Samples()} if runs is None else runs, target, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rounding", ["round", "truncate"])
@pytest.mark.parametrize("name", ["them", "them.npz"])
def test_the_bytes_are_those_that_metrics_see(tmp_path: Path, name: str, rounding: Rounding) -> None:
    samples, target = Samples(), tmp_path / "new" / name
    (export,) = export_images({FINGERPRINT: samples}, target, rounding=rounding)
    assert (export.fingerprint, export.path, export.n) == (FINGERPRINT, target, 12)
    assert (export.shape, export.rounding) == ((3, 6, 4), rounding)
    source = open_images(str(target))
    assert (source.n, source.shape) == (12, (3, 6, 4))
    assert np.array_equal(back(source), expected(samples, rounding))
    assert np.array_equal(back(source), back(samples, rounding))
    assert [path.name for path in target.parent.iterdir()] == [name]


def test_an_npz_is_what_guided_diffusion_reads(tmp_path: Path) -> None:
    """Its evaluator takes ``arr_0`` of a zip, streams it, and needs C order."""
    write(tmp_path / "them.npz")
    with np.load(tmp_path / "them.npz", allow_pickle=False) as archive:
        assert archive.files == ["arr_0"]
        array = archive["arr_0"]
    assert (array.dtype, array.shape, array.flags.c_contiguous) == (np.uint8, (12, 6, 4, 3), True)
    assert np.array_equal(array, expected(Samples()))
    write(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "them.npz").read_bytes()


def covariances(images: Bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Mean and covariance of the mean colors of images (n, H, W, 3)."""
    rows = images.astype(np.float64).mean(axis=(1, 2))
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def test_pytorch_fid_reads_a_folder(tmp_path: Path) -> None:
    """Its statistics of the folder, with mean colors in place of Inception's features."""
    from pytorch_fid.fid_score import ImagePathDataset, compute_statistics_of_path

    class Colors(torch.nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x.double().mean(dim=(2, 3), keepdim=True)]

    write(tmp_path / "them")
    files = sorted((tmp_path / "them").iterdir())
    images = np.stack([np.asarray(image) for image in ImagePathDataset(files)])
    assert np.array_equal(images, expected(Samples()))
    mean, covariance = compute_statistics_of_path(str(tmp_path / "them"), Colors(), 5, 3, "cpu", 0)
    mean_, covariance_ = covariances(expected(Samples()))
    assert mean * 255 == pytest.approx(mean_, rel=1e-6)
    assert covariance * 255**2 == pytest.approx(covariance_, rel=1e-5)


def test_torch_fidelity_reads_a_folder(tmp_path: Path) -> None:
    """Its Fréchet distance of two folders, with mean colors in place of Inception's features."""
    import torch_fidelity
    from scipy.linalg import sqrtm
    from torch_fidelity.utils import glob_samples_paths, prepare_input_from_descriptor

    class Colors(torch_fidelity.FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features: list[str], **_: object) -> None:
            super().__init__(name, features)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("colors",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return {"fid": "colors"}[metric]

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, images: Tensor) -> tuple[Tensor]:
            assert images.dtype == torch.uint8
            return (images.double().mean(dim=(2, 3)),)

    for seed in (0, 1):
        write(tmp_path / f"{seed}", Samples(seed))
    files = glob_samples_paths(str(tmp_path / "0"), False, "png,jpg,jpeg", "jpg,jpeg", verbose=False)
    assert [Path(file).name for file in files] == [f"{i:05d}.png" for i in range(12)]
    options = {"samples_find_deep": False, "verbose": False, "samples_resize_and_crop": 0}
    dataset = prepare_input_from_descriptor({"input": str(tmp_path / "0")}, **options)
    assert np.array_equal(torch.stack(list(dataset)).permute(0, 2, 3, 1).numpy(), expected(Samples()))

    torch_fidelity.register_feature_extractor("colors-of-test", Colors)
    sides = {f"input{i + 1}": str(tmp_path / f"{i}") for i in (0, 1)}
    own = {"feature_extractor": "colors-of-test", "cuda": False, "cache": False, "save_cpu_ram": True}
    metrics = torch_fidelity.calculate_metrics(**sides, **own, fid=True, verbose=False)
    (m, c), (m_, c_) = (covariances(expected(Samples(seed))) for seed in (0, 1))
    distance = np.sum((m - m_) ** 2) + np.trace(c + c_ - 2 * np.real(sqrtm(c @ c_)))
    assert metrics["frechet_inception_distance"] == pytest.approx(distance, rel=1e-6)


def test_several_runs_have_a_folder_each(tmp_path: Path) -> None:
    runs: dict[str, Images] = {f"{seed}" * 16: Samples(seed) for seed in (1, 2)}
    exports = export_images(runs, tmp_path / "them")
    for seed, export in zip((1, 2), exports, strict=True):
        assert export.path == tmp_path / "them" / (f"{seed}" * 16)
        assert np.array_equal(back(open_images(str(export.path))), expected(Samples(seed)))
    assert "would hold 2 runs: export one at a time, or give a folder" in refusal(tmp_path / "x.npz", runs)
    write(tmp_path / "them", overwrite=True)  # folders of an export are replaced, too
    assert sorted(path.name for path in (tmp_path / "them").iterdir())[0] == "00000.png"


def test_progress_counts_the_images(tmp_path: Path) -> None:
    events: list[Event] = []
    write(tmp_path / "them", emit=events.append)
    assert events == [Advance("exporting samples 0", done, 12, "images") for done in (0, 5, 10, 12)]


@pytest.mark.parametrize("name", ["them", "them.npz"])
def test_one_batch_is_in_memory_at_a_time(tmp_path: Path, name: str) -> None:
    alive: list[weakref.ref[Tensor]] = []

    class Referenced(Samples):
        def __iter__(self) -> Iterator[Tensor]:
            for _ in range(6):
                assert sum(tensor() is not None for tensor in alive) <= 1
                batch = torch.rand(2, *self.shape)
                alive.append(weakref.ref(batch))
                yield batch
                del batch

    write(tmp_path / name, Referenced(sizes=(2,) * 6))
    assert len(alive) == 6


@pytest.mark.parametrize("name", ["them", "them.npz"])
def test_nothing_is_overwritten_unasked(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    write(target)
    line = refusal(target, {FINGERPRINT: Samples(1)})
    assert line == f"{target} exists: choose another -o, or replace it by --overwrite"
    assert np.array_equal(back(open_images(str(target))), expected(Samples()))
    write(target, Samples(1), overwrite=True)
    assert np.array_equal(back(open_images(str(target))), expected(Samples(1)))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "them").mkdir()
    write(tmp_path / "them")
    assert len(list((tmp_path / "them").iterdir())) == 12


def test_targets_that_no_export_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for place, name in ((tmp_path / "mine", "thesis.tex"), (tmp_path / "photos", "1.png")):
        place.mkdir(exist_ok=True)
        (place / name).write_text("mine")
        write(tmp_path / f"of {place.name}")
        (tmp_path / f"of {place.name}" / name).write_text("mine")
        for target in (place, tmp_path / f"of {place.name}"):
            assert f"holds {name}, which no export wrote" in refusal(target, overwrite=True)
            assert (target / name).read_text() == "mine"
    (tmp_path / ("f" * 16)).mkdir()
    (tmp_path / "f" / ("f" * 16)).mkdir(parents=True)
    (tmp_path / "f" / ("f" * 16) / "x").write_text("mine")
    assert f"holds {'f' * 16}/x, which no export wrote" in refusal(tmp_path / "f", overwrite=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "fifo.npz")
    assert "is a file: choose another -o" in refusal("file", overwrite=True)
    assert "is not a file: choose another -o" in refusal("folder.npz", overwrite=True)
    assert "is not a file: choose another -o" in refusal("fifo.npz", overwrite=True)
    assert "can't be written (" in refusal("file/below")
    for here in (".", "", "..", "/"):
        assert "holds the current folder: name a new folder" in refusal(here, overwrite=True)
    assert "is neither a folder nor an .npz: an export writes no .zip" in refusal("them.zip")
    assert "can't be used as a path" in refusal("~nobody-of-this-name/x")
    assert "can't be" in refusal("x" * 5000)
    assert "can't be used as a path" in refusal("a\0b")


@pytest.mark.parametrize("name", ["them", "them.npz"])
def test_samples_that_are_no_images(tmp_path: Path, name: str) -> None:
    class Bad(Samples):
        def __iter__(self) -> Iterator[Tensor]:
            yield torch.rand(10, *self.shape)
            yield torch.full((2, *self.shape), torch.nan)

    class Mixed(Samples):
        def __iter__(self) -> Iterator[Tensor]:
            yield torch.rand(10, *self.shape)
            yield torch.rand(2, 3, 4, 6)

    assert "are NaN or infinite: they can't be exported" in refusal(tmp_path / name, {FINGERPRINT: Bad()})
    assert "of two shapes, 3x4x6 and 3x6x4" in refusal(tmp_path / name, {FINGERPRINT: Mixed()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["them", "them.npz"])
def test_a_killed_export_leaves_nothing_that_looks_whole(tmp_path: Path, name: str, overwrite: bool) -> None:
    target = tmp_path / name
    if overwrite:
        write(target, Samples(1))

    def die(event: Event) -> None:
        if isinstance(event, Advance) and event.done == 10:
            os._exit(9)  # as SIGKILL: nothing is cleaned up

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that libraries hold
        child = os.fork()
    if not child:
        try:
            write(target, emit=die, overwrite=overwrite)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert any(path.name == f".{name}.exporting" for path in tmp_path.iterdir())
    if overwrite:
        assert np.array_equal(back(open_images(str(target))), expected(Samples(1)))
    else:
        assert not target.exists()
    write(target, overwrite=overwrite)
    assert np.array_equal(back(open_images(str(target))), expected(Samples()))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    """The old folder is put back by the next export, whatever becomes of that."""
    write(tmp_path / "them", Samples(1))
    (tmp_path / "them").rename(tmp_path / ".them.replaced")
    assert "exists: choose another -o" in refusal(tmp_path / "them")
    assert np.array_equal(back(open_images(str(tmp_path / "them"))), expected(Samples(1)))
    assert [path.name for path in tmp_path.iterdir()] == ["them"]


@pytest.mark.parametrize("name", ["them", "them.npz"])
def test_a_stopped_export_cleans_up(tmp_path: Path, name: str) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Advance) and event.done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, emit=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device: .*them\.npz could not be written"):
        write(tmp_path / "them.npz")
    assert list(tmp_path.iterdir()) == []


def test_one_process_writes_a_target_at_a_time(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".them.lock"):
        line = refusal(tmp_path / "them")
    assert line == f"another process exports to {tmp_path / 'them'}: wait for it"


def test_the_one_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function by which metrics round is the one that exports round by."""
    calls = []

    def spy(images: Tensor, rounding: Rounding) -> Tensor:
        calls.append(rounding)
        return to_uint8(images, rounding)

    monkeypatch.setattr("bench.results.export.to_uint8", spy)
    write(tmp_path / "them", rounding="truncate")
    assert calls == ["truncate"] * 3


class Tensors(Samples):
    """Samples of any shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape


def test_points_are_exported_as_floats(tmp_path: Path) -> None:
    samples = Tensors(2)
    write(tmp_path / "them.npz", samples)
    with np.load(tmp_path / "them.npz") as arrays:
        assert arrays["arr_0"].dtype == np.float32
        assert np.array_equal(arrays["arr_0"], torch.cat(list(samples)).numpy())
    line = "samples of samples 0 are points of 2 coordinates, not images: export to a file .npz"
    assert refusal(tmp_path / "them", {FINGERPRINT: samples}) == line
    assert [path.name for path in tmp_path.iterdir()] == ["them.npz"]


def test_gray_images_have_one_channel(tmp_path: Path) -> None:
    samples = Tensors(1, 6, 4)
    write(tmp_path / "them.npz", samples)
    with np.load(tmp_path / "them.npz") as arrays:
        assert np.array_equal(arrays["arr_0"], expected(samples))
        assert arrays["arr_0"].shape == (12, 6, 4, 1)
    write(tmp_path / "them", samples)
    with Image.open(tmp_path / "them" / "00003.png") as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), expected(samples)[3, :, :, 0])


@pytest.mark.parametrize("shape", [(2, 6, 4), (4, 6, 4), (6, 4)])
def test_other_samples_have_no_export(tmp_path: Path, shape: tuple[int, ...]) -> None:
    sizes = "x".join(map(str, shape))
    line = f"samples of samples 0 are {sizes} images: an export holds images of 1 or 3 channels, or points"
    for name in ("them", "them.npz"):
        assert refusal(tmp_path / name, {FINGERPRINT: Tensors(*shape)}) == line
