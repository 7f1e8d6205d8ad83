"""Networks in memory: a module of the caller's takes the place of a checkpoint with a card."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import json
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.checkpoints.cards import Card, CardFile, Labels, Predicts
from bench.errors import BenchError, first_problem
from bench.types import JSONObject, JSONValue

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FORMAT = "memory"
"""The ``format`` of networks in memory."""

_LIBRARIES = ("torch", "builtins")
"""Packages whose code is part of every run's fingerprint by version."""


class MemoryCheckpoint(Card):
    """A network in memory, usable wherever a checkpoint is taken; made by `network`.

    It holds a copy of the module, so that nothing changes after the weights were hashed. Its other arguments
    are those of `Card`.

    Args:
        files: Empty: it has no files.
        code: Hash of the source of `code_objects`, which planning fills in by
            ``model_copy(update={"code": ...})``; None where no source is available.
    """

    files: tuple[CardFile, ...] = ()
    code: str | None = None

    _network: Any = None

    @property
    def in_memory(self) -> bool:
        """True."""
        return True

    @property
    def needs_reader(self) -> bool:
        """False: it has no files."""
        return False

    @property
    def shipped(self) -> bool:
        """False: it has no files."""
        return False

    @property
    def uncacheable_reason(self) -> str:
        """Which part of the network can't be hashed; empty where all can."""
        if self._state[1]:
            return f"{self._state[1]} of the network can't be hashed"
        return "" if self.code is not None else "the source of the network is not available"

    def contents(self) -> dict[str, tuple[int | None, str | None]]:
        """Empty: it has no files."""
        return {}

    def how_to_get(self) -> str:
        """Where such a network is from."""
        return "it exists in the memory of one process alone: bench.network(module, ...) makes it"

    def check(self) -> None:
        """Do nothing: it is always here."""

    def digest(self) -> str:
        """SHA-256 of the network's state: weights, buffers and plain attributes of all of its modules."""
        return self._state[0]

    def deciding(self) -> JSONObject:
        """All that decides a score: convention, weights and code."""
        return super().deciding() | {"code": self.code}

    def copy_of_network(self) -> Module:
        """The network, free for the caller to change; its labels are given for each image."""
        return _per_image(_copied(self._network))

    @property
    def code_objects(self) -> tuple[object, ...]:
        """Classes and functions whose source decides the numbers, those of torch aside, in a fixed order."""
        objects: dict[int, object] = {}
        for part in self._network.modules():
            for candidate in (type(part), *_code_in([value for _, value in _attributes(part)])):
                if not _is_library(candidate):
                    objects.setdefault(id(candidate), candidate)
        return tuple(objects.values())

    @functools.cached_property
    def _state(self) -> tuple[str, str]:
        return _hash_state(self._network)


def network(
    module: Module,
    *,
    predicts: Predicts,
    labels: Labels,
    shape: tuple[int, int, int],
    sde: str | None = "vp",
    data_range: tuple[float, float] = (-1.0, 1.0),
    scales: int | None = None,
    learned_variance: bool = False,
    classes: int = 0,
    null_class: bool = False,
    sigma_data: float = 0.5,
    parameters: Mapping[str, Mapping[str, JSONValue]] | None = None,
    metric: str = "fd_cifar10",
    name: str = "network",
) -> MemoryCheckpoint:
    """Make a checkpoint of a network in memory.

    The module is called as ``module(x, label)`` with x (B, C, H, W) in float32 on ``data_range`` (noisy, as
    its SDE makes it) and label (B,), and returns (B, C, H, W). With ``classes`` it is called as
    ``module(x, label, y)`` with the class y (B,) of each image, integers. A copy of it is taken now: to run
    it after further training, call `network` again.

    Args:
        module: The network.
        predicts: What it returns: ``noise`` (that is -sigma score), ``scaled_score`` (sigma score),
            ``score``, or ``edm`` (the F of EDM's preconditioning, Karras et al. 2022, eq. 7).
        labels: How it is told the noise level: ``999t``, ``sigma``, ``index``, ``time_index`` (t (N - 1)),
            ``index_down``, or ``edm`` (ln(sigma) / 4), which goes with ``predicts="edm"`` alone.
        shape: Shape (C, H, W) of one image.
        sde: Name of the SDE that it was trained on; unused with ``predicts="edm"``, which serves all alike.
        data_range: Range of the images that it was trained on.
        scales: Number of noise levels, for labels by index.
        learned_variance: Whether it returns C further channels, the variance of the reverse step.
        classes: Number of classes of a class-conditional network; 0 for an unconditional one.
        null_class: Whether it was trained with the class -1 too, which stands for none.
        sigma_data: Standard deviation of the data, in EDM's preconditioning.
        parameters: Plugin parameters by role, as in a card: ``{"sde": {"beta_max": 10}}``.
        metric: Name of the metric of its runs where the user chooses none.
        name: What tables and records call it.

    Returns:
        The checkpoint.

    Raises:
        BenchError: The arguments contradict each other, or the module can't be copied.
    """
    module = getattr(module, "_orig_mod", module)  # of a compiled module; runs compile by themselves
    try:
        checkpoint = MemoryCheckpoint(
            name=name,
            summary=f"{type(module).__name__} in memory",
            format=FORMAT,
            shape=shape,
            data_range=data_range,
            licence="",
            author="",
            data="",
            metric=metric,
            sde=None if predicts == "edm" else sde,
            scales=scales,
            predicts=predicts,
            labels=labels,
            learned_variance=learned_variance,
            classes=classes,
            null_class=null_class,
            parameters={role: dict(values) for role, values in (parameters or {}).items()},
            network={"sigma_data": sigma_data} if predicts == "edm" else {},
        )
    except ValidationError as error:
        raise BenchError(f"network {name}: {first_problem(error)}") from error
    problem = checkpoint.contradiction()
    if problem:
        raise BenchError(f"network {name}: {problem}")
    try:
        checkpoint._network = _copied(module).eval().requires_grad_(False)
    except Exception as error:  # a module may hold anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BenchError(f"network {name}: the module can't be copied ({reason})") from error
    return checkpoint


def _copied(module: Module) -> Module:
    """A copy on the host that shares nothing with the module."""
    duplicate: Module = copy.deepcopy(module).cpu()
    return duplicate


def _per_image(module: Module) -> Module:
    """The module, called with a label for each image: modules of users seldom broadcast a single one."""
    from torch import nn

    class PerImage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Tensor, label: Tensor, *classes: Tensor) -> Tensor:
            result: Tensor = self.module(x, label.expand(len(x)), *classes)
            return result

    return PerImage()


def _hash_state(module: Module) -> tuple[str, str]:
    """SHA-256 of all state of a module; and the first attribute that can't be hashed, or nothing.

    The state dict is not enough: buffers outside of it and plain attributes (a number of heads, a factor)
    decide numbers too.
    """
    hasher, opaque = hashlib.sha256(), ""
    for place, part in module.named_modules(remove_duplicate=False):
        hasher.update(f"\n{place}: {_label(type(part))}".encode())
        tensors = (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
        for name, value in (*tensors, *_attributes(part)):
            try:
                plain = json.dumps(_plain(value), sort_keys=True)
            except TypeError:
                opaque = opaque or f"{place}.{name}".removeprefix(".")
            else:
                hasher.update(f"\n{name} = {plain}".encode())
    return hasher.hexdigest(), opaque


def _tensor_hash(tensor: Tensor) -> str:
    """Type, shape and SHA-256 of a tensor's bytes."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    content = hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()
    return f"{tensor.dtype} {tuple(tensor.shape)} {content}"


def _attributes(module: Module) -> Iterator[tuple[str, object]]:
    """The attributes that a class gives its instances, and hooks; torch's own bookkeeping aside."""
    from torch import nn

    bookkeeping = vars(nn.Module()).keys()
    for name, value in sorted(vars(module).items()):
        if name not in bookkeeping:
            yield name, value
        elif value and "hooks" in name:
            yield name, list(value.values())  # the keys are numbers of the process


def _plain(value: object) -> JSONValue:
    """A value of an attribute as JSON has it; `TypeError` where it is an object of another kind."""
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, weakref.ref):  # torch's recurrent layers refer to their own weights
        return None
    if isinstance(value, list | tuple | torch.Size):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((json.dumps(_plain(item)) for item in value), key=str)
    if isinstance(value, dict):
        return {json.dumps(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, torch.dtype | torch.device):
        return str(value)
    if isinstance(value, torch.Tensor):
        return _tensor_hash(value)
    if _is_code(value):
        return _label(value)  # its source is hashed with `code_objects`
    raise TypeError(f"{type(value).__name__} can't be hashed")


def _code_in(value: object) -> Iterator[object]:
    """The classes and functions in a value of an attribute, and in containers in it."""
    if _is_code(value):
        yield value
    elif isinstance(value, dict):
        yield from _code_in(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _code_in(item)


def _is_code(value: object) -> bool:
    """Whether it is a class or a function that is bound to no object."""
    if inspect.isbuiltin(value):
        owner = value.__self__
        return owner is None or inspect.ismodule(owner) or inspect.isclass(owner)
    return inspect.isclass(value) or inspect.isfunction(value)


def _is_library(value: object) -> bool:
    """Whether the version of torch, or of Python, stands for its source."""
    package = str(getattr(value, "__module__", "")).partition(".")[0]
    return package in _LIBRARIES or inspect.isbuiltin(value)


def _label(value: object) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"
