#!/usr/bin/env bash
# PyTorch on the CPU: torch.nn.functional.group_norm of a float32 image in channels-last memory loses the digits
# of (mean / standard deviation)^2, where the same call on the same numbers in contiguous memory loses those of
# mean / standard deviation. At a mean of 300 standard deviations the result is off by several percent, at 3000
# it is off by a factor of thousands. The channels-last kernel takes the variance as E x^2 - (E x)^2.
#
# Seen with PyTorch 2.13.0 and 2.15.0. It fails if PyTorch's result becomes accurate.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn.functional import group_norm

print(f"torch {torch.__version__}")
print("F.group_norm(x, 32, eps=1e-6) of float32 x (2, 128, 16, 16), of standard deviation 1, on the CPU")
print("largest difference from the same call in float64; the result's own standard deviation is 1")
print(f"{'mean of x':>9} {'contiguous':>11} {'channels-last':>14} {'by E x^2 - (E x)^2':>19}")
torch.manual_seed(0)
as_expected = True
for mean in (0, 30, 300, 3000):
    x = torch.randn(2, 128, 16, 16) + mean
    channels_last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, channels_last)
    truth = group_norm(x.double(), 32, eps=1e-6)
    groups = x.view(2, 32, -1)
    m = groups.mean(2, keepdim=True)
    variance = ((groups**2).mean(2, keepdim=True) - m**2).clamp(min=0)
    by_hand = ((groups - m) / (variance + 1e-6).sqrt()).view_as(x)
    contiguous, other, naive = (
        float((y.double() - truth).abs().max())
        for y in (group_norm(x, 32, eps=1e-6), group_norm(channels_last, 32, eps=1e-6), by_hand)
    )
    print(f"{mean:9} {contiguous:11.1e} {other:14.1e} {naive:19.1e}")
    if mean:  # float32 keeps 6e-8 of x, which is 6e-8 mean of its standard deviations
        as_expected &= contiguous < 1e-6 * mean and other > 20 * contiguous
if not as_expected:
    sys.exit("changed: channels-last memory no longer loses digits, or contiguous memory does")
print("as described: channels-last memory loses digits that contiguous memory keeps")
PYTHON
