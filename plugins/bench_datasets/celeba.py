"""CelebA, whose files a user brings."""

from __future__ import annotations

from bench import BenchError, Dataset, Emit, ImageFiles, Images, cache_folder

SPLIT_NUMBERS = {"train": "0", "valid": "1", "test": "2"}
"""Numbers of the splits in ``list_eval_partition.txt``."""
MAX_LIST = 2**24
"""Greatest size of that file, in bytes; it has 2.8 MB."""


class CelebA(Dataset):
    """CelebA: photographs of faces, 178 pixels wide and 218 high, aligned and cropped as released.

    Liu et al. (2015). Papers crop and shrink them further, each in its own way, most to 64x64: make a folder
    of the images as the checkpoint's authors did, and name it in bench.toml.
    """

    name = "celeba"
    shape = (3, 218, 178)
    data_range = (0.0, 255.0)
    splits = {"train": 162_770, "valid": 19_867, "test": 19_962}
    licence = "for non-commercial research"
    source = (
        "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html: img_align_celeba.zip, unpacked, and "
        "list_eval_partition.txt, both in CACHE/datasets/celeba"
    )

    def open(self, split: str, batch: int, emit: Emit) -> Images:
        folder = cache_folder("datasets", "celeba")
        listing = folder / "list_eval_partition.txt"
        try:
            if listing.stat().st_size > MAX_LIST:
                raise BenchError(f"{listing} is too large: fetch it again")
            lines = [line.split() for line in listing.read_text().splitlines()]
            images = folder / "img_align_celeba"
            if not images.is_dir():
                raise FileNotFoundError(images)
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(
                f"celeba is not here: fetch img_align_celeba.zip and list_eval_partition.txt from "
                f"http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, and unpack the first, into {folder}"
            ) from error
        number = SPLIT_NUMBERS[split]
        if not all(len(line) == 2 and line[0].replace(".", "").isalnum() for line in lines):
            raise BenchError(f"{listing} is damaged: it has lines other than FILE.jpg NUMBER; fetch it again")
        files = [images / file for file, of_split in lines if of_split == number]
        return CelebAImages(f"{self.name}-{split}", files, batch)


class CelebAImages(ImageFiles):
    """The files of a split."""

    kind = "dataset"
