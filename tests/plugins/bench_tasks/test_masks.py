"""Masks by name and from files, and those that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench_tasks.masks import known_pixels, mask_label
from tests.support.completions import build_task
from tests.support.plain import plain
from tests.support.task_runs import RefusedTask


def test_masks_by_name() -> None:
    left_half, box = known_pixels("left", 4, 6), known_pixels("box", 8, 8)
    assert left_half.tolist() == [[True] * 3 + [False] * 3] * 4
    assert box.sum() == 48
    assert not box[2:6, 2:6].any()
    random = known_pixels("random:0.3", 10, 10)
    assert random.sum() == 30
    assert (random == known_pixels("random:0.3", 10, 10)).all()


def test_masks_from_files(tmp_path: Path) -> None:
    known = known_pixels("random:0.5", 4, 6)
    for name, mode in (("gray", "L"), ("bits", "1"), ("rgb", "RGB")):
        Image.fromarray(known.astype(np.uint8) * 255).convert(mode).save(tmp_path / f"{name}.png")
    np.save(tmp_path / "bool.npy", known)
    np.save(tmp_path / "float.npy", known.astype(np.float32))
    for file in tmp_path.iterdir():
        assert (known_pixels(str(file), 4, 6) == known).all(), file
    # a record holds a hash of the content, not the folder
    before = mask_label(str(tmp_path / "bool.npy"))
    np.save(tmp_path / "bool.npy", ~known)
    assert before.startswith("bool.npy ")
    assert mask_label(str(tmp_path / "bool.npy")) != before
    assert plain(build_task("inpaint", mask=str(tmp_path / "gray.png")).values())["mask"].startswith(
        "gray.png "
    )
    assert build_task("inpaint").values() == {"completions": 4, "mask": "left"}


REFUSED = {
    "name": ("mask=lft", "unknown mask 'lft' (did you mean 'left'?"),
    "share": ("mask=random:1.5", "share of known pixels must lie between 0 and 1, not '1.5'"),
    "no share": ("mask=random", "share of known pixels must lie between 0 and 1, not ''"),
    "no number": ("mask=random:nan", "share of known pixels must lie between 0 and 1, not 'nan'"),
    "rounded to nothing": ("mask=random:1e-5", "knows nothing"),
    "rounded to all": ("mask=random:0.99999", "knows everything"),
    "size": ("mask=small.npy", "the mask small.npy is 16x16 pixels, the images are 32x32"),
    "size of a picture": ("mask=flat.png", "the mask flat.png is 32x30 pixels, the images are 32x32"),
    "nothing": ("mask=none.npy", "the mask none.npy knows nothing"),
    "everything": ("mask=all.npy", "the mask all.npy knows everything"),
    "grays": ("mask=gray.npy", "the mask gray.npy must be black and white"),
    "objects": ("mask=objects.npy", "the mask objects.npy is no .npy, or damaged"),
    "user": ("mask=~nobody_of_that_name/x.png", "can't be used as a path"),
    "huge": ("mask=huge.npy", "the mask huge.npy is no .npy, or damaged"),
    "broken": ("mask=broken.png", "the mask broken.png is no PNG, or damaged"),
    "missing": ("mask=gone.png", "the mask gone.png can't be read: No such file"),
    "one completion": ("completions=1", "completions must be >= 2"),
    "samples": ("completions=3", "--samples must be a multiple of the 3 samples made of an image"),
}


@pytest.mark.parametrize(("parameter", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_masks_are_refused_in_one_line(refused_task: RefusedTask, parameter: str, message: str) -> None:
    assert message in refused_task("inpaint", "-P", f"task.{parameter}")
