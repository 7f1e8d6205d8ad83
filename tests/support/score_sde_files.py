"""Small networks in score_sde_pytorch's layout, as recorded (tests/fixtures/score_sde/README.md)."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import Array, Card
from tests.support.paths import FIXTURES_PATH

FOLDER = FIXTURES_PATH / "score_sde"


@cache
def networks() -> dict[str, Any]:
    """Configuration and tensors of every recorded network, by name."""
    result: dict[str, Any] = json.loads((FOLDER / "networks.json").read_text())
    return result


@cache
def recorded() -> dict[str, Array]:
    """Inputs x, t and the scores ``NAME/raw``, ``NAME/ema``."""
    with np.load(FOLDER / "scores.npz") as result:
        return {name: np.asarray(result[name], dtype=np.float64) for name in result.files}


def tensors(name: str, phase: float = 0.0) -> dict[str, Tensor]:
    """Every tensor of a network by its published name, from the formula; ``phase`` 0.5 is the average."""
    model, result = networks()[name]["model"], {}
    for key, shape, number in networks()[name]["tensors"]:
        j = np.arange(int(np.prod(shape)))
        if number == "buffer":
            assert key == "sigmas"
            values = np.geomspace(model["sigma_max"], model["sigma_min"], model["num_scales"])
        elif number is None:
            values = 16 * np.sin(j + 1.0)
        else:
            values = 0.1 * np.sin(number + 0.7 * j + phase)
            values = values + (len(shape) == 1 and key.endswith("weight"))
        result[key] = torch.from_numpy(values.reshape(shape)).float()
    return result


def published(name: str) -> dict[str, Any]:
    """What the ``.pth`` of a network holds."""
    trained = [key for key, _, number in networks()[name]["tensors"] if isinstance(number, int)]
    average = tensors(name, 0.5)
    return {
        "model": {f"module.{key}": tensor for key, tensor in tensors(name).items()},
        "ema": {"decay": 0.999, "num_updates": 7, "shadow_params": [average[key] for key in trained]},
        "optimizer": {"state": {}, "param_groups": []},
        "step": 1234,
    }


def network(name: str) -> dict[str, Any]:
    """The [network] of a card."""
    model = networks()[name]["model"]
    kind = "ddpm"
    if model["name"] == "ncsnpp":
        kind = "ddpmpp" if not model["fir"] else "ncsnpp"
        kind += "_continuous" if model["embedding_type"] == "fourier" else ""
    return {
        "architecture": "unet",
        "configuration": kind,
        "width": model["nf"],
        "multipliers": model["ch_mult"],
        "blocks": model["num_res_blocks"],
        "centre": not networks()[name]["centered"],
    }


def card(name: str, folder: Path, file: str, /, **changes: Any) -> Card:
    """A card for ``folder / file``, which holds the network of that name."""
    spec = networks()[name]
    sde = spec["sde"].removesuffix("sde")
    labels = {
        ("ve", True): "sigma",
        ("ve", False): "index_down",
        ("vp", False): "time_index",
    }.get((sde, spec["continuous"]), "999t")
    blob = (folder / file).read_bytes()
    fields: dict[str, Any] = {
        "name": "small",
        "summary": "a small network",
        "format": "score_sde",
        "shape": (3, 32, 32),
        "data_range": (-1.0, 1.0) if spec["centered"] else (0.0, 1.0),
        "files": [{"name": file, "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}],
        "licence": "none",
        "author": "nobody",
        "data": "none",
        "metric": "fd_cifar10",
        "sde": sde,
        "scales": None if spec["continuous"] else 1000,
        "predicts": "scaled_score" if sde == "ve" else "noise",
        "labels": labels,
        "network": network(name),
    }
    instance = Card(**fields | changes)
    assert instance.contradiction() == ""
    instance._home = folder
    return instance
