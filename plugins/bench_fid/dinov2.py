"""DINOv2's features, for FD-DINOv2: an optional extra, on weights that users put into the cache."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from bench import BenchError, Emit, Extract, Extractor, Features, Tensor, cache_folder, cached_sha256, silent

FILES = ("config.json", "model.safetensors")
SIDE = 224
CHUNK = 32
"""Images per pass."""
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's channels."""
OFFSET = 0.1
"""The published network adds it to the number of patches per side when it resizes its position code."""


class DINOv2(Extractor):
    """The 1024 features of DINOv2 ViT-L/14 (Oquab et al. 2023), as FD-DINOv2 takes them (Stein et al. 2023).

    The class token after the last normalization, of images resized to 224x224 by Pillow's bicubic filter, in
    8 bits, and normalized by ImageNet's channel means. Needs the package transformers, and config.json and
    model.safetensors of facebook/dinov2-large in the folder dinov2-large of the cache; nothing is fetched.
    """

    name = "dinov2"
    width = 1024
    has_classes = False

    def folder(self) -> Path:
        """Where its weights are, or would be."""
        return cache_folder("dinov2-large")

    def check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != 3:
            raise BenchError(f"{self.name} takes images of 3 channels, not {shape[0]}")

    def check(self, emit: Emit) -> None:
        missing = [name for name in FILES if not (self.folder() / name).is_file()]
        if missing:
            raise BenchError(
                f"{self.name}: put {' and '.join(missing)} of facebook/dinov2-large (Hugging Face) into "
                f"{self.folder()}; --metric fd_cifar10 needs no download"
            )
        if importlib.util.find_spec("transformers") is None:
            raise BenchError(
                f"{self.name}: the package transformers is missing: in a clone of sampler-bench, "
                "pip install -e '.[dinov2]'"
            )

    def provenance(self) -> dict[str, str]:
        return {f"{self.name}/{name}": cached_sha256(self.folder() / name) for name in FILES}

    def load(self, device: Any) -> Extract:
        self.check(silent)
        import torch

        network = read(self.folder(), self.width).to(device)
        mean, sd = (torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, SD))

        @torch.no_grad()
        def extract(images: Tensor) -> Features:
            rows = []
            for part in images.split(CHUNK):
                x = resized(part).to(device).float() / 255
                rows.append(network(pixel_values=(x - mean) / sd).pooler_output.float().cpu())
            return Features(torch.cat(rows))

        return extract


def read(folder: Path, width: int) -> Any:
    """The network in a folder, with its position code resized to 16x16 patches as in the published network.

    Releases of transformers resize it in different ways, but none changes a code of the right size.
    `BenchError` where the folder holds another network.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import Dinov2Model

    try:
        network, loaded = Dinov2Model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise BenchError(f"dinov2: {folder} can't be read as a DINOv2 network: {reason}") from error
    if loaded["missing_keys"]:  # transformers fills them with random numbers
        lacking = min(loaded["missing_keys"])
        raise BenchError(f"dinov2: {folder}/{FILES[1]} lacks the tensor {lacking}: fetch it again")
    config = network.config
    if config.hidden_size != width or config.patch_size != 14:
        raise BenchError(
            f"dinov2: {folder} holds a network of {config.hidden_size} features and patches of "
            f"{config.patch_size}, not {width} and 14: take facebook/dinov2-large"
        )
    embeddings = network.embeddings
    code = position_code(embeddings.position_embeddings.detach(), SIDE // config.patch_size)
    embeddings.position_embeddings = torch.nn.Parameter(code)
    return network.float().eval().requires_grad_(False)


def position_code(code: Tensor, side: int) -> Tensor:
    """The position code (1, 1 + p^2, d) of p x p patches for ``side`` x ``side``, class token unchanged.

    Bicubic, with the scale ``(side + 0.1) / p`` instead of ``side / p``, as in the published network: the
    offset moves the sampled points.
    """
    import torch
    from torch.nn.functional import interpolate

    first, rest = code[:, :1].float(), code[:, 1:].float()
    p, d = round(rest.shape[1] ** 0.5), rest.shape[2]
    if p == side:
        return torch.cat([first, rest], dim=1)
    grid = rest.reshape(1, p, p, d).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / p
    grid = interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([first, grid.permute(0, 2, 3, 1).reshape(1, side * side, d)], dim=1)


def resized(images: Tensor) -> Tensor:
    """uint8 images (B, 3, H, W) -> (B, 3, 224, 224), Pillow's bicubic filter, uint8."""
    import torch
    from PIL import Image

    if images.shape[1] != 3:
        raise BenchError(f"dinov2 takes images of 3 channels, not {images.shape[1]}")
    small = (Image.fromarray(image) for image in images.permute(0, 2, 3, 1).contiguous().numpy())
    large = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for image in small]
    return torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2)
