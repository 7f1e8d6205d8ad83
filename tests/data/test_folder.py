"""Folders of pictures: which files, in what order, how far ahead; a line for each that is unlike the rest."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import BenchError, ImageFiles
from bench.data import folder as pictures
from bench.data.folder import image_files
from bench.data.pixels import Bytes
from tests.support.images import back, error_of, folder, opened, pixels

Save = Callable[[str, Any], None]


def test_only_images_in_order_and_no_loop(tmp_path: Path) -> None:
    path = folder(tmp_path / "them", pixels(8))
    (path / "loop").symlink_to(path)
    (path / "001" / "up").symlink_to("..")
    (path / "gone.png.txt").symlink_to("nowhere")
    (path / ".hidden.png").write_text("no image")
    (path / "dataset.json").write_text("{}")
    elsewhere = folder(tmp_path / "elsewhere", pixels(2))
    (path / "zz").symlink_to(elsewhere)
    files, others = image_files(path)
    assert [file.name for file in files[:8]] == [f"{i:06d}.png" for i in range(8)]
    assert len(files) == 10
    assert others == {".json": 1, ".txt": 1}
    assert opened(path).note == "not read: 1 .json, 1 .txt"


def test_few_images_are_decoded_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is that of the tasks in flight, however many images there are, and stopping early stops them."""
    path = tmp_path / "them"
    path.mkdir()
    for i, image in enumerate(pixels(900, 2)):
        Image.fromarray(image).save(path / f"{i:04d}.bmp")
    monkeypatch.setattr(pictures, "AHEAD", 4)
    images, original, done = opened(path, batch=20), pictures.decoded, []

    def decoded(file: Path, content: bytes, first: str, shape: tuple[int, ...]) -> Bytes:
        done.append(file)
        return original(file, content, first, shape)

    monkeypatch.setattr(pictures, "decoded", decoded)
    taken = 0
    for batch in images:
        taken += len(batch)
        assert len(done) <= taken + 20 + 5 * pictures.PART
    assert taken == len(done) == 900
    done.clear()
    for _ in images:
        break
    assert len(done) <= 20 + 5 * pictures.PART


def saved(mode: str) -> Save:
    """Writes the third image of a folder anew, in another mode."""

    def save(file: str, image: Any) -> None:
        image.convert(mode).save(file)

    return save


def deep(file: str, _: Any) -> None:
    """A PNG of 16 bits a channel, which Pillow can read but not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes(8 * 6) for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    Path(file).write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def animated(file: str, image: Any) -> None:
    other = Image.fromarray(255 - np.array(image))
    image.save(file, save_all=True, append_images=[other])


def cut(file: str, _: Any) -> None:
    whole = Path(file).read_bytes()
    Path(file).write_bytes(whole[: len(whole) // 2])


def text(file: str, _: Any) -> None:
    Path(file).write_text("no image")


def nothing(file: str, _: Any) -> None:
    Path(file).write_bytes(b"")


def larger(file: str, image: Any) -> None:
    image.resize((9, 8)).save(file)


def dangling(file: str, _: Any) -> None:
    Path(file).unlink()
    Path(file).symlink_to("nowhere")


BAD: list[tuple[Save, str]] = [
    (saved("L"), "is gray, but 000000.png RGB: images must be all RGB or all gray"),
    (saved("P"), "is of a palette: images"),
    (saved("RGBA"), "is RGBA, with transparency: images"),
    (saved("1"), "is black and white: images"),
    (saved("I;16"), "is gray of 16 bits: images"),
    (deep, "is of 16 bits a channel: images"),
    (animated, "is animated: images"),
    (cut, "is not an image, or damaged"),
    (text, "is not an image, or damaged"),
    (nothing, "is not an image, or damaged"),
    (larger, "is 9x8, but 000000.png 8x8: images must be of one size"),
    (dangling, "can't be read: No such file"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD)
@pytest.mark.parametrize("which", [0, 40])
def test_a_bad_image_is_named(tmp_path: Path, spoil: Save, message: str, which: int) -> None:
    path = folder(tmp_path / "them", pixels(60))
    file = path / f"{which // 3:03d}" / f"{which:06d}.png"
    spoil(str(file), Image.fromarray(pixels(1)[0]))
    line = error_of(path)
    if "but" not in message or which:
        assert message in line
        assert str(file) in line
    else:  # the first one decides
        size, color = "is 8x8, but 000000.png 9x8", "is RGB, but 000000.png gray"
        assert f"000001.png {color if 'gray' in message else size}" in line


def test_jpeg_is_decoded_as_pillow_does_and_the_library_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "them", pixels(4), "jpg")
    images = opened(path)
    expected = [np.array(Image.open(file)) for file in sorted(path.rglob("*.jpg"))]
    assert np.array_equal(back(images), np.stack(expected))
    assert "Pillow" in images.decoder
    assert "libjpeg" in images.decoder


@pytest.mark.parametrize("form", ["png", "jpg", "bmp"])
def test_gray_pictures_are_read_as_they_are(tmp_path: Path, form: str) -> None:
    images = pixels(5)[..., :1]
    path = tmp_path / "gray"
    path.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(path / f"{i}.{form}")
    source = opened(path, batch=2)
    assert source.shape == (1, 8, 8)
    if form == "jpg":
        images = np.stack([np.array(Image.open(path / f"{i}.jpg")) for i in range(5)])[..., None]
    assert np.array_equal(back(source), images)


def test_a_gray_png_of_fewer_bits_is_refused(tmp_path: Path) -> None:
    for i in range(2):
        Image.fromarray(pixels(1)[0, ..., 0]).save(tmp_path / f"{i}.png")
    rows = zlib.compress(b"".join(b"\0" + bytes(4) for _ in range(8)))
    whole = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 4, 0, 0, 0, 0)),
        (b"IDAT", rows),
        (b"IEND", b""),
    ):
        whole += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    (tmp_path / "1.png").write_bytes(whole)
    assert "1.png is of 4 bits a channel: images must be RGB or gray of 8 bits" in error_of(tmp_path)


def test_splits_of_hugging_faces_layout_are_never_mixed(tmp_path: Path) -> None:
    """``imagefolder``: splits, in them classes, and metadata beside the pictures."""
    images = pixels(6)
    for split in ("train", "Validation"):
        folder(tmp_path / split / "cats", images[:3])
        folder(tmp_path / split / "dogs", images[3:])
        (tmp_path / split / "metadata.csv").write_text("file_name,text\n")
    line = error_of(tmp_path)
    assert f"{tmp_path} holds several splits (Validation, train): give one of them, such as " in line
    assert line.endswith(f"{tmp_path / 'train'}")
    one = opened(tmp_path / "train")
    assert (one.n, one.note) == (6, "not read: 1 .csv")
    assert np.array_equal(back(one), images)
    # a class of that name, and an empty folder, are no splits
    folder(tmp_path / "classes" / "test", images)
    (tmp_path / "classes" / "train").mkdir()
    assert opened(tmp_path / "classes").n == 6


def test_a_list_of_files_is_read_in_its_order(tmp_path: Path) -> None:
    images = pixels(6)
    files = sorted(folder(tmp_path, images).rglob("*.png"))[::-1]
    assert np.array_equal(back(ImageFiles("mine", files, 4)), images[::-1])
    with pytest.raises(BenchError, match="mine holds no image"):
        ImageFiles("mine", [], 4)


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares a size and has no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((6000, 6000), "is 6000x6000: images of more than 16777216 pixels are not read"),
        ((12_000, 8000), "is 12000x8000: images of more than 16777216 pixels are not read"),
        ((2**20, 2**20), "is not an image, or damaged: Image size"),
    ],
)
def test_large_images_are_refused_by_their_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], message: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("pixels are decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(bomb(*size))
    assert message in error_of(tmp_path)
    # one that is unlike the first is refused before it is decoded
    monkeypatch.undo()
    Image.fromarray(pixels(1)[0]).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(bomb(4000, 4000))
    assert "1.png is 4000x4000, but 0.png 8x8" in error_of(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "0.png").open("wb") as file:
        file.truncate(pictures.MAX_FILE + 1)
    assert "0.png can't be read: it is too large" in error_of(tmp_path)


@pytest.mark.parametrize(
    ("size", "part", "ahead"), [(0, 25, 4), (3 * 256 * 256, 25, 4), (2**25, 1, 4), (2**30, 1, 1)]
)
def test_large_images_are_decoded_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch, size: int, part: int, ahead: int
) -> None:
    monkeypatch.setattr(pictures, "AHEAD", 4)
    done: list[Path] = []

    def work(file: Path) -> Path:
        done.append(file)
        return file

    files = [Path(f"{number}") for number in range(300)]
    results = pictures._in_order(work, files, size)
    next(results)
    assert len(done) <= part * ahead
    assert [files[0], *results] == files
