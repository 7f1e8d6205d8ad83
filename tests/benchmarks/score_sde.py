"""How fast score_sde_pytorch's own DDPM runs in its own predictor-corrector sampler.

The library is no package: ``folder`` is a checkout of it. Its network and its sampler run as they are, with
random weights, in float32 with torch's own defaults for TensorFloat-32 (convolutions use it, products don't).
"""

from __future__ import annotations

import dataclasses
import importlib
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from bench.checkpoints.networks.unet import PUBLISHED
from tests.benchmarks.networks import Speed, wait

NAME = "score_sde_pytorch"


def their_network(folder: Path, width: int, device: torch.device) -> Any:
    """DDPM of configs/vp/cifar10_ddpm.py, of some width, with random weights."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.import_module("models.ddpm")
    utils = importlib.import_module("models.utils")
    model = SimpleNamespace(
        **{"name": "ddpm", "nf": width, "ch_mult": (1, 2, 2, 2), "num_res_blocks": 2},
        **{"attn_resolutions": (16,), "dropout": 0.1, "resamp_with_conv": True, "conditional": True},
        **{"scale_by_sigma": False, "normalization": "GroupNorm", "nonlinearity": "swish"},
        **{"sigma_min": 0.01, "sigma_max": 50, "num_scales": 1000, "beta_min": 0.1, "beta_max": 20.0},
    )
    data = SimpleNamespace(image_size=32, num_channels=3, centered=True)
    return utils.get_model("ddpm")(SimpleNamespace(model=model, data=data)).to(device).eval()


def their_speed(
    folder: Path, batch: int, *, width: int, steps: int, rounds: int, device: torch.device
) -> Speed:
    """Network evaluations of one image a second in its sampler: reverse diffusion and Langevin on VP.

    Raises:
        AssertionError: Its network has another number of parameters than the one it is compared with.
    """
    torch.manual_seed(0)
    network = their_network(folder, width, device)
    count = sum(p.numel() for p in network.parameters())
    with torch.device("meta"):
        from bench.checkpoints.networks.unet import UNet

        ours = UNet(dataclasses.replace(PUBLISHED["ddpm"], width=width))
    assert count == sum(p.numel() for p in ours.parameters())
    sampling, sde_lib = importlib.import_module("sampling"), importlib.import_module("sde_lib")
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    sde = sde_lib.VPSDE(N=1000)
    pc = sampling.get_pc_sampler(
        *(sde, (batch, 3, 32, 32), sampling.ReverseDiffusionPredictor, sampling.LangevinCorrector),
        *(lambda x: x, 0.16),
        device=device,
    )
    sde.N = steps  # its loop runs so many steps; what a step costs does not depend on their length
    seconds = []
    for _ in range(rounds + 1):
        begun = wait(device)
        _, calls = pc(network)
        seconds.append(wait(device) - begun)
    assert calls == 2 * steps
    speeds = [batch * calls / each for each in seconds[1:]]
    return Speed(statistics.median(speeds), float("nan"), seconds[0])
