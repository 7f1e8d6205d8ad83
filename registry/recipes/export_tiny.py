"""Make the card, weights and loss curve of ``cifar10-tiny`` from a training run.

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
from train_tiny import HELD_OUT, SIGMA_DATA


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CARDS)
    args = parser.parse_args()
    state = torch.load(args.work / "state.pt", weights_only=True, map_location="cpu")
    last = list(csv.DictReader((args.work / "loss.csv").read_text().splitlines()))[-1]
    weights = {name.removeprefix("network."): t.half() for name, t in state["average"].items()}
    network = TinyUNet()
    network.load_state_dict({k: v.float() for k, v in weights.items()})
    count = sum(p.numel() for p in network.parameters())
    args.out.mkdir(parents=True, exist_ok=True)
    shutil.copy(args.work / "loss.csv", args.out / "cifar10-tiny.loss.csv")
    arguments = {k: v for k, v in state["arguments"].items() if k not in ("steps", "save", "device")}
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
            "minutes": round(state["seconds"] / 60, 1),
            "hardware": f"{state['hardware']}, bfloat16",
            "optimizer": "Muon on matrices, Adam on vectors",
            "weights": "exponential moving average, stored as float16",
            "train_loss": float(last["train_loss"]),
            "held_out_loss": float(last["held_out_loss_ema"]),
            "loss": f"EDM's weighted loss; held out: {HELD_OUT:,} test images, "
            "noise levels log-normal(-1.2, 1.2)",
            "curve": "cifar10-tiny.loss.csv",
            **arguments,
        },
    }
    write_card(args.out, weights, card)


if __name__ == "__main__":
    main()
