"""Networks with random weights in place of Inception's files, in the same formats, for clean-fid and us.

``inception-2015-12-05.pt`` is TorchScript with ``layers`` (images on [-1, 1] -> 2048 features), ``output``
(1008 classes) and a ``forward`` that resizes to 299 by 299 first; the other file is a state dictionary of
pytorch-fid's network, whose code is clean-fid's.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import linalg
from torch import Tensor, nn

TORCHSCRIPT, PYTORCH = "inception-2015-12-05.pt", "pt_inception-2015-12-05-6726825d.pth"


class StandIn(nn.Module):
    """Patches of 23 by 23 pixels -> 32 channels, rectified, pooled -> 2048 features, rectified."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 23, stride=23),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(5),
            nn.Flatten(),
            nn.Linear(800, 2048),
            nn.ReLU(),
        )
        self.output = nn.Linear(2048, 1008)

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        x = nn.functional.interpolate(img, size=(299, 299), mode="bilinear", align_corners=False)
        features: Tensor = self.layers((x - 128) / 128)
        if return_features:
            return features
        scores: Tensor = self.output(features)
        return scores.softmax(dim=1)


class WithoutClasses(nn.Module):
    """The same features, and no last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = StandIn().layers

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        x = nn.functional.interpolate(img, size=(299, 299), mode="bilinear", align_corners=False)
        features: Tensor = self.layers((x - 128) / 128)
        return features


def save_torchscript(folder: Path, live: int = 2048, classes: bool = True) -> Path:
    """Write the TorchScript file into a folder; all features but ``live`` are zero."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: StandIn | WithoutClasses = StandIn() if classes else WithoutClasses()
    with torch.no_grad():
        last = network.layers[4]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(20)  # features that tell images apart
        last.weight[live:], last.bias[live:] = 0, -1
        if isinstance(network, StandIn):
            network.output.weight.mul_(30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network.eval()).save(str(folder / TORCHSCRIPT))
    return folder / TORCHSCRIPT


def save_pytorch(folder: Path, live: int = 2048) -> Path:
    """Write random weights of clean-fid's pytorch network into a folder; all features but ``live`` are zero.

    Its features are four branches' side by side, of which the first has 320.
    """
    from cleanfid import inception_pytorch

    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        patch.setattr(inception_pytorch, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_: None)
        with torch.device("meta"):  # what clean-fid draws is drawn anew
            network = inception_pytorch.fid_inception_v3()
        network.to_empty(device="cpu")
        for module in network.modules():
            if isinstance(module, nn.Conv2d):  # so that images still differ after all layers
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d | nn.Linear):
                module.reset_parameters()
    if live < 2048:
        for name, module in network.Mixed_7c.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                first = live if name.startswith("branch1x1") else 0
                module.weight.data[first:], module.bias.data[first:] = 0, -1
    torch.save(network.state_dict(), folder / PYTORCH)
    return folder / PYTORCH


def pictures(n: int, seed: int = 0, sides: tuple[int, int] = (32, 32)) -> Tensor:
    """uint8 images (n, 3, H, W) with some structure: smooth colors and noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=sides, mode="bicubic")
    noise = torch.randn(n, 3, *sides, generator=generator)
    return (128 + 60 * smooth + 20 * noise + 5 * seed).clamp(0, 255).to(torch.uint8)


def save_png(images: Tensor, folder: Path) -> Path:
    """One PNG an image, in their order by name."""
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{i:06d}.png")
    return folder


def clean_fid_network(folder: Path, mode: str) -> Any:
    """clean-fid's own feature extractor of a mode, on the files of a folder."""
    from cleanfid.inception_torchscript import InceptionV3W

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if mode != "legacy_pytorch":
            return InceptionV3W(str(folder), download=False, resize_inside=mode == "legacy_tensorflow").eval()
        from cleanfid import features, inception_pytorch

        state = torch.load(folder / PYTORCH, weights_only=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inception_pytorch, "load_state_dict_from_url", lambda *_, **__: state)
            return features.build_feature_extractor(mode, torch.device("cpu"), use_dataparallel=False)


def clean_fid_features(path: Path, network: Any, mode: str, **how: Any) -> NDArray[Any]:
    """clean-fid's own features of a folder of images."""
    from cleanfid.fid import get_folder_features

    how = {"num_workers": 0, "batch_size": 16, "device": torch.device("cpu"), "verbose": False} | how
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features: NDArray[Any] = get_folder_features(str(path), network, mode=mode, **how)
    return features


def sqrtm(matrix: NDArray[Any], disp: bool = True) -> Any:
    """scipy's, of the rows and columns that are not zero: what is left of the root is zero there too.

    Takes the argument ``disp`` that clean-fid gives and that scipy 1.18 has no more.
    """
    live = np.flatnonzero(np.abs(matrix).sum(axis=0) + np.abs(matrix).sum(axis=1))
    root = np.zeros(matrix.shape, dtype=complex)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root[np.ix_(live, live)] = linalg.sqrtm(matrix[np.ix_(live, live)])
    return root if disp else (root, np.nan)


def quick_sqrtm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clean-fid's ``frechet_distance`` call `sqrtm`."""
    from cleanfid import fid

    monkeypatch.setattr(fid, "linalg", SimpleNamespace(sqrtm=sqrtm))
