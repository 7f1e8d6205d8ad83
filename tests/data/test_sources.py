"""Which images a name stands for, and a line for each that stands for none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.sources import UnknownSourceError
from tests.support.images import back, error_of, folder, opened, pixels


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifra10", "'cifra10' is neither a file or folder nor a data set (did you mean 'cifar10' or"),
        ("some/where", "there is no some/where: give a folder"),
        ("samples.npz", "there is no samples.npz: give a folder"),
        ("cifar10-validation", "cifar10 has no split 'validation': it has train, test"),
        ("", "an empty name is no source"),
    ],
)
def test_names_that_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in error_of(name)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "them"
    path.mkdir()
    assert "holds no PNG, JPEG, WebP or BMP (it is empty)" in error_of(path)
    (path / "a.txt").write_text("")
    assert "holds no PNG, JPEG, WebP or BMP (1 other files)" in error_of(path)
    Image.fromarray(pixels(1)[0]).save(path / "a.PNG")
    assert "holds one image: a metric needs two or more" in error_of(path)
    assert "is one image: give the folder" in error_of(path / "a.PNG")
    assert "is no source of images: give a folder of images" in error_of(path / "a.txt")


def test_a_name_that_stands_for_nothing_is_told_from_images_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnknownSourceError):
        opened("cifra10")
    folder(tmp_path / "them", pixels(3))
    (tmp_path / "them" / "z.png").write_bytes(b"no image")
    with pytest.raises(Exception, match=r"z\.png is not an image") as caught:
        back(opened(tmp_path / "them"))
    assert not isinstance(caught.value, UnknownSourceError)


def test_what_to_give_is_the_callers_to_say() -> None:
    with pytest.raises(UnknownSourceError, match=r"^there is no some/where: give a picture$"):
        opened("some/where", sources="a picture")


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    images = pixels(3)
    folder(tmp_path / "them", images)
    np.savez(tmp_path / "them.npz", images)
    for name in ("~/them", "~/them.npz"):
        assert np.array_equal(back(opened(name)), images)
