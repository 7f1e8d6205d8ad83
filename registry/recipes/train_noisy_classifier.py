"""Train ``cifar10-noisy-classifier``: p(y | x0 + sigma noise), for class-conditional sampling by guidance.

    python registry/recipes/train_noisy_classifier.py --data DATA --work WORK

Cross-entropy over noise levels of which four in five are log-normal(ln 0.5, 1.6) and the fifth is
log-uniform on [1e-3, 160], as far as ``cifar10-tiny`` was trained; flips and shifts by up to 2 pixels.
AdamW at a constant rate with warm-up, then by a half cosine to zero over the last ``--decay`` steps;
exponential moving average of the weights. State is saved every ``--save`` steps and the same command
resumes.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.checkpoints.classifier import NoisyClassifier
from cifar10 import augment, load

LOWEST, HIGHEST = 1e-3, 160.0
MIDDLE, SPREAD = math.log(0.5), 1.6
SHIFT = 2
COLUMNS = ("step", "images", "train_loss", "held_out_loss_ema", "held_out_accuracy_ema", "seconds")


def noise_levels(u: Tensor, v: Tensor) -> Tensor:
    """Noise levels from two uniforms: the training mixture by its quantile function."""
    log_normal = torch.exp(MIDDLE + SPREAD * math.sqrt(2) * torch.erfinv(2 * u - 1))
    log_uniform = torch.exp(math.log(LOWEST) + math.log(HIGHEST / LOWEST) * u)
    return torch.where(v < 0.2, log_uniform, log_normal).clamp(LOWEST, HIGHEST)


def noisy(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images on [0, 255] at noise levels of the training mixture, stratified: x on [-1, 1] and sigma (B,)."""
    b = len(images)
    u = ((torch.arange(b) + torch.rand(b, generator=generator)) / b).clamp(1e-5, 1 - 1e-5)
    sigma = noise_levels(u, torch.rand(b, generator=generator))
    noise = torch.randn(images.shape, generator=generator)
    return images.float() / 127.5 - 1 + sigma[:, None, None, None] * noise, sigma


class Training:
    """The network under training with all that a resumed run needs, on disk after every `save`."""

    def __init__(self, args: argparse.Namespace) -> None:
        args.work.mkdir(parents=True, exist_ok=True)
        self.args, self.device = args, torch.device(args.device)
        self.file = args.work / "state.pt"
        torch.manual_seed(args.seed)
        self.model = NoisyClassifier().to(self.device).to(memory_format=torch.channels_last)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=args.rate, betas=(0.9, 0.99), weight_decay=0.02, fused=True
        )
        self.step, self.seconds = 0, 0.0
        self.rows = [
            ["step", "images", "train_loss", "held_out_loss_ema", "held_out_accuracy_ema", "seconds"]
        ]
        if self.file.exists():
            state = torch.load(self.file, weights_only=True, map_location=self.device)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average, self.rows = state["average"], state["rows"]
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state, whole or not at all."""
        names = ("average", "rows", "step", "seconds")
        state = {name: getattr(self, name) for name in names}
        state |= {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.file.with_suffix(".tmp"))
        self.file.with_suffix(".tmp").replace(self.file)

    def rate(self) -> float:
        """Learning rate of the step to come."""
        left = min(1.0, (self.args.steps - self.step) / max(self.args.decay, 1))
        cooled = 0.5 * (1 - math.cos(math.pi * left))
        return float(self.args.rate * min(1.0, (self.step + 1) / 100) * cooled)

    def advance(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step; its loss."""
        # the stream depends on (seed, step) alone, so that a resumed run is the same run
        generator = torch.Generator().manual_seed(self.args.seed * 1_000_003 + self.step)
        index = torch.randint(len(images), (self.args.batch,), generator=generator)
        x, sigma = noisy(augment(images[index], generator, SHIFT), generator)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.model(x.to(self.device, memory_format=torch.channels_last), sigma.to(self.device))
        loss = F.cross_entropy(logits.float(), labels[index].to(self.device))
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

    def averaged(self, dtype: torch.dtype = torch.float32) -> NoisyClassifier:
        """The classifier with averaged weights, rounded to ``dtype``."""
        network = NoisyClassifier()
        network.load_state_dict({k: v.to(dtype).float().cpu() for k, v in self.average.items()})
        return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def run(self, images: Tensor, labels: Tensor, held: tuple[Tensor, Tensor]) -> None:
        """Train to the last step, with a line and the state on disk every ``--save`` steps."""
        losses, begun = [], time.monotonic()
        while self.step < self.args.steps:
            losses.append(self.advance(images, labels))
            if self.step % self.args.save == 0 or self.step == self.args.steps:
                x, sigma = noisy(held[0], torch.Generator().manual_seed(1))
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                    logits = self.averaged()(x, sigma).float()
                accuracy = float((logits.argmax(1) == held[1]).float().mean())
                told = (float(torch.stack(losses).mean()), float(F.cross_entropy(logits, held[1])), accuracy)
                self.seconds, begun = self.seconds + time.monotonic() - begun, time.monotonic()
                figures = (self.step, self.step * self.args.batch, *told, self.seconds)
                self.rows.append([f"{v:.6g}" if isinstance(v, float) else str(v) for v in figures])
                self.save()
                losses = []
                pairs = zip(self.rows[0], self.rows[-1], strict=True)
                print(" ".join(f"{name} {value}" for name, value in pairs), flush=True)


def main() -> None:
    """Parse the command line, train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the state of the training")
    parser.add_argument("--steps", type=int, default=3400)
    parser.add_argument("--decay", type=int, default=1400, help="last steps, over which the rate falls to 0")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--save", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    images, labels = load(args.data, "train")
    test_images, test_labels = load(args.data, "test")
    training = Training(args)
    training.run(images, labels, (test_images[:1000], test_labels[:1000]))


if __name__ == "__main__":
    main()
