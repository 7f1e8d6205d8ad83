"""Train ``cifar10-tiny``: a small EDM denoiser on CIFAR-10.

    python registry/recipes/train_tiny.py --data DATA --work WORK

Adam at a constant rate with warm-up, then linear to zero over the last ``--decay`` steps; loss
weights of EDM (Karras et al. 2022, Table 1); noise levels log-normal(-1.2, 1.2) for nine images in
ten and log-uniform on [1e-3, 160] for the tenth, which trains the far ends that VE, VP and sub-VP
visit; exponential moving average of the weights. The state is saved every ``--save`` steps and the
same command resumes. ``export_tiny.py`` makes the published files.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bench.checkpoints.networks.edm import EDMDenoiser
from bench.checkpoints.networks.tiny import TinyUNet
from cifar10 import describe, load

SIGMA_DATA = 0.5


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


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for state, log and final weights")
    parser.add_argument("--steps", type=int, default=4400)
    parser.add_argument(
        "--decay", type=int, default=1600, help="last steps, over which the rate falls to zero"
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=int, default=250)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    device = torch.device(args.device)

    images, _ = load(args.data, "train")
    held_out = load(args.data, "test")[0][:2000]
    torch.manual_seed(args.seed)
    model = EDMDenoiser(TinyUNet(), SIGMA_DATA).to(device).to(memory_format=torch.channels_last)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=args.rate, betas=(0.9, 0.99), fused=True)
    step, seconds = 0, 0.0
    state_file, log_file = args.work / "state.pt", args.work / "loss.csv"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, seconds = state["average"], state["step"], state["seconds"]
        rows = [row for row in csv.reader(log_file.open()) if row[0] == "step" or int(row[0]) <= step]
    else:
        rows = [["step", "images", "train_loss", "held_out_loss_ema", "rate", "seconds"]]
    compiled = torch.compile(model)

    def held_out_loss() -> float:
        raw = {name: p.detach().clone() for name, p in model.named_parameters()}
        generator = torch.Generator().manual_seed(1)
        losses = []
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(average[name])
            for start in range(0, len(held_out), args.batch):
                x = held_out[start : start + args.batch].to(device).float() / 127.5 - 1
                u = torch.rand(len(x), generator=generator).to(device)
                noise = torch.randn(x.shape, generator=generator).to(device)
                with torch.autocast(device.type, torch.bfloat16):
                    losses.append(loss_of(model, x, noise_levels(u, torch.ones_like(u)), noise))
            for name, p in model.named_parameters():
                p.copy_(raw[name])
        return float(torch.cat(losses).mean())

    def save(path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        torch.save(
            {
                "model": model.state_dict(),
                "average": average,
                "optimizer": optimizer.state_dict(),
                "step": step,
                "seconds": seconds,
                "images": step * args.batch,
                "data": describe(args.data),
                "arguments": {k: v for k, v in vars(args).items() if k not in ("data", "work")},
            },
            temporary,
        )
        temporary.replace(path)
        with log_file.open("w", newline="") as handle:
            csv.writer(handle).writerows(rows)

    running, begun = [], time.monotonic()
    while step < args.steps:
        # the stream depends on (seed, step) alone, so that a resumed run is the same run
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        index = torch.randint(len(images), (args.batch,), generator=generator)
        flip = torch.rand(args.batch, generator=generator) < 0.5
        u = (torch.arange(args.batch) + torch.rand(args.batch, generator=generator)) / args.batch
        sigma = noise_levels(u.clamp(1e-5, 1 - 1e-5), torch.rand(args.batch, generator=generator)).to(device)
        noise = torch.randn(args.batch, 3, 32, 32, generator=generator).to(device)
        x = images[index].to(device).float() / 127.5 - 1
        x = torch.where(flip.to(device)[:, None, None, None], x.flip(3), x)
        rate = args.rate * min(1.0, (step + 1) / 200, (args.steps - step) / max(args.decay, 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(compiled, x.contiguous(memory_format=torch.channels_last), sigma, noise).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(args.ema, step / (step + 9))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.values()), [p.detach() for p in model.parameters()], 1 - decay)
        running.append(loss.detach())
        if step % args.save == 0 or step == args.steps:
            seconds, begun = seconds + time.monotonic() - begun, time.monotonic()
            row = [
                step,
                step * args.batch,
                float(torch.stack(running).mean()),
                held_out_loss(),
                rate,
                seconds,
            ]
            rows.append([f"{v:.6g}" if isinstance(v, float) else str(v) for v in row])
            running = []
            save(state_file)
            print(
                " ".join(f"{name} {value}" for name, value in zip(rows[0], rows[-1], strict=True)), flush=True
            )


if __name__ == "__main__":
    main()
