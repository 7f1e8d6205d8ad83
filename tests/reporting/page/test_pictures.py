"""Samples of a page: pixel by pixel those of the previews, and within their budget."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.pixels import to_uint8
from bench.data.preview import grid_png
from bench.reporting.page.pictures import (
    FEWEST,
    IMAGES,
    Picture,
    picture_of,
    preview_images,
    strip,
    within_budget,
)
from bench.results.store import Store
from tests.support.made_up import failed_record, identity, plugin, record
from tests.support.made_up_pages import put_pictures


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 64, 64), (3, 20, 40)])
@pytest.mark.parametrize("samples", [1, 10, 64, 1000])
def test_the_images_are_those_of_the_preview(shape: tuple[int, ...], samples: int) -> None:
    n = min(samples, 64)
    images = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))
    columns = int(np.ceil(np.sqrt(n)))
    expected = to_uint8(images).permute(0, 2, 3, 1).numpy()[:IMAGES]
    own, own_columns = preview_images(grid_png(images, columns), shape, samples)
    assert own.shape[0] == len(expected)
    assert (own == expected).all()
    assert own_columns == columns


@pytest.mark.parametrize(("count", "columns"), [(12, 6), (7, 3), (40, 8)])
def test_of_a_task_the_grid_tells_how_many_there_are(count: int, columns: int) -> None:
    images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    own, own_columns = preview_images(grid_png(images, columns), (3, 32, 32), None)
    assert (own == to_uint8(images).permute(0, 2, 3, 1).numpy()[:IMAGES]).all()
    assert (len(own), own_columns) == (min(count, IMAGES), columns)


@pytest.mark.parametrize("shape", [(3, 24, 32), (3, 32, 24), (3, 700, 700)])
def test_a_picture_of_other_images_is_refused(shape: tuple[int, ...]) -> None:
    png = grid_png(torch.zeros(64, 3, 32, 32), 8)
    with pytest.raises(ValueError, match="the preview has"):
        preview_images(png, shape, 64)


def test_a_strip_has_the_images_side_by_side() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    pixels = np.asarray(Image.open(io.BytesIO(strip(images))))
    assert pixels.shape == (4, 30, 3)
    for number, image in enumerate(images):
        assert (pixels[:, 6 * number : 6 * number + 6] == image).all()


def test_finished_runs_have_the_picture_of_their_preview(store: Store) -> None:
    whole = record()
    assert picture_of(whole, store) is None
    put_pictures(store, [whole.fingerprint])
    picture = picture_of(record(samples=100), store)
    assert picture is not None
    assert picture.plain()["n"] == IMAGES
    assert picture_of(failed_record(), store) is None
    assert picture.plain()["columns"] == 0
    task = record(identity=identity(task=plugin("inpaint")))
    put_pictures(store, [task.fingerprint])
    picture = picture_of(task, store)
    assert picture is not None
    assert picture.plain()["columns"] == picture.first(FEWEST).plain()["columns"] == 8
    store.image_path(whole.fingerprint).write_bytes(b"no picture")
    assert picture_of(whole, store) is None


def test_points_have_their_scatter_plot(store: Store) -> None:
    own = identity()
    points = record(
        identity=own.model_copy(update={"checkpoint": own.checkpoint.model_copy(update={"shape": (2,)})})
    )
    store.image_path(points.fingerprint).parent.mkdir(parents=True, exist_ok=True)
    store.image_path(points.fingerprint).write_bytes(b"a plot")
    picture = picture_of(points, store)
    assert picture == Picture(b"a plot", None)
    assert picture.plain()["n"] == 0


def test_a_budget_takes_samples_from_all_runs_alike() -> None:
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    pictures = [Picture(strip(images), images)] * 3
    size = sum(len(one.png) for one in pictures)
    assert within_budget(pictures, size) == pictures
    half = within_budget(pictures, size // 2)
    assert {one.plain()["n"] for one in half} == {IMAGES // 2 - (size % 2)}
    assert sum(len(one.png) for one in half) <= size * 0.52
    assert {one.plain()["n"] for one in within_budget(pictures, 1)} == {FEWEST}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)
