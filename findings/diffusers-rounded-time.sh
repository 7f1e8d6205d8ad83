#!/usr/bin/env bash
# diffusers: DPM-Solver++, UniPC, DEIS and SA-Solver with use_karras_sigmas (or use_exponential_sigmas) move on the
# sigmas that were asked for, but round the times that the network is told to integers. Where training steps are
# far apart, at little noise, the network is told a level up to 5 % (11 %) away from the one that the samples have.
# EulerDiscreteScheduler and HeunDiscreteScheduler, given the same option, tell fractions and are right.
#
# Seen with diffusers 0.42.1 and PyTorch 2.13.0. It fails if the schedulers' times change.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 diffusers==0.42.1

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import diffusers
import numpy as np
import torch

diffusers.utils.logging.set_verbosity_error()
ROUNDS = {
    "DPMSolverMultistepScheduler": True,
    "UniPCMultistepScheduler": True,
    "DEISMultistepScheduler": True,
    "SASolverScheduler": True,
    "EulerDiscreteScheduler": False,
    "HeunDiscreteScheduler": False,
}


def largest_difference(name, option):
    """Largest relative difference of the level that is told from the one that is used, over 20 steps."""
    scheduler = getattr(diffusers, name)(**{option: True})
    scheduler.set_timesteps(20)
    alpha2 = scheduler.alphas_cumprod.double().numpy()
    of_step = np.log(((1 - alpha2) / alpha2) ** 0.5)
    told = np.exp(np.interp(scheduler.timesteps.double().numpy(), np.arange(len(of_step)), of_step))
    used = scheduler.sigmas.double().numpy()[: len(told)]
    return float(np.abs(told / used - 1).max()), scheduler.timesteps.dtype


print(f"diffusers {diffusers.__version__}, torch {torch.__version__}; 20 steps")
as_described = True
for option, least in (("use_karras_sigmas", 0.04), ("use_exponential_sigmas", 0.09)):
    for name, rounds in ROUNDS.items():
        difference, dtype = largest_difference(name, option)
        print(f"{option:23} {name:28} {str(dtype):14} sigma told against used: up to {difference:.2%} off")
        as_described &= difference > least if rounds else difference < 0.01
if not as_described:
    sys.exit("changed: the levels that a network is told are others")
print("as described: four schedulers tell the network rounded times, two tell fractions")
PYTHON
