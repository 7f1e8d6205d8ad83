"""Train ``cifar10-features``, the classifier behind ``fd_cifar10``, and compute its reference statistics.

    python registry/recipes/train_features.py --data DATA --work WORK

SGD with Nesterov momentum, one-cycle rate, label smoothing, flips and shifts by up to 4 pixels. State
is saved every epoch and the same command resumes. At the end it writes the weights (float16), the mean
and covariance of the features of the 50,000 training images (float64) and the card.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench_fid.network import Cifar10Features
from cards import CARDS, write_card
from cifar10 import augment, describe, load


def accuracy(model: Cifar10Features, images: Tensor, labels: Tensor) -> float:
    """Share of correctly classified images."""
    model.eval()
    with torch.inference_mode():
        right = [
            (model(x).argmax(1) == y).sum() for x, y in zip(images.split(500), labels.split(500), strict=True)
        ]
    model.train()
    return float(torch.stack(right).sum()) / len(labels)


def main() -> None:
    """Parse the command line and train, then write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=CARDS.parent / "features")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    images, labels = load(args.data, "train")
    test_images, test_labels = load(args.data, "test")

    torch.manual_seed(args.seed)
    model = Cifar10Features().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=args.rate, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    per_epoch = len(images) // args.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.rate, total_steps=args.epochs * per_epoch)
    state_file, rows, first = args.work / "state.pt", [["epoch", "train_loss", "test_accuracy"]], 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rows, first = state["rows"], state["epoch"]
    compiled = torch.compile(model)
    for epoch in range(first, args.epochs):
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + epoch)
        order, total = torch.randperm(len(images), generator=generator), 0.0
        for index in order[: per_epoch * args.batch].split(args.batch):
            with torch.autocast("cpu", torch.bfloat16):
                logits = compiled(augment(images[index], generator))
            loss = F.cross_entropy(logits.float(), labels[index], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() / per_epoch
        rows.append([str(epoch + 1), f"{total:.4f}", f"{accuracy(model, test_images, test_labels):.4f}"])
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rows": rows,
            "epoch": epoch + 1,
        }
        state["schedule"] = schedule.state_dict()
        torch.save(state, state_file.with_suffix(".tmp"))
        state_file.with_suffix(".tmp").replace(state_file)
        print(*rows[-1], flush=True)

    weights = {k: v.half() for k, v in model.state_dict().items() if v.is_floating_point()}
    model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    model.eval()
    with (args.out / "cifar10-features.loss.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    card = {
        "name": "cifar10-features",
        "summary": "small CIFAR-10 classifier; its 64 penultimate features give fd_cifar10",
        "data": describe(args.data),
        "licence": "MIT",
        "recipe": "registry/recipes/train_features.py",
        "author": "sampler-bench",
        "test_accuracy": accuracy(model, test_images, test_labels),
        "training": {"epochs": args.epochs, "batch": args.batch, "rate": args.rate, "seed": args.seed},
    }
    write_card(args.out, weights, card)


if __name__ == "__main__":
    main()
