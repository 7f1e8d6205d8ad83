"""Train ``cifar10-noisy-classifier``: p(y | x0 + sigma noise), for class-conditional sampling by guidance.

    python registry/recipes/train_noisy_classifier.py --data DATA --work WORK

Cross-entropy over noise levels of which four in five are log-normal(ln 0.5, 1.6) and the fifth is
log-uniform on [1e-3, 160], as far as ``cifar10-tiny`` was trained; flips and shifts by up to 2 pixels.
AdamW at a constant rate with warm-up, then by a half cosine to zero over the last ``--decay`` steps;
exponential moving average of the weights. State is saved every ``--save`` steps and the same command
resumes. At the end it writes the weights (float16), their card and the curve of the loss, and, of the test
images at twelve noise levels, accuracy and cross-entropy as CSV and plot.

    python registry/recipes/train_noisy_classifier.py --data DATA --evaluate

makes the latter two again, of the shipped classifier.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.checkpoints.networks.classifier import CARD, NoisyClassifier, load_noisy_classifier
from bench.files import replace_file
from cards import CARDS, write_card
from cifar10 import augment, describe, load

LOWEST, HIGHEST = 1e-3, 160.0
MIDDLE, SPREAD = math.log(0.5), 1.6
SHIFT = 2
LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
FIGURES = CARDS.parents[1] / "results" / "reference"
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
    """The network under training and all that a resumed run needs; `save` writes it to disk."""

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
        """Learning rate of the next step."""
        remaining = min(1.0, (self.args.steps - self.step) / max(self.args.decay, 1))
        decayed = 0.5 * (1 - math.cos(math.pi * remaining))
        return float(self.args.rate * min(1.0, (self.step + 1) / 100) * decayed)

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
                means = (
                    float(torch.stack(losses).mean()),
                    float(F.cross_entropy(logits, held[1])),
                    accuracy,
                )
                self.seconds, begun = self.seconds + time.monotonic() - begun, time.monotonic()
                figures = (self.step, self.step * self.args.batch, *means, self.seconds)
                self.rows.append([f"{v:.6g}" if isinstance(v, float) else str(v) for v in figures])
                self.save()
                losses = []
                pairs = zip(self.rows[0], self.rows[-1], strict=True)
                print(" ".join(f"{name} {value}" for name, value in pairs), flush=True)


def evaluate(classifier: NoisyClassifier, images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """Accuracy and cross-entropy of uint8 images at each noise level, in float32, with standard errors.

    ``guess`` is the accuracy of a classifier that always answers with the most frequent class.
    """
    rows = []
    guess = float(labels.bincount().max() / len(labels))
    for level, sigma in enumerate(LEVELS):
        generator = torch.Generator().manual_seed(level)
        right, losses = [], []
        for part, y in zip(images.split(250), labels.split(250), strict=True):
            x = part.float() / 127.5 - 1 + sigma * torch.randn(part.shape, generator=generator)
            with torch.inference_mode():
                logits = classifier.logits(
                    x.contiguous(memory_format=torch.channels_last), torch.full((len(x),), sigma)
                )
            right.append(logits.argmax(1) == y)
            losses.append(F.cross_entropy(logits, y, reduction="none"))
        row: dict[str, Any] = {"sigma": sigma, "n": len(labels)}
        for name, values in (("accuracy", torch.cat(right).double()), ("cross_entropy", torch.cat(losses))):
            row[name] = round(float(values.mean()), 4)
            row[f"{name}_error"] = round(float(values.std()) / len(values) ** 0.5, 4)
        rows.append(row | {"guess": round(guess, 4)})
        print(" ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    return rows


def plot(rows: Sequence[dict[str, Any]]) -> bytes:
    """Accuracy, and below it cross-entropy, against the noise level, beside a constant guess; PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from bench.reporting.figure_style import COLORS, MARKERS, STYLE

    sigma, blob = [row["sigma"] for row in rows], io.BytesIO()
    blind = {"accuracy": rows[0]["guess"], "cross_entropy": math.log(10)}
    words = {"accuracy": "accuracy", "cross_entropy": "cross-entropy (nats)"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 5.2), layout="constrained")
        for i, (axes, (name, label)) in enumerate(
            zip(figure.subplots(2, sharex=True), words.items(), strict=True)
        ):
            values, errors = ([row[key] for row in rows] for key in (name, f"{name}_error"))
            axes.errorbar(sigma, values, yerr=errors, color=COLORS[i], marker=MARKERS[i], label="classifier")
            axes.axhline(blind[name], color=COLORS[-1], linestyle="--", label="constant guess")
            axes.set_ylabel(label)
            axes.set_ylim(0, 1.1 * max(*values, blind[name]))
            axes.legend(loc="upper right" if name == "accuracy" else "lower right")
        axes.set_xscale("log")
        axes.set_xticks(sigma, [f"{v:g}" for v in sigma])
        axes.minorticks_off()
        axes.set_xlabel("noise level σ of images on [-1, 1]")
        figure.suptitle(f"{CARD.stem} on {rows[0]['n']:,} test images")
        figure.savefig(blob, format="png", metadata={"Software": None})
    return blob.getvalue()


def write_figures(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """``noisy-classifier.csv`` and its plot."""
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(folder / "noisy-classifier.csv", text.getvalue().encode())
    replace_file(folder / "noisy-classifier.png", plot(rows))


def export(training: Training, images: int, held_out: int, rows: Sequence[dict[str, Any]]) -> None:
    """The averaged weights in float16, their card and the curve of the loss.

    Trained on so many ``images``, with ``held_out`` others for the curve.
    """
    args, network = training.args, training.averaged()
    count, last = sum(p.numel() for p in network.parameters()), training.rows[-1]
    card = {
        "name": CARD.stem,
        "summary": f"classifier of noisy CIFAR-10 images with {count / 1e6:.1f} M parameters, for guidance",
        "data": f"{describe(args.data)}; the {images:,} training images, flipped and shifted",
        "data_range": (-1.0, 1.0),
        "licence": "MIT",
        "recipe": "registry/recipes/train_noisy_classifier.py",
        "author": "sampler-bench",
        "network": network.config,
        "training": {
            "steps": training.step,
            "images": training.step * args.batch,
            "minutes": round(training.seconds / 60),
            "hardware": f"{training.device.type}, {torch.get_num_threads()} thread(s), bfloat16",
            "command": f"python registry/recipes/{Path(__file__).name} --data {args.data.name} --work WORK",
            "weights": "exponential moving average, stored as float16",
            "noise": f"four in five log-normal(ln 0.5, {SPREAD}), else log-uniform on [{LOWEST}, {HIGHEST}]",
            "train_loss": float(last[2]),
            "held_out_loss": float(last[3]),
            "held_out": f"{held_out:,} test images, noise levels of the training; nothing chosen by them",
            "curve": f"{CARD.stem}.loss.csv",
            **{name: getattr(args, name) for name in ("decay", "batch", "rate", "ema", "seed")},
        },
        "test": {"images": rows[0]["n"]}
        | {name: [row[name] for row in rows] for name in ("sigma", "accuracy", "cross_entropy")},
    }
    write_card(args.out, {name: t.half().cpu() for name, t in training.average.items()}, card)
    with (args.out / f"{CARD.stem}.loss.csv").open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(training.rows)


def main() -> None:
    """Parse the command line; train and write, or evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="folder for the state of the training")
    parser.add_argument("--evaluate", action="store_true", help="train nothing: evaluate what is shipped")
    parser.add_argument("--out", type=Path, default=CARD.parent, help="folder for weights and card")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="folder for the CSV and its plot")
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--decay", type=int, default=1400, help="last steps, over which the rate falls to 0")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--save", type=int, default=50)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    if args.work is None and not args.evaluate:
        parser.error("training needs --work, a folder for its state")
    held_out, held_out_labels = load(args.data, "test")
    if args.evaluate:
        write_figures(evaluate(load_noisy_classifier(), held_out, held_out_labels), args.figures)
        return
    training = Training(args)
    images, labels = load(args.data, "train")
    few = (held_out[:1000], held_out_labels[:1000])
    training.run(images, labels, few)
    rows = evaluate(training.averaged(torch.float16), held_out, held_out_labels)
    export(training, len(images), len(few[0]), rows)
    write_figures(rows, args.figures)


if __name__ == "__main__":
    main()
