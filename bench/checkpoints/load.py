"""From a card to a `Model` on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from bench.checkpoints.cards import Card
from bench.checkpoints.edm import EDMDenoiser
from bench.checkpoints.unet import TinyUNet
from bench.config import Precision
from bench.errors import BenchError
from bench.exact import Mixture, MixtureModel, on_range
from bench.score import Denoiser, Model

if TYPE_CHECKING:
    from bench.sde import Array


def tensors(card: Card) -> dict[str, Tensor]:
    """The tensors of a card's file, hash checked."""
    try:
        return load_safetensors(card.content())
    except SafetensorError as error:
        raise BenchError(f"checkpoint {card.name}: {card.path} is not a safetensors file: {error}") from error


def mixture(card: Card) -> tuple[Mixture, Array]:
    """Data distribution on [0, 1] and colour rotation of an exact checkpoint."""
    found = {name: t.double().numpy() for name, t in tensors(card).items()}
    count = len(found.get("weight", ()))
    shapes = {"weight": (count,), "mean": (count, *card.shape), "variance": (count, *card.shape)}
    shapes["colour"] = (card.shape[0], card.shape[0])
    for name, shape in shapes.items():
        if name not in found or found[name].shape != shape:
            raise BenchError(f"checkpoint {card.name}: {card.path} has no tensor {name!r} of shape {shape}")
    if not (found["variance"] > 0).all() or not (found["weight"] > 0).all():
        raise BenchError(
            f"checkpoint {card.name}: {card.path} has weights or variances that are not positive"
        )
    return Mixture(found["weight"] / found["weight"].sum(), found["mean"], found["variance"]), found["colour"]


def load_model(
    card: Card,
    data_range: tuple[float, float],
    device: torch.device,
    *,
    precision: Precision = "fp32",
    compile: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """The checkpoint on ``device``, for a run on data of ``data_range``; ``dtype`` is the state's."""
    if card.exact:
        data, colour = mixture(card)
        moved = on_range(data, data_range, colour)
        return MixtureModel(moved, device, dtype, colour=colour, range_=data_range)
    weights = {name: t.float() for name, t in tensors(card).items()}
    try:
        network = TinyUNet(**{k: v for k, v in card.network.items() if k != "sigma_data"})
        model = EDMDenoiser(network, card.network["sigma_data"])
        network.load_state_dict(weights)
    except KeyError as error:
        raise BenchError(f"checkpoint {card.name}: its card's [network] lacks {error}") from error
    except (RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BenchError(f"checkpoint {card.name}: its tensors do not fit its network: {reason}") from error
    return EDMModel(model.to(device), card, data_range, precision=precision, compile=compile)


class EDMModel(Denoiser):
    """An `EDMDenoiser` as a model: channels-last, inference only, optionally bf16 and compiled."""

    def __init__(
        self,
        denoiser: EDMDenoiser,
        card: Card,
        data_range: tuple[float, float],
        *,
        precision: Precision,
        compile: bool,
    ) -> None:
        super().__init__(card.shape, card.data_range, data_range)
        denoiser = denoiser.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._call = torch.compile(denoiser) if compile else denoiser
        self._bf16 = precision == "bf16"

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        level = torch.full((len(x),), sigma, device=x.device, dtype=torch.float32)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._bf16):
            result: Tensor = self._call(x.float().contiguous(memory_format=torch.channels_last), level)
        return result.to(x.dtype)
