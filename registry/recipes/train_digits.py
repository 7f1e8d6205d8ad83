"""Train ``digits-tiny``: a small EDM denoiser of the digits of 8x8 pixels, in two minutes on a laptop.

    python registry/recipes/train_digits.py --out my_cards --name my-digits

The data ship with the project. Adam at a constant rate with warm-up, then linear to zero over the last
``--decay`` steps; EDM's loss weights; noise levels log-normal(-0.7, 1.2) for nine digits in ten and
log-uniform on [1e-3, 160] for the tenth; exponential moving average of the weights; no augmentation. The
state is saved every ``--save`` steps and the same command resumes. At the end 1,000 digits are drawn and
judged, and the weights (float16), the curve of the loss and the card are written; `bench.toml` makes the
card known by ``cards = ["my_cards"]``.
"""

from __future__ import annotations

import argparse
import csv
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import BenchError, ResidualMLP, WeightsCard, registry_path, silent
from bench.checkpoints.networks.edm import EDMDenoiser
from bench_datasets.digits import Digits
from cards import write_card
from train_tiny import loss_of, noise_levels

SIGMA_DATA = 0.85
"""Root mean square of the digits on [-1, 1]."""
LOG_SIGMA = -0.7
"""Mean of ln(sigma): EDM's -1.2, moved by ln(0.85 / 0.5)."""
COLUMNS = ("step", "images", "train_loss", "held_out_loss_ema", "rate", "cpu_seconds")
JUDGED = 1000
"""Digits that are drawn and judged."""


def load(split: str) -> Tensor:
    """The digits of a split on [-1, 1], (n, 1, 8, 8)."""
    return torch.cat(list(Digits().open(split, 500, silent))) * 2 - 1


def classes() -> Tensor:
    """The classes of all digits, training digits first, (n,)."""
    with np.load(
        WeightsCard.read(registry_path("data", "digits.toml")).weights(), allow_pickle=False
    ) as file:
        return torch.from_numpy(file["labels"].astype(np.int64))


def draw(model: EDMDenoiser, n: int, steps: int = 30, top: float = 80.0, end: float = 0.002) -> Tensor:
    """Draws (n, 1, 8, 8) by Heun's method, from sigma = ``top`` to ``end`` and then to 0.

    Source: Karras et al. (2022), algorithm 1 with eq. 5, rho = 7.
    """
    places = torch.linspace(0, 1, steps, dtype=torch.float64)
    sigmas = [*((top ** (1 / 7) + places * (end ** (1 / 7) - top ** (1 / 7))) ** 7).tolist(), 0.0]
    x = top * torch.randn(n, *Digits.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for sigma, below in pairwise(sigmas):
            slope = (x - model(x, torch.tensor([sigma]))) / sigma
            guess = x + (below - sigma) * slope
            if below > 0:
                slope = (slope + (guess - model(guess, torch.tensor([below]))) / below) / 2
            x = x + (below - sigma) * slope
    return x


def judge(samples: Tensor, train: Tensor, held_out: Tensor) -> dict[str, Any]:
    """Classes of samples, and whether they are copies, by the nearest training digit.

    A network that copies its data draws samples nearer to training digits than other digits are.

    Args:
        samples: Samples (n, 1, 8, 8) on [-1, 1].
        train: Training digits.
        held_out: Test digits, by other writers.

    Returns:
        Facts for the card. Distances are root mean squares over pixels on [0, 1].
    """
    labels = classes()

    def nearest(x: Tensor, *, other: bool = False) -> tuple[Tensor, Tensor]:
        """Distance and index of the nearest training digit; of the nearest other one."""
        distances = torch.cdist(x.flatten(1).double(), train.flatten(1).double()) / 2 / 8
        if other:
            distances.fill_diagonal_(torch.inf)
        smallest = distances.min(dim=1)
        return smallest.values, smallest.indices

    distance, index = nearest(samples)
    held_out_distance, held_out_index = nearest(held_out)
    train_distance, _ = nearest(train, other=True)
    shares = labels[index].bincount(minlength=10) / len(samples)
    right = labels[held_out_index] == labels[len(train) :]
    return {
        "judge": f"the training digit nearest to each of {len(samples):,} samples by Heun's method, 59 calls",
        "judge_accuracy": round(float(right.float().mean()), 4),
        "class_shares": [round(float(share), 3) for share in shares],
        "distance": "to the nearest training digit, RMS over pixels on [0, 1]: medians",
        "sample_distance": round(float(distance.median()), 4),
        "held_out_distance": round(float(held_out_distance.median()), 4),
        "train_distance": round(float(train_distance.median()), 4),
        "nearest_sample": round(float(distance.min()), 4),
        "nearest_training_pair": round(float(train_distance.min()), 4),
    }


class Training:
    """The network under training and all that a resumed run needs; `save` writes it to disk."""

    def __init__(self, args: argparse.Namespace) -> None:
        args.out.mkdir(parents=True, exist_ok=True)
        self.args, self.file = args, args.out / f"{args.name}.state.pt"
        self.train, self.held_out = load("train"), load("test")
        torch.manual_seed(args.seed)
        self.model = EDMDenoiser(ResidualMLP(self.train[0].numel()), SIGMA_DATA)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=args.rate, betas=(0.9, 0.99), fused=True
        )
        self.step, self.seconds, self.rows = 0, 0.0, [list(COLUMNS)]
        self.facts = {k: v for k, v in vars(args).items() if k in ("decay", "batch", "rate", "ema", "seed")}
        if self.file.exists():
            state = torch.load(self.file, weights_only=True)
            if state["facts"] != self.facts:
                raise BenchError(f"{self.file} is of other arguments: give another --out or --name")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.rows = state["average"], state["rows"]
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, whole or not at all."""
        state = {name: getattr(self, name) for name in ("facts", "average", "rows", "step", "seconds")}
        state |= {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.file.with_suffix(".tmp"))
        self.file.with_suffix(".tmp").replace(self.file)

    def rate(self) -> float:
        """Learning rate of the next step."""
        args = self.args
        remaining = (args.steps - self.step) / max(args.decay, 1)
        return float(args.rate * min(1.0, (self.step + 1) / 200, remaining))

    def advance(self) -> Tensor:
        """One step; its loss."""
        batch = self.args.batch
        # the stream depends on (seed, step) alone, so that a resumed run is the same run
        generator = torch.Generator().manual_seed(self.args.seed * 1_000_003 + self.step)
        x = self.train[torch.randint(len(self.train), (batch,), generator=generator)]
        u = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        v = torch.rand(batch, generator=generator)
        sigma = noise_levels(u.clamp(1e-5, 1 - 1e-5), v, LOG_SIGMA)
        noise = torch.randn(x.shape, generator=generator)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        loss = loss_of(self.model, x, sigma, noise, SIGMA_DATA).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(self.args.ema, self.step / (self.step + 9))
        with torch.no_grad():
            parameters = [p.detach() for p in self.model.parameters()]
            torch._foreach_lerp_(list(self.average.values()), parameters, 1 - decay)
        return loss.detach()

    def averaged(self, dtype: torch.dtype = torch.float32) -> EDMDenoiser:
        """The network with averaged weights, rounded to ``dtype``."""
        model = EDMDenoiser(ResidualMLP(self.train[0].numel()), SIGMA_DATA)
        model.load_state_dict({name: p.to(dtype).float() for name, p in self.average.items()})
        return model.eval().requires_grad_(False)

    def held_out_loss(self) -> float:
        """Loss of the averaged weights on the test digits, four noise levels each."""
        x, generator = self.held_out.repeat(4, 1, 1, 1), torch.Generator().manual_seed(1)
        u = ((torch.arange(len(x)) + torch.rand(len(x), generator=generator)) / len(x)).clamp(1e-5, 1 - 1e-5)
        sigma, noise = (
            noise_levels(u, torch.ones_like(u), LOG_SIGMA),
            torch.randn(x.shape, generator=generator),
        )
        return float(loss_of(self.averaged(), x, sigma, noise, SIGMA_DATA).mean())

    def run(self) -> None:
        """Train to the last step, with a line and the state on disk every ``--save`` steps."""
        losses, begun = [], time.process_time()
        while self.step < self.args.steps:
            rate = self.rate()
            losses.append(self.advance())
            if self.step % self.args.save == 0 or self.step == self.args.steps:
                loss, held_out = float(torch.stack(losses).mean()), self.held_out_loss()
                self.seconds, begun = self.seconds + time.process_time() - begun, time.process_time()
                figures = (self.step, self.step * self.args.batch, loss, held_out, rate, self.seconds)
                self.rows.append([f"{v:.6g}" if isinstance(v, float) else str(v) for v in figures])
                self.save()
                losses = []
                pairs = zip(COLUMNS, self.rows[-1], strict=True)
                print(" ".join(f"{name} {value}" for name, value in pairs), flush=True)


def export(training: Training) -> None:
    """Judge the averaged weights in float16, and write them, the curve of the loss and the card."""
    args, model, last = training.args, training.averaged(torch.float16), training.rows[-1]
    count = sum(p.numel() for p in model.parameters())
    curve = f"{args.name}.loss.csv"
    with (args.out / curve).open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(training.rows)
    assert isinstance(model.network, ResidualMLP)
    card = {
        "name": args.name,
        "summary": f"MLP denoiser with {count / 1e6:.1f} M parameters, trained on the digits of 8x8 pixels",
        "format": "edm",
        "predicts": "edm",
        "labels": "edm",
        "shape": Digits.shape,
        "data_range": (-1.0, 1.0),
        "licence": "MIT; the data: CC BY 4.0, doi:10.24432/C50P49",
        "data": f"the {len(training.train):,} training digits of the data set digits",
        "dataset": "digits",
        "recipe": "registry/recipes/train_digits.py",
        "author": "sampler-bench",
        "metric": "fd",
        "network": {"architecture": "mlp"} | model.network.config | {"sigma_data": SIGMA_DATA},
        "training": {
            "steps": training.step,
            "images": training.step * args.batch,
            "cpu_seconds": round(training.seconds),
            "hardware": f"CPU, {torch.get_num_threads()} thread(s), float32",
            "weights": "exponential moving average, stored as float16",
            "train_loss": float(last[2]),
            "held_out_loss": float(last[3]),
            "loss": f"EDM's weighted loss; held out: the {len(training.held_out)} test digits, by other "
            f"writers, noise levels log-normal({LOG_SIGMA}, 1.2)",
            "curve": curve,
            **training.facts,
            **judge(draw(model, JUDGED), training.train, training.held_out),
        },
    }
    weights = {k.removeprefix("network."): v.half() for k, v in training.average.items()}
    write_card(args.out, weights, card)


def main() -> None:
    """Parse the command line, train and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the results")
    parser.add_argument("--name", default="my-digits", help="name of the checkpoint")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--decay", type=int, default=2000, help="last steps, over which the rate falls to 0")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=int, default=500)
    training = Training(parser.parse_args())
    training.run()
    export(training)


if __name__ == "__main__":
    main()
