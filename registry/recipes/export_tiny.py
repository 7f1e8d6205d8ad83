"""Make the card, weights and loss curve of ``cifar10-tiny`` from a finished training run.

python registry/recipes/export_tiny.py --work WORK
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import torch

from bench.checkpoints.networks.tiny import TinyUNet
from cards import CARDS, write_card
from train_tiny import SIGMA_DATA


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CARDS)
    args = parser.parse_args()
    state = torch.load(args.work / "state.pt", weights_only=True, map_location="cpu")
    weights = {name.removeprefix("network."): t.half() for name, t in state["average"].items()}
    network = TinyUNet()
    network.load_state_dict({k: v.float() for k, v in weights.items()})
    count = sum(p.numel() for p in network.parameters())
    curve = list(csv.DictReader((args.work / "loss.csv").open()))
    shutil.copy(args.work / "loss.csv", args.out / "cifar10-tiny.loss.csv")
    card = {
        "name": "cifar10-tiny",
        "summary": f"U-Net denoiser with {count / 1e6:.1f} M parameters, trained on CIFAR-10",
        "format": "edm",
        "predicts": "edm",
        "labels": "edm",
        "shape": (3, 32, 32),
        "data_range": (-1.0, 1.0),
        "licence": "MIT",
        "data": f"{state['data']}; the 50,000 training images, half of them flipped",
        "recipe": "registry/recipes/train_tiny.py, registry/recipes/export_tiny.py",
        "author": "sampler-bench",
        "metric": "fd_cifar10",
        "classifier": "cifar10-noisy-classifier",
        "network": {"architecture": "tiny"} | network.config | {"sigma_data": SIGMA_DATA},
        "training": {
            "steps": state["step"],
            "images": state["images"],
            "minutes": round(state["seconds"] / 60),
            "hardware": "2 CPU cores, bfloat16",
            "weights": "exponential moving average, stored as float16",
            "train_loss": float(curve[-1]["train_loss"]),
            "held_out_loss": float(curve[-1]["held_out_loss_ema"]),
            "loss": "EDM's weighted loss; held out: 2,000 test images, noise levels log-normal(-1.2, 1.2)",
            "curve": "cifar10-tiny.loss.csv",
            **{k: v for k, v in state["arguments"].items() if k not in ("steps", "save", "device")},
        },
    }
    write_card(args.out, weights, card)


if __name__ == "__main__":
    main()
