#!/usr/bin/env bash
# azula: REABSampler, the Rosenbrock-type exponential Adams-Bashforth method, converges at first order whatever its
# parameter order. The factor of its integral is sqrt(alpha_s^2 + sigma_t^2), where its docstring, with alpha = 1,
# has sqrt(1 + e^(2 s)): sigma of the step's start in place of its end. Already one step of order 1 differs from
# the formula by an error of the step's own size. zEABSampler and xEABSampler, of the same family, converge at
# second order with order=2.
#
# Seen with azula 0.11.1 and PyTorch 2.13.0. It fails if the orders of convergence change.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 tqdm
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps azula==0.11.1

"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys
from importlib.metadata import version

import torch
from azula import sample
from azula.denoise import Denoiser, DiracPosterior

VARIANCE = 0.25


class Exact(Denoiser):
    """E[x0 | x] of data N(0, 1/4), with sigma from 10 at u = 1 to 0.05 at u = 0, even in ln sigma."""

    def schedule(self, t):
        sigma = torch.exp(math.log(0.05) + t * math.log(10 / 0.05))
        return torch.ones_like(sigma), sigma

    def forward(self, x, t, **_):
        sigma = self.schedule(t)[1]
        return DiracPosterior(mean=VARIANCE / (VARIANCE + sigma**2) * x)


def error(name, order, steps):
    """Relative distance from the flow's end, whose factor is the ratio of the two deviations."""
    x = torch.ones(1, 1, dtype=torch.float64)
    sampler = getattr(sample, name)(Exact(), order=order, steps=steps, silent=True, dtype=torch.float64)
    truth = math.sqrt((VARIANCE + 0.05**2) / (VARIANCE + 10**2))
    return abs(float(sampler(x)) / truth - 1)


print(f"azula {version('azula')}, torch {torch.__version__}")
as_described = True
for name, order, expected in (
    ("zEABSampler", 2, 2),
    ("xEABSampler", 2, 2),
    ("REABSampler", 1, 1),
    ("REABSampler", 2, 1),
    ("REABSampler", 3, 1),
):
    coarse, fine = error(name, order, 200), error(name, order, 400)
    measured = math.log2(coarse / fine)
    print(f"{name} order={order}: error {coarse:.1e} in 200 steps, {fine:.1e} in 400: order {measured:.2f}")
    as_described &= abs(measured - expected) < 0.15
if not as_described:
    sys.exit("changed: a sampler converges at another order")
print("as described: REABSampler is of first order at every setting")
PYTHON
