"""CelebA: the files of a split, and what to do where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import BenchError
from bench_datasets.celeba import CelebA
from tests.support.images import back, error_of, opened, pixels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    return tmp_path / "datasets" / "celeba"


def test_without_its_files_it_says_how_to_get_them(folder: Path) -> None:
    line = error_of("celeba")
    assert "celeba is not here: fetch img_align_celeba.zip and list_eval_partition.txt from" in line
    assert line.endswith(f"into {folder}")
    folder.mkdir(parents=True)
    (folder / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    assert "celeba is not here" in error_of("celeba-test")


def test_its_splits_are_those_of_the_list(folder: Path) -> None:
    (folder / "img_align_celeba").mkdir(parents=True)
    lines = []
    for i, image in enumerate(pixels(9)):
        Image.fromarray(image).save(folder / "img_align_celeba" / f"{i:06d}.jpg")
        lines.append(f"{i:06d}.jpg {i % 3}")
    listing = folder / "list_eval_partition.txt"
    listing.write_text("\n".join(lines) + "\n")
    files = sorted((folder / "img_align_celeba").iterdir())
    for number, split in enumerate(CelebA.splits):
        source = opened(f"celeba-{split}")
        assert (source.name, source.kind, source.n) == (f"celeba-{split}", "dataset", 3)
        expected = np.stack([np.array(Image.open(file)) for file in files[number::3]])
        assert np.array_equal(back(source), expected)
    for text in ("../x.jpg 0\n", "a b c\n"):
        listing.write_text(text)
        with pytest.raises(BenchError, match=r"list_eval_partition.txt is damaged"):
            opened("celeba")
