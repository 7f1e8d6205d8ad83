"""Fuzz ``.npz`` files, images and masks: ``python -m tests.fuzz.images --minutes 10 --seed 1``."""

from __future__ import annotations

import io
import shutil
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.fuzz.harness import CORPUS, run
from tests.fuzz.mutate import mutate_bytes

SOURCE = CORPUS / "images"
METRIC = ("--metric", "fd_cifar10", "--device", "cpu")
FEATURES = ("--metric", "fd", "-P", "metric.extractor=cifar10-features", "--device", "cpu")
FORMS = ("png", "jpg", "webp", "bmp")
INPAINT = ("run", "--dry-run", "--checkpoint", "gaussian-cifar10", "--task", "inpaint", "--samples", "4")

SHAPES = (
    *(
        "(4, 32, 32, 3)",
        "(1000000000000, 32, 32, 3)",
        "(9223372036854775808,)",
        "(-4, 32, 32, 3)",
        "(0,)",
        "()",
    ),
    *(
        "(4, 6000, 6000, 3)",
        "(4, 1, 1, 3)",
        "(True, 32, 32, 3)",
        "(4.0, 32)",
        "(64,)",
        "(64, 64)",
        "(4096, 4096)",
    ),
    *("[4, 32, 32, 3]", "(4, 32", "(" * 2000, "'a'", "(" + "9" * 5000 + ",)", "(10**9,)", "(4,) * 9"),
)
TYPES = (
    *(
        "'|u1'",
        "'<f8'",
        "'|O'",
        "'>i8'",
        "'<U400000000'",
        "'<U3'",
        "'|V9'",
        "'<c16'",
        "'<M8[s]'",
        "'?'",
        "'|S0'",
    ),
    *("[('a', '<f4')]", "('<f4', (1000000, 1000000))", "b'|u1'", "None", "'" + "x" * 3000 + "'", "[" * 500),
)


def _header(rng: Random) -> bytes:
    """A header of an array, as numpy writes it or odd."""
    shape, dtype = rng.choice(SHAPES), rng.choice(TYPES)
    order = rng.choice(("False", "True", "None", "0"))
    text = f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"
    match rng.randrange(8):
        case 0:
            text = text.replace("'shape'", "b'shape'")
        case 1:
            text = text[: rng.randrange(len(text))]
        case 2:
            text = text.replace(",", rng.choice((",,", "", "[", "\\x00")), 1)
        case 3:
            text = "{" * rng.choice((1, 100, 5000)) + text
    version = rng.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\x09\0"))
    body = text.encode() + b"\n"
    size = struct.pack("<H" if version[0] == 1 else "<I", len(body) if rng.random() < 0.9 else 60000)
    return b"\x93NUMPY" + version + size + body


def mutate_npz(content: bytes, rng: Random) -> bytes:
    """The members of an ``.npz`` with other headers, contents, names, compressions and declared sizes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    chosen = rng.choice(sorted(members))
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    method = method if rng.random() < 0.3 else zipfile.ZIP_DEFLATED
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, data in members.items():
            label = name
            if name == chosen:
                begin = 10 + int.from_bytes(data[8:10], "little")
                match rng.randrange(6):
                    case 0 | 1 | 2:
                        data = _header(rng) + data[begin:]
                    case 3:
                        data = _header(rng) + bytes(rng.choice((0, 1000, 30_000_000)))
                    case 4:
                        data = mutate_bytes(data, data, rng)
                    case _:
                        label = rng.choice(("../x.npy", "a.npy", "mu.npy", "arr_0.npy", "x", "\x1b.npy"))
            archive.writestr(label, data)
            if rng.random() < 0.02:
                for number in range(300):
                    archive.writestr(f"{number}.npy", data[:200])
    whole = bytearray(out.getvalue())
    if rng.random() < 0.25:  # another size in a member's header or in the directory
        places = [
            i for mark in (b"PK\1\2", b"PK\3\4") for i in range(len(whole)) if whole.startswith(mark, i)
        ]
        place = rng.choice(places) + rng.choice((18, 20, 22, 24, 8, 10))
        whole[place : place + 4] = struct.pack("<I", rng.choice((0, 1, 100, 2**31 - 1, 2**32 - 1)))
    return mutate_bytes(bytes(whole), content, rng) if rng.random() < 0.2 else bytes(whole)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def mutate_png(content: bytes, rng: Random) -> bytes:
    """A PNG with other chunks, all with a right checksum."""
    chunks: list[tuple[bytes, bytes]] = []
    place = 8
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    number = rng.randrange(len(chunks))
    kind, body = chunks[number]
    match rng.randrange(6):
        case 0:
            width, height = (rng.choice((0, 1, 32, 6000, 2**20, 2**31 - 1)) for _ in range(2))
            depth, color = rng.choice((1, 2, 8, 16, 99)), rng.choice((0, 2, 3, 4, 6, 7))
            chunks[0] = (
                b"IHDR",
                struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, rng.choice((0, 1, 9))),
            )
        case 1:
            chunks[number] = (kind, mutate_bytes(body, content, rng))
        case 2:
            del chunks[number]
        case 3:
            bomb = zlib.compress(bytes(rng.choice((100, 50_000_000))))
            kinds = (
                (b"zTXt", b"a\0\0" + bomb),
                (b"iCCP", b"a\0\0" + bomb),
                (b"IDAT", bomb),
                (b"tEXt", b"a\0b"),
            )
            chunks.insert(
                rng.randrange(1, len(chunks)), rng.choice((*kinds, (b"acTL", struct.pack(">II", 9, 0))))
            )
        case 4:
            chunks.insert(number, chunks[number])
        case _:
            chunks[number] = (
                rng.choice((b"PLTE", b"tRNS", b"fcTL", b"fdAT", b"IEND", b"gAMA", b"eXIf")),
                body,
            )
    return content[:8] + b"".join(_chunk(*chunk) for chunk in chunks)


def _mutated(path: Path, rng: Random) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".npz" and rng.random() < 0.8:
        return mutate_npz(content, rng)
    if path.suffix == ".png" and rng.random() < 0.7:
        return mutate_png(content, rng)
    if path.suffix == ".npy" and rng.random() < 0.6:
        return _header(rng) + content[128:]
    return mutate_bytes(content, rng.choice(sorted(SOURCE.iterdir())).read_bytes(), rng)


def make_case(rng: Random, folder: Path) -> Sequence[Sequence[str]]:
    """Images, statistics and masks, one or two files of them mutated, and a command that reads one."""
    kind = rng.choice(("images", "images", "statistics", "statistics", "folder", "folder", "mask"))
    if kind in ("images", "statistics"):
        for name in ("images.npz", "statistics.npz"):
            shutil.copy(SOURCE / name, folder)
        (folder / f"{kind}.npz").write_bytes(_mutated(SOURCE / f"{kind}.npz", rng))
        if kind == "statistics" and rng.random() < 0.5:
            return [("stats", "show", "statistics.npz")]
        return [("fid", "images.npz", "--reference", "statistics.npz", *FEATURES)]
    if kind == "mask":
        name = rng.choice(("mask.png", "mask.npy"))
        (folder / name).write_bytes(_mutated(SOURCE / name, rng))
        return [(*INPAINT, "-P", f"task.mask={name}")]
    form = rng.choice(FORMS)
    (folder / "images").mkdir()
    for number in range(4):
        shutil.copy(SOURCE / f"{number % 2}.{form}", folder / "images" / f"{number}.{form}")
    for _ in range(rng.randint(1, 2)):
        file = folder / "images" / f"{rng.randrange(4)}.{form}"
        file.write_bytes(_mutated(file, rng))
    if rng.random() < 0.3:
        return [
            ("stats", "build", "images", "-o", "x.npz", "--extractor", "cifar10-features", "--device", "cpu")
        ]
    return [("fid", "images", *METRIC)]


if __name__ == "__main__":
    run("images", make_case)
