"""Inception's features as clean-fid (Parmar et al. 2022) takes them: its networks, in its three modes."""

from __future__ import annotations

import functools
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench import Array, BenchError, Extractor, Features, Tensor, param
from bench.cache import cached_sha256, root
from bench.download import fetch, forget, writing
from bench.events import Advance, Event, Notice

if TYPE_CHECKING:
    from bench.metrics.features import Extract

Mode = Literal["legacy_tensorflow", "clean", "legacy_pytorch"]

SIDE = 299
"""Pixels along a side of what the network takes."""

TORCHSCRIPT, PYTORCH = "inception-2015-12-05.pt", "pt_inception-2015-12-05-6726825d.pth"
"""The networks' files, as clean-fid calls them; the second one's name ends in the start of its SHA-256."""

TEMPORARY = Path("/tmp", TORCHSCRIPT)
"""Where clean-fid itself has the first network."""

STATISTICS = "https://www.cs.cmu.edu/~clean-fid/stats/"
"""Where clean-fid has its statistics; its ``get_reference_statistics`` keeps the address to itself."""

CHUNKS = {"cpu": 16, "cuda": 128}
"""Images at once, of about 1 MB each once resized: memory does not depend on the batch."""


class Inception(Extractor):
    """The 2048 features of the Inception network of 2015 (Szegedy et al. 2016), as FID is defined on.

    ``legacy_tensorflow``: bilinear resizing inside the network, comparable with TF-GAN's and Heusel et
    al.'s; ``clean``: antialiased bicubic resizing; ``legacy_pytorch``: pytorch-fid's network and bilinear
    resizing, without class probabilities.
    """

    name = "inception"
    width = 2048
    libraries = ("clean-fid",)

    mode: Mode = param(default="legacy_tensorflow", help="network and resizing, as clean-fid calls them")

    def check(self) -> None:
        self._weights()

    def provenance(self) -> dict[str, str]:
        path = self._weights()
        return {path.name: cached_sha256(path)}

    def reference(self, dataset: str) -> Path | None:
        """clean-fid's statistics: ``cifar10-train``, ``cifar10-test``, or NAME-SPLIT-RESOLUTION as it has
        them; None where the name can't be one of its own."""
        cifar10 = dataset in ("cifar10-train", "cifar10-test")
        full = f"{dataset}-32" if cifar10 else dataset.lower()
        found = re.fullmatch(r"([a-z0-9_]+)-([a-z0-9_]+)-([0-9]+)", full)
        if found is None:
            return None
        import cleanfid

        name, split, side = found.groups()
        file = f"{name}_{self.mode}_{split}_{side}.npz"
        own = Path(cleanfid.__file__).parent / "stats" / file
        source = dataset if cifar10 else "FOLDER"
        remedy = f"or bench stats build {source} --extractor {self.name} --mode {self.mode} makes your own"
        return _found(root() / "stats" / file, own, lambda: STATISTICS + file, remedy)

    def load(self, device: Any) -> Extract:
        import torch

        network, weight = self._network(device)
        chunk = CHUNKS[device.type]

        def extract(images: Tensor) -> Features:
            if images.shape[1] not in (1, 3):
                raise BenchError(f"{self.name} takes images of 1 or 3 channels, not {images.shape[1]}")
            rows, probabilities = [], []
            with torch.no_grad(), _full_precision(device):
                for part in images.split(chunk):
                    rows.append(network(part.to(device).expand(-1, 3, -1, -1).float()))
                    if weight is not None:
                        probabilities.append((rows[-1] @ weight.T).softmax(1))
            return Features(torch.cat(rows).cpu(), torch.cat(probabilities).cpu() if probabilities else None)

        return extract

    def _weights(self) -> Path:
        """The network's file, fetched where it is not here; `BenchError` that says where it goes."""
        if self.mode == "legacy_pytorch":
            return _found(root() / "inception" / PYTORCH, _hub, _pytorch_address, _WITHOUT)
        return _found(root() / "inception" / TORCHSCRIPT, TEMPORARY, _address, _WITHOUT)

    def _network(self, device: Any) -> tuple[Callable[[Tensor], Tensor], Tensor | None]:
        """float32 images (B, 3, H, W) on [0, 255] -> features (B, 2048); the weights (classes, 2048) of the
        last layer, whose bias the Inception score leaves out (Salimans et al. 2016), where there are any."""
        path = self._weights()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the age of clean-fid's calls to torch
                if self.mode == "legacy_pytorch":
                    return _pytorch(path, device), None
                return _torchscript(path, device, self.mode == "clean")
        except Exception as error:
            reason = " ".join(str(error).split())
            if len(reason) > 120:
                reason = f"{reason[:120]}…"
            raise BenchError(
                f"{path} is damaged, or not the network of clean-fid ({reason}): "
                "remove it and run the same command again"
            ) from error


_WITHOUT = "fd_cifar10 needs no download"


def _torchscript(path: Path, device: Any, clean: bool) -> tuple[Callable[[Tensor], Tensor], Tensor | None]:
    from cleanfid.inception_torchscript import InceptionV3W

    model = InceptionV3W(str(path.parent), download=False, resize_inside=not clean)
    model = model.eval().requires_grad_(False).to(device)
    output = getattr(model.base, "output", None)
    weight: Tensor | None = getattr(output, "weight", None)

    def features(x: Tensor) -> Tensor:
        # as clean-fid's model does by two passes more over what is resized
        x = model.layers(bicubic(x).sub_(128).div_(128)) if clean else model(x)
        return x.view(len(x), -1)

    return features, weight


def _pytorch(path: Path, device: Any) -> Callable[[Tensor], Tensor]:
    import torch
    from cleanfid import inception_pytorch

    state = torch.load(path, map_location="cpu", weights_only=True)
    # clean-fid has its constructor fetch the weights: it is given those that are here
    fetched = inception_pytorch.load_state_dict_from_url
    inception_pytorch.load_state_dict_from_url = lambda *_, **__: state
    try:
        model = inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False)
    finally:
        inception_pytorch.load_state_dict_from_url = fetched
    model = model.eval().to(device)

    def features(x: Tensor) -> Tensor:
        x = torch.nn.functional.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        found: Tensor = model(x.clamp_(0, 255).div_(255))[0].flatten(1)
        return found

    return features


def bicubic(x: Tensor) -> Tensor:
    """Images (B, C, H, W) resized to 299 by 299 as Pillow's bicubic filter does, clipped to [0, 255].

    Separable, so two matrix products per channel, ``A_H X A_W^T``; within float32's rounding of Pillow's
    own, which torch's antialiased interpolation, with weights in float32, is not.
    """
    down, across = (bicubic_weights(n).to(x) for n in x.shape[2:])
    return (down @ (x @ across.T)).clamp_(0, 255)


@functools.lru_cache(maxsize=8)
def bicubic_weights(n: int, size: int = SIDE) -> Tensor:
    """Weights (size, n) of ``n`` pixels in each of ``size``, float32.

    Keys (1981) eq. 4 with a = -1/2, stretched by ``n / size`` where that shrinks the image, over pixels
    whose centres lie less than two (stretched) pixels off, and normalised to a sum of one.
    """
    import torch

    stretch = max(n / size, 1.0)
    centres = (np.arange(size)[:, None] + 0.5) * (n / size)
    pixels = np.arange(n) + 0.5
    # Pillow's window: its ends are rounded to whole pixels
    first, last = ((centres + side * 2 * stretch + 0.5).astype(int) for side in (-1, 1))
    inside = (pixels > first) & (pixels < last)
    weights = np.where(inside, _keys(np.abs(pixels - centres) / stretch), 0.0)
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def _keys(x: Array) -> Array:
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    kernel: Array = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return kernel


@contextmanager
def _full_precision(device: Any) -> Iterator[None]:
    """float32 throughout on a GPU, whatever precision samples are drawn in: figures would differ."""
    import torch

    if device.type != "cuda":
        yield
        return
    products, layers = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, layers.allow_tf32
    products.allow_tf32 = layers.allow_tf32 = False
    try:
        yield
    finally:
        products.allow_tf32, layers.allow_tf32 = before


class _Spoken:
    """A line on standard error when a file begins to come, every ten seconds, and when a try fails."""

    said = -1e9

    def __call__(self, event: Event) -> None:
        if isinstance(event, Advance) and time.monotonic() - self.said > 10:
            of = f" of {event.total / 1e6:.1f}" if event.total is not None else ""
            print(f"fetching {event.phase}: {event.done / 1e6:.1f}{of} MB", file=sys.stderr)
            self.said = time.monotonic()
        elif isinstance(event, Notice):
            print(event.text, file=sys.stderr)


def _address() -> str:
    from cleanfid import downloads_helper

    return str(downloads_helper.inception_url)


def _pytorch_address() -> str:
    from cleanfid import inception_pytorch

    return str(inception_pytorch.FID_WEIGHTS_URL)


def _hub() -> Path:
    """Where clean-fid would have the second network."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", PYTORCH)


def _found(target: Path, other: Path | Callable[[], Path], address: Callable[[], str], remedy: str) -> Path:
    """``target`` or ``other``, whichever is here; else ``target``, fetched from clean-fid's address."""
    if target.is_file():
        return target
    other = other if isinstance(other, Path) else other()
    if other.is_file():
        return other
    url = address()
    try:
        _fetch(url, target)
    except BenchError as error:
        reason = str(error).partition(";")[0]
        raise BenchError(
            f"{target.name} is not here and can't be fetched ({reason}): bring {url} to {target}; {remedy}"
        ) from error
    return target


def _fetch(url: str, target: Path) -> None:
    """Bring a file to the cache, whole or not at all; what has come of it is kept for another try."""
    from filelock import FileLock

    partial = root() / "partial" / target.name
    lock = root() / "locks" / f"{target.name}.lock"
    with writing(target):
        for path in (partial, lock, target):
            path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if target.is_file():
            return
        fetch(url, partial, None, None, _Spoken())
        start = re.search(r"-([0-9a-f]{8})\.pth$", target.name)
        if start is not None and not cached_sha256(partial).startswith(start[1]):
            forget(partial)
            raise BenchError(f"{url} has another file: its SHA-256 does not start with {start[1]}")
        with writing(target):
            partial.replace(target)
        forget(partial)
