"""DINOv2's features, for FD-DINOv2."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench import (
    BenchError,
    Emit,
    Extract,
    Extractor,
    Features,
    Tensor,
    cache_folder,
    cached_sha256,
    fetch_once,
    silent,
)

ADDRESS = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth"
"""The authors' weights, 1.2 GB: the file that dgm-eval and torch-fidelity fetch through torch.hub."""
SIDE = 224
CHUNK = 32
"""Images per pass."""
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels."""


class DINOv2(Extractor):
    """The 1024 features of DINOv2 ViT-L/14 (Oquab et al. 2023), as FD-DINOv2 takes them (Stein et al. 2023).

    The class token after the last normalization, of images resized to 224x224 by Pillow's bicubic filter, in
    8 bits, and normalized by ImageNet's channel means and deviations: what dgm-eval, the code of Stein et
    al., does by default. Others resize in other ways, and their values don't compare: torch-fidelity 0.4.0
    bilinearly, from TensorFlow 1's points; EDM2's calculate_metrics.py bicubically in float32. The weights
    (1.2 GB) are fetched at the first use.
    """

    name = "dinov2"
    width = 1024
    depth: ClassVar[int] = 24
    heads: ClassVar[int] = 16
    has_classes = False

    def check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != 3:
            raise BenchError(f"{self.name} takes images of 3 channels, not {shape[0]}")

    def file(self) -> Path:
        """Where its weights are, or would be."""
        return cache_folder("dinov2", ADDRESS.rpartition("/")[2])

    def check(self, emit: Emit) -> None:
        target = self.file()
        if target.is_file():
            return
        try:
            fetch_once(ADDRESS, target, emit)
        except BenchError as error:
            reason = str(error).partition(";")[0]
            raise BenchError(
                f"{target.name} is not here and can't be fetched ({reason}): bring {ADDRESS} to {target}; "
                "fd_cifar10 needs no download"
            ) from error

    def absent_files(self) -> dict[str, str]:
        file = self.file()
        remedy = f"the first use fetches it; without network bring {ADDRESS} to {file}"
        return {} if file.is_file() else {file.name: remedy}

    def provenance(self) -> dict[str, str]:
        return {self.file().name: cached_sha256(self.file())}

    def load(self, device: Any) -> Extract:
        self.check(silent)
        import torch

        network = self._network().to(device)
        mean, sd = (torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, SD))

        @torch.no_grad()
        def extract(images: Tensor) -> Features:
            rows = []
            for part in images.split(CHUNK):
                x = resized(part).to(device).float() / 255
                rows.append(network((x - mean) / sd).cpu())
            return Features(torch.cat(rows))

        return extract

    def _network(self) -> Any:
        """The network with its weights; `BenchError` where the file holds others."""
        import torch

        from bench_fid.vit import VisionTransformer

        with torch.device("meta"):
            network = VisionTransformer(self.width, self.depth, self.heads)
        try:
            weights = torch.load(self.file(), map_location="cpu", weights_only=True)
            network.load_state_dict(weights, assign=True)
        except (OSError, ValueError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())
            if len(reason) > 120:
                reason = f"{reason[:120]}…"
            raise BenchError(
                f"{self.file()} is damaged, or not the network dinov2_vitl14 ({reason}): "
                "remove it and run the same command again"
            ) from error
        return network.float().eval().requires_grad_(False)


def resized(images: Tensor) -> Tensor:
    """uint8 images (B, 3, H, W) -> (B, 3, 224, 224), Pillow's bicubic filter, uint8."""
    import torch
    from PIL import Image

    if images.shape[1] != 3:
        raise BenchError(f"dinov2 takes images of 3 channels, not {images.shape[1]}")
    small = (Image.fromarray(image) for image in images.permute(0, 2, 3, 1).contiguous().numpy())
    large = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in small]
    return torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2)
