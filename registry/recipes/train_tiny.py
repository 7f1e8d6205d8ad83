"""Train ``cifar10-tiny``: a small EDM denoiser on CIFAR-10.

    python registry/recipes/train_tiny.py --data DATA --work WORK --device cuda

Muon on the weights of two dimensions and more, each a matrix (outputs, inputs), and Adam on the rest, at one
rate: warm-up, constant, then linear to zero over the last ``--decay`` steps. Loss weights of EDM (Karras et
al. 2022, Table 1); noise levels log-normal(-1.2, 1.2) for nine images in ten and log-uniform on [1e-3, 160]
for the tenth, which trains the far ends that VE, VP and sub-VP visit; exponential moving average of the
weights. The state is saved every ``--save`` steps and the same command resumes. ``export_tiny.py`` makes the
published files.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.checkpoints.networks.edm import EDMDenoiser
from bench.checkpoints.networks.tiny import TinyUNet
from cifar10 import describe, load

SIGMA_DATA = 0.5
HELD_OUT, CHUNK = 2048, 256


def noise_levels(u: Tensor, v: Tensor, mean: float = -1.2) -> Tensor:
    """Noise levels from two uniforms: the training mixture by its quantile function."""
    log_normal = torch.exp(mean + 1.2 * math.sqrt(2) * torch.erfinv(2 * u - 1))
    log_uniform = torch.exp(math.log(1e-3) + (math.log(160) - math.log(1e-3)) * u)
    return torch.where(v < 0.1, log_uniform, log_normal)


def loss_of(
    model: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    sigma: Tensor,
    noise: Tensor,
    sigma_data: float = SIGMA_DATA,
) -> Tensor:
    """EDM's weighted denoising loss per image, (B,)."""
    denoised = model(x + sigma[:, None, None, None] * noise, sigma)
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    loss: Tensor = weight * (denoised - x).square().mean(dim=(1, 2, 3))
    return loss


def flat(weights: Tensor) -> Tensor:
    """Weights (outputs, ...) as a matrix (outputs, inputs); a view of those in channels-last memory."""
    if weights.dim() == 4:
        weights = weights.permute(0, 2, 3, 1)
    return weights.reshape(len(weights), -1)


class Optimizer:
    """Muon on matrices and Adam on vectors, at one rate.

    Muon steps have the root-mean-square of Adam's (Liu et al. 2025), so that one rate fits both.
    """

    def __init__(self, model: nn.Module) -> None:
        every = list(model.parameters())
        self.weights = [p for p in every if p.dim() > 1]
        self.matrices = [nn.Parameter(flat(p.detach())) for p in self.weights]
        vectors = [p for p in every if p.dim() <= 1]
        self.parts = (
            torch.optim.Muon(self.matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            torch.optim.Adam(vectors, betas=(0.9, 0.99), fused=True),
        )

    def step(self, rate: float) -> None:
        """Change the weights by their gradients."""
        for weights, matrix in zip(self.weights, self.matrices, strict=True):
            assert weights.data_ptr() == matrix.data_ptr()
            assert weights.grad is not None
            matrix.grad = flat(weights.grad)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()  # type: ignore[no-untyped-call, unused-ignore]

    def state(self) -> list[Any]:
        """What `load` takes."""
        return [part.state_dict() for part in self.parts]

    def load(self, state: list[Any]) -> None:
        """Go on from a saved state."""
        for part, values in zip(self.parts, state, strict=True):
            part.load_state_dict(values)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for state and log")
    parser.add_argument("--steps", type=int, default=6500)
    parser.add_argument(
        "--decay", type=int, default=3900, help="last steps, over which the rate falls to zero"
    )
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    device = torch.device(args.device)

    images = load(args.data, "train")[0].to(device)
    held_out = load(args.data, "test")[0][:HELD_OUT].to(device)
    torch.manual_seed(args.seed)
    model = EDMDenoiser(TinyUNet(), SIGMA_DATA).to(device).to(memory_format=torch.channels_last)
    weights = [p.detach() for p in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    average = [p.clone() for p in weights]
    optimizer = Optimizer(model)
    step, seconds = 0, 0.0
    state_file, log_file = args.work / "state.pt", args.work / "loss.csv"
    rows = [["step", "images", "train_loss", "held_out_loss_ema", "rate", "seconds"]]
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load(state["optimizer"])
        average, step, seconds = list(state["average"].values()), state["step"], state["seconds"]
        rows += [
            row for row in list(csv.reader(log_file.read_text().splitlines()))[1:] if int(row[0]) <= step
        ]
    compiled = torch.compile(model)

    @torch.no_grad()
    def held_out_loss() -> float:
        raw = [p.clone() for p in weights]
        torch._foreach_copy_(weights, average)
        generator = torch.Generator(device).manual_seed(1)
        losses = []
        for part in held_out.split(CHUNK):
            x = part.float() / 127.5 - 1
            u = torch.rand(len(x), generator=generator, device=device)
            noise = torch.randn(x.shape, generator=generator, device=device)
            with torch.autocast(device.type, torch.bfloat16):
                losses.append(loss_of(model, x, noise_levels(u, torch.ones_like(u)), noise))
        torch._foreach_copy_(weights, raw)
        return float(torch.cat(losses).mean())

    def save() -> None:
        state = {
            "model": model.state_dict(),
            "average": dict(zip(names, average, strict=True)),
            "optimizer": optimizer.state(),
            "step": step,
            "seconds": seconds,
            "images": step * args.batch,
            "data": describe(args.data),
            "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
            "arguments": {k: v for k, v in vars(args).items() if k not in ("data", "work")},
        }
        torch.save(state, state_file.with_suffix(".tmp"))
        state_file.with_suffix(".tmp").replace(state_file)
        with log_file.open("w", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows(rows)

    running, begun = [], time.monotonic()
    generator = torch.Generator(device)
    while step < args.steps:
        # the stream depends on (seed, step) alone, so that a resumed run is the same run
        generator.manual_seed(args.seed * 1_000_003 + step)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=device)

        index = torch.randint(len(images), (args.batch,), generator=generator, device=device)
        x = images[index].float() / 127.5 - 1
        x = torch.where(uniform(args.batch, 1, 1, 1) < 0.5, x.flip(3), x)
        u = (torch.arange(args.batch, device=device) + uniform(args.batch)) / args.batch
        sigma = noise_levels(u.clamp(1e-5, 1 - 1e-5), uniform(args.batch))
        noise = torch.randn(x.shape, generator=generator, device=device)
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(compiled, x.contiguous(memory_format=torch.channels_last), sigma, noise).mean()
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(args.rate * min(1.0, (step + 1) / 200, (args.steps - step) / max(args.decay, 1)))
        step += 1
        torch._foreach_lerp_(average, weights, 1 - min(args.ema, step / (step + 9)))
        running.append(loss.detach())
        if step % args.save == 0 or step == args.steps:
            train_loss = float(torch.stack(running).mean())
            seconds, begun = seconds + time.monotonic() - begun, time.monotonic()
            rate = optimizer.parts[0].param_groups[0]["lr"]
            values = [train_loss, held_out_loss(), rate, seconds]
            rows.append([str(step), str(step * args.batch), *(f"{v:.6g}" for v in values)])
            running = []
            save()
            print(" ".join(f"{name} {v}" for name, v in zip(rows[0], rows[-1], strict=True)), flush=True)


if __name__ == "__main__":
    main()
