"""Inception's features as clean-fid (Parmar et al. 2022) computes them: its networks, in its three modes."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench import (
    Array,
    BenchError,
    Emit,
    Extract,
    Extractor,
    Features,
    Tensor,
    build_command,
    cache_folder,
    cached_sha256,
    fetch_once,
    param,
    silent,
)

Mode = Literal["legacy_tensorflow", "clean", "legacy_pytorch"]

SIDE = 299
"""Pixels per side of the network's input."""

TORCHSCRIPT, PYTORCH = "inception-2015-12-05.pt", "pt_inception-2015-12-05-6726825d.pth"
"""The networks' files, as clean-fid calls them; the second one's name ends in the start of its SHA-256."""

TEMPORARY = Path("/tmp", TORCHSCRIPT)
"""Where clean-fid itself stores the first network."""

STATISTICS = "https://www.cs.cmu.edu/~clean-fid/stats/"
"""Address of clean-fid's statistics, which its ``get_reference_statistics`` does not export."""

CIFAR10 = ("cifar10-train", "cifar10")
"""Names of CIFAR-10's training images."""

EDM = "https://nvlabs-fi-cdn.nvidia.com/edm/fid-refs/"
EDM_DATA = (
    *("cifar10-32x32", "ffhq-64x64", "afhqv2-64x64", "imagenet-64x64", "imagenet-64x64-baseline"),
    *("img64", "img512"),
)
"""Names of the statistics that EDM (.npz, 34 MB each) and EDM2 (the last two, .pkl) compare with."""

EDM2 = "https://nvlabs-fi-cdn.nvidia.com/edm2/dataset-refs/"

CHUNKS = {"cpu": 16, "cuda": 128}
"""Images per pass, about 1 MB each when resized: memory does not depend on the batch."""


class Inception(Extractor):
    """The 2048 features of the Inception network of 2015 (Szegedy et al. 2016), as FID is defined on.

    ``legacy_tensorflow``: bilinear resizing inside the network, comparable with TF-GAN's and Heusel et
    al.'s; ``clean``: antialiased bicubic resizing; ``legacy_pytorch``: pytorch-fid's network and bilinear
    resizing, without class probabilities.
    """

    name = "inception"
    width = 2048
    libraries = ("clean-fid",)

    mode: Mode = param(
        default="legacy_tensorflow", help="network and resizing, as clean-fid calls them", flag="mode"
    )

    def check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise BenchError(f"{self.name} takes images of 1 or 3 channels, not {shape[0]}")

    def check(self, emit: Emit) -> None:
        self._weights(emit)

    def absent_files(self) -> dict[str, str]:
        """Its weights, and clean-fid's statistics of CIFAR-10's training images."""
        weights, elsewhere = self._places()
        statistics, packaged = self._statistics_places("cifar10", "train", "32")
        files = (
            (weights, elsewhere, self._weights_address()),
            (statistics, packaged, STATISTICS + statistics.name),
        )
        return {
            target.name: f"the first use fetches it; without network bring {address} to {target}"
            for target, other, address in files
            if not (target.is_file() or other.is_file())
        }

    def provenance(self) -> dict[str, str]:
        path = self._weights(silent)
        return {path.name: cached_sha256(path)}

    def reference(self, dataset: str, emit: Emit) -> Path | None:
        """Path of clean-fid's statistics of ``cifar10-train``, ``cifar10-test`` or NAME-SPLIT-RESOLUTION, or
        of EDM's (`EDM_DATA`).

        None where the name has another form.
        """
        if dataset in EDM_DATA:
            return self._edm_statistics(dataset, emit)
        cifar10 = dataset in ("cifar10-train", "cifar10-test")
        full = f"{dataset}-32" if cifar10 else dataset.lower()
        match = re.fullmatch(r"([a-z0-9_]+)-([a-z0-9_]+)-([0-9]+)", full)
        if match is None:
            return None
        target, own = self._statistics_places(*match.groups())
        remedy = f"or {build_command(dataset if cifar10 else None, self)} makes your own"
        return _available(target, own, lambda: STATISTICS + target.name, remedy, emit)

    def _statistics_places(self, name: str, split: str, side: str) -> tuple[Path, Path]:
        """Where clean-fid's statistics of a data set would be: in the cache, and in its own folder."""
        import cleanfid

        file = f"{name}_{self.mode}_{split}_{side}.npz"
        return cache_folder("stats", file), Path(cleanfid.__file__).parent / "stats" / file

    def _edm_statistics(self, name: str, emit: Emit) -> Path:
        """Path of statistics of EDM's or EDM2's, whose network is that of ``legacy_tensorflow``."""
        if self.mode != "legacy_tensorflow":
            raise BenchError(
                f"{name} are statistics of the mode legacy_tensorflow, not of {self.mode}: "
                "name others by -P metric.reference"
            )
        file = f"{name}.npz"
        if name.startswith("img"):
            convert = f"pickle.loads(pathlib.Path('{name}.pkl').read_bytes())['fid']"
            raise BenchError(
                f"EDM2's statistics {name} are a pickle, which can hold code and is not read: fetch "
                f'{EDM2}{name}.pkl, run python -c "import numpy, pathlib, pickle; '
                f"numpy.savez('{file}', **{convert})\", and give -P metric.reference={file}"
            )
        remedy = f"or name another file by -P metric.reference={file}"
        target = cache_folder("stats", f"edm_{file}")
        return _available(target, target, lambda: EDM + file, remedy, emit)

    def load(self, device: Any) -> Extract:
        import torch

        network, weight = self._network(device)
        chunk = CHUNKS[device.type]

        def extract(images: Tensor) -> Features:
            self.check_shape(tuple(images.shape[1:]))
            rows, probabilities = [], []
            with torch.no_grad():
                for part in images.split(chunk):
                    rows.append(network(part.to(device).expand(-1, 3, -1, -1).float()))
                    if weight is not None:
                        probabilities.append((rows[-1] @ weight.T).softmax(1))
            return Features(torch.cat(rows).cpu(), torch.cat(probabilities).cpu() if probabilities else None)

        return extract

    def _weights(self, emit: Emit) -> Path:
        """The network's file, fetched where it is missing; `BenchError` that says where to put it."""
        return _available(*self._places(), self._weights_address, _WITHOUT, emit)

    def _places(self) -> tuple[Path, Path]:
        """Where its weights would be: in the cache, and where clean-fid stores them."""
        if self.mode == "legacy_pytorch":
            return cache_folder("inception", PYTORCH), _hub()
        return cache_folder("inception", TORCHSCRIPT), TEMPORARY

    def _weights_address(self) -> str:
        return _pytorch_address() if self.mode == "legacy_pytorch" else _address()

    def _network(self, device: Any) -> tuple[Callable[[Tensor], Tensor], Tensor | None]:
        """The network, float32 images (B, 3, H, W) on [0, 255] -> features (B, 2048), and its last layer.

        Of the last layer the weights (classes, 2048), without the bias, which the Inception score leaves out
        (Salimans et al. 2016); None where the network has none.
        """
        path = self._weights(silent)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # clean-fid calls deprecated functions of torch
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
        # clean-fid's model does the same with two more passes over the resized images
        x = model.layers(bicubic(x).sub_(128).div_(128)) if clean else model(x)
        return x.view(len(x), -1)

    return features, weight


def _pytorch(path: Path, device: Any) -> Callable[[Tensor], Tensor]:
    import torch
    from cleanfid import inception_pytorch

    state = torch.load(path, map_location="cpu", weights_only=True)
    # clean-fid's constructor fetches the weights: it gets those that are here instead
    original = inception_pytorch.load_state_dict_from_url
    inception_pytorch.load_state_dict_from_url = lambda *_, **__: state
    try:
        model = inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False)
    finally:
        inception_pytorch.load_state_dict_from_url = original
    model = model.eval().to(device)

    def features(x: Tensor) -> Tensor:
        x = torch.nn.functional.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        rows: Tensor = model(x.clamp_(0, 255).div_(255))[0].flatten(1)
        return rows

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
    whose centers lie less than two (stretched) pixels off, and normalized to a sum of one.
    """
    import torch

    stretch = max(n / size, 1.0)
    centers = (np.arange(size)[:, None] + 0.5) * (n / size)
    pixels = np.arange(n) + 0.5
    # Pillow rounds the ends of its window to whole pixels
    first, last = ((centers + side * 2 * stretch + 0.5).astype(int) for side in (-1, 1))
    inside = (pixels > first) & (pixels < last)
    weights = np.where(inside, _keys(np.abs(pixels - centers) / stretch), 0.0)
    return torch.from_numpy((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


def _keys(x: Array) -> Array:
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    kernel: Array = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return kernel


def _address() -> str:
    from cleanfid import downloads_helper

    return str(downloads_helper.inception_url)


def _pytorch_address() -> str:
    from cleanfid import inception_pytorch

    return str(inception_pytorch.FID_WEIGHTS_URL)


def _hub() -> Path:
    """Where clean-fid stores the second network."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", PYTORCH)


def _available(target: Path, other: Path, address: Callable[[], str], remedy: str, emit: Emit) -> Path:
    """``target`` or ``other``, whichever is here; else ``target``, fetched from clean-fid's address."""
    if target.is_file():
        return target
    if other.is_file():
        return other
    url = address()
    try:
        # a name may end in the first digits of the hash
        digits = re.search(r"-([0-9a-f]{8})\.pth$", target.name)
        fetch_once(url, target, emit, digits[1] if digits is not None else "")
    except BenchError as error:
        reason = str(error).partition(";")[0]
        raise BenchError(
            f"{target.name} is not here and can't be fetched ({reason}): bring {url} to {target}; {remedy}"
        ) from error
    return target
