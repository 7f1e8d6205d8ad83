"""Published names of the tensors of a `UNet`, each with a view: one table serves reading and writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench import Attention, BenchError, ResidualBlock, UNetConfig, printable


class Merged(NamedTuple):
    """A view whose first ``dims`` dimensions are a single one in the published tensor."""

    view: Tensor
    dims: int = 2

    @property
    def shape(self) -> torch.Size:
        """The published shape."""
        sizes = self.view.shape
        return torch.Size((sizes[: self.dims].numel(), *sizes[self.dims :]))

    def copy_(self, tensor: Tensor) -> None:
        """Copy the published tensor into the view."""
        self.view.copy_(tensor.reshape(self.view.shape))


View = tuple[str, Tensor | Merged]
"""A published name and a view of our tensor, of the published shape."""


FIXED = (
    *("attention_up", "embedding", "group_size", "most_groups", "eps", "biggan", "fir", "even", "rescale"),
    *("pyramid_in", "pyramid_out", "classes", "centre"),
)
"""What all networks without classes of improved-diffusion's code share and no shape of a tensor shows."""


def check_fixed(config: UNetConfig, published: str, whose: str) -> None:
    """`BenchError` where a card's network differs from the ``published`` configuration in one of `FIXED`."""
    reference = UNetConfig.read({"configuration": published})
    for key in FIXED:
        value, right = getattr(config, key), getattr(reference, key)
        if value != right:
            raise BenchError(f"its card's [network] has {key} {value!r}; {whose} have {right!r}")


def named(prefix: str, module: nn.Module) -> Iterator[View]:
    """The tensors of a layer that are published as they are: weight, bias."""
    for name, parameter in module.named_parameters(recurse=False):
        yield f"{prefix}.{name}", parameter.detach()


def block(prefix: str, ours: ResidualBlock, names: Mapping[str, str]) -> Iterator[View]:
    """A residual block, in the order of ``names``: ours to published."""
    for own, published in names.items():
        layer = getattr(ours, own)
        if layer is not None:
            yield from named(f"{prefix}.{published}", layer)


def thirds(ours: Attention) -> list[tuple[Tensor, Tensor]]:
    """Weight (C, C) and bias (C,) of query, key and value."""
    weights, biases = ours.qkv.weight.detach().chunk(3), ours.qkv.bias.detach().chunk(3)
    return list(zip(weights, biases, strict=True))


def tensors(content: Any) -> dict[str, Tensor]:
    """The content of a file, where that is a bare state dict; `BenchError` otherwise."""
    if isinstance(content, dict) and all(
        isinstance(k, str) and isinstance(t, Tensor) for k, t in content.items()
    ):
        return content
    raise BenchError("it is not a bare state dict: tensors by name and nothing else")


def published(views: Iterable[View]) -> dict[str, Tensor]:
    """The tensors of a network by their published names, in the published shapes."""
    return {
        name: (view.view.reshape(view.shape) if isinstance(view, Merged) else view).clone()
        for name, view in views
    }


def load(views: Iterable[View], published: Mapping[str, Tensor], known: Iterable[str] = ()) -> None:
    """Copy every published tensor into the view of its name.

    `BenchError` for any missing, surplus, misshapen or non-float one. Names in ``known`` are not part of the
    network and may be there.
    """
    expected = dict(views)
    missing = [name for name in expected if name not in published]
    surplus = [name for name in published if name not in expected and name not in set(known)]
    if missing or surplus:
        kinds = [("lacks", missing), ("has", surplus)]
        faults = [f"{verb} {_some(names)}" for verb, names in kinds if names]
        raise BenchError(f"its tensors are of another network: it {' and '.join(faults)}")
    for name, view in expected.items():
        tensor = published[name]
        if tensor.shape != view.shape:
            raise BenchError(f"tensor {name!r} has shape {tuple(tensor.shape)}, not {tuple(view.shape)}")
        if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            raise BenchError(f"tensor {name!r} is of type {tensor.dtype}, not float")
        if not bool(tensor.isfinite().all()):
            raise BenchError(f"tensor {name!r} has values that are not finite")
        view.copy_(tensor)


def load_list(views: Iterable[View], published: list[Tensor]) -> None:
    """As `load`, of an unnamed list in the order of ``views``."""
    expected = list(views)
    if len(published) != len(expected):
        raise BenchError(f"its list has {len(published)} tensors, its network {len(expected)}")
    load(expected, {name: tensor for (name, _), tensor in zip(expected, published, strict=True)})


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{printable(repr(names[0]))}{more}"
