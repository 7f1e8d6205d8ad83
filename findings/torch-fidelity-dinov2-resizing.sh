#!/usr/bin/env bash
# torch-fidelity's DINOv2 features are not those of FD-DINOv2 as Stein et al. (2023) define it: their code,
# dgm-eval, resizes images to 224x224 by Pillow's bicubic filter; FeatureExtractorDinoV2 resizes them bilinearly,
# from the points i n / 224 instead of (i + 1/2) n / 224 - 1/2, as TensorFlow 1 did for FID's Inception. The image
# that the network sees is shifted by almost half a pixel of the original. Values of the two don't compare.
#
# Seen with torch-fidelity 0.4.0, PyTorch 2.15.0 and torchvision 0.29.2. It fails if that resizes in another way.
# The network's weights are not needed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch-fidelity==0.4.0 torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 pillow==13.0.0

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch
import torch_fidelity
import torchvision.transforms as transforms
from PIL import Image
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

seen = []


class Network(torch.nn.Module):
    def forward(self, x):
        seen.append(x)
        return x.mean(dim=(2, 3))


torch.hub.load = lambda *_, **__: Network()
image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
FeatureExtractorDinoV2("dinov2-vit-l-14", ["dinov2"])(torch.from_numpy(image).permute(2, 0, 1)[None])
mean, sd = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
theirs = seen[0][0].permute(1, 2, 0).double().numpy() * sd + mean

# dgm_eval/models/dinov2.py, by default: Resize((224, 224), BICUBIC), ToTensor, Normalize
resize = transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC)
dgm_eval = np.asarray(resize(Image.fromarray(image))) / 255


def bilinear(points):
    """The image (32, 32, 3) / 255, linear between pixels, at these points along both axes."""
    points = points.clip(0, 31)
    low = np.floor(points).astype(int)
    part = points - low
    high = np.minimum(low + 1, 31)
    rows = image[low] * (1 - part)[:, None, None] + image[high] * part[:, None, None]
    return (rows[:, low] * (1 - part)[:, None] + rows[:, high] * part[:, None]) / 255


i = np.arange(224)
print(f"torch-fidelity {torch_fidelity.__version__}, one image of 32x32 random bytes, on [0, 1]")
print("largest and root mean square difference of what the network is given from")
differences = {}
for name, other in {
    "bilinear at i n / 224": bilinear(i * 32 / 224),
    "bilinear at (i + 1/2) n / 224 - 1/2": bilinear((i + 0.5) * 32 / 224 - 0.5),
    "dgm-eval's": dgm_eval,
}.items():
    differences[name] = float(np.abs(theirs - other).max())
    print(f"{name:>36} {differences[name]:10.1e} {np.sqrt(((theirs - other) ** 2).mean()):10.1e}")
same, half, other = differences.values()
if not (same < 1e-5 and half > 0.1 and other > 0.1):
    sys.exit("changed: torch-fidelity resizes in another way")
print("as described: torch-fidelity gives DINOv2 other images than dgm-eval does")
PYTHON
