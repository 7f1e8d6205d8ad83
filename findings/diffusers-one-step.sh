#!/usr/bin/env bash
# diffusers: asked for one step, ten of fourteen schedulers take it at training step 0, the level of the least
# noise. They scale the first noise for that level and return it nearly as it came, without a warning: with an
# exact network for data N(0, 1/4), DDIM's result is the noise itself, of standard deviation 0.72, and Euler's is
# noise of 0.01. A one-step figure measured so is of no sampler. The multistep solvers of the exponential kind
# (DPM-Solver++, UniPC, DEIS, SA-Solver) start at the most noise, and return the data's mean.
#
# Seen with diffusers 0.42.1 and PyTorch 2.13.0. It fails if a scheduler's first time changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 scipy==1.17.1 \
    diffusers==0.42.1

"$folder/venv/bin/python" - <<'PYTHON'
import inspect
import sys

import diffusers
import torch

diffusers.utils.logging.set_verbosity_error()
AT_MOST_NOISE = ("DPMSolverMultistep", "UniPCMultistep", "DEISMultistep", "SASolver")
AT_LEAST_NOISE = (
    "DDIM",
    "DDPM",
    "DDIMParallel",
    "DDPMParallel",
    "EulerDiscrete",
    "EulerAncestralDiscrete",
    "HeunDiscrete",
    "KDPM2Discrete",
    "KDPM2AncestralDiscrete",
    "LMSDiscrete",
)


def one_step(name):
    """The first time, and the standard deviation of the result for data N(0, 1/4) and its exact noise."""
    scheduler = getattr(diffusers, f"{name}Scheduler")()
    scheduler.set_timesteps(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 1, 1, 1, generator=generator, dtype=torch.float64) * scheduler.init_noise_sigma
    extra = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for t in scheduler.timesteps:
        alpha2 = scheduler.alphas_cumprod.double()[int(t)]
        sigma2 = 1 - alpha2
        noise = sigma2.sqrt() * scheduler.scale_model_input(x, t) / (alpha2 / 4 + sigma2)
        x = scheduler.step(noise, t, x, **extra).prev_sample
    return float(scheduler.timesteps[0]), float(x.std())


torch.manual_seed(0)
print(f"diffusers {diffusers.__version__}, torch {torch.__version__}; set_timesteps(1), default settings")
as_described = True
for names, first in ((AT_LEAST_NOISE, 0.0), (AT_MOST_NOISE, 999.0)):
    for name in names:
        time, std = one_step(name)
        print(f"{name + 'Scheduler':32} first time {time:5.0f}, standard deviation of the result {std:.3f}")
        as_described &= time == first
if not as_described:
    sys.exit("changed: a scheduler's only step is at another time")
print("as described: ten schedulers take their only step at time 0")
PYTHON
