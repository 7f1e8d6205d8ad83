#!/usr/bin/env bash
# torchcfm: UNetModelWrapper's attention_resolutions="16" names a side in pixels, and becomes the factor
# image side // 16 by which a level is smaller. For 28x28 images (MNIST) that is 28 // 16 = 1: attention runs on
# the full 28x28 level, and not on the one of 14, at several times the cost, without a message. For 32x32 images it
# is 2, the level of 16.
#
# Seen with torchcfm 1.0.7 and PyTorch 2.13.0. It fails if the level of attention changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchvision numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps torchcfm==1.0.7 pot==0.9.7.post1

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import torch
from torchcfm.models.unet.unet import AttentionBlock, UNetModelWrapper

print(f"torchcfm {importlib.metadata.version('torchcfm')}, torch {torch.__version__}; attention_resolutions='16'")
sides = {}
for side in (32, 28):
    network = UNetModelWrapper(dim=(1, side, side), num_channels=32, num_res_blocks=1, channel_mult=[1, 2, 2])
    seen = set()
    for layer in network.modules():
        if isinstance(layer, AttentionBlock):
            layer.register_forward_hook(lambda _, inputs, __: seen.add(inputs[0].shape[-1]))
    with torch.no_grad():
        network(torch.zeros(1), torch.zeros(1, 1, side, side))
    sides[side] = max(seen)
    print(f"{side}x{side} images: the largest level with attention has side {sides[side]}")
if sides != {32: 16, 28: 28}:
    sys.exit("changed: attention is on other levels")
print("as described: on 28x28 images attention runs at full size")
PYTHON
