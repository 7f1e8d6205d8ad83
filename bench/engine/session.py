"""Session: models and images that a process keeps between batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.checkpoints.cards import Card
from bench.checkpoints.load import load_model
from bench.closed_form.mixture import MixtureModel
from bench.diffusion.noise import noise_stream
from bench.errors import BenchError
from bench.plan.installed import installed_registry
from bench.plugins.registry import Registry
from bench.results.run_spec import RunSpec
from bench.tasks.role import BatchContext, Task

if TYPE_CHECKING:
    from torch import Tensor

    from bench.diffusion.model import Model
    from bench.diffusion.sde import SDE

    _Held = tuple[tuple[str, SDE], Model]


class Session:
    """Loaded models and images, kept for the next batches.

    It holds one model for the run's checkpoint, one for a second checkpoint that a task loads, and the images
    of one data source. A request for another one replaces the one it holds.

    Args:
        registry: Plugins by name: readers of networks, and checkpoints by name.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._model: _Held | None = None
        self._other: _Held | None = None
        self._images: tuple[str, Tensor] | None = None
        self._warm: set[tuple[Task, int]] = set()

    @classmethod
    def of_installed(cls) -> Session:
        """A session with the installed plugins, for a process of its own."""
        return cls(installed_registry())

    def model(self, spec: RunSpec) -> Model:
        """The run's checkpoint on its device."""
        self._model = self._load(spec, spec.card, self._model)
        return self._model[1]

    def other_model(self, spec: RunSpec, name: str) -> Model:
        """Another checkpoint on the run's SDE, device and precision."""
        card = next(card for card in spec.others if card.name == name)
        self._other = self._load(spec, card, self._other)
        return self._other[1]

    def _load(self, spec: RunSpec, card: Card, held: _Held | None) -> _Held:
        """The checkpoint: ``held`` if it is the same, otherwise newly loaded."""
        import torch

        sde, device = spec.sampler.sde, torch.device(spec.device)
        # the name too: networks in memory may differ in what can't be hashed
        facts = f"{card.name} {card.deciding()} {card.classifier} {spec.precision} {spec.compile} {device}"
        key = (facts, sde)
        if held is not None and held[0] == key:
            return held
        self._warm.clear()
        return key, load_model(
            card, sde, device, self.registry, precision=spec.precision, compile=spec.compile
        )

    def warm_up(self, spec: RunSpec, batch: BatchContext) -> float:
        """Call `Task.warm` once for each task and batch size on the loaded model; returns the seconds."""
        import torch

        if (spec.task, batch.size) in self._warm:
            return 0.0
        begin = time.perf_counter()
        with torch.no_grad():
            spec.task.warm(batch)
        if batch.device.type == "cuda":
            torch.cuda.synchronize(batch.device)
        self._warm.add((spec.task, batch.size))
        return time.perf_counter() - begin

    def images(self, spec: RunSpec, index: int, size: int, model: Model) -> Tensor | None:
        """Images (size, C, H, W) on [0, 1] of a batch, one per sample; None for a task that takes none.

        Sample i is made from image ``i // per_image``. Without a source, images are draws of the exact
        checkpoint's own distribution, from the stream ``data`` of the seed and the batch.
        """
        import torch

        if not spec.task.takes_data:
            return None
        device = torch.device(spec.device)
        first = index * spec.batch_size
        numbers = [number // spec.task.per_image for number in range(first, first + size)]
        if spec.data is not None:
            return self._read_images(spec)[numbers].to(device)
        if not isinstance(model, MixtureModel):
            raise BenchError(
                f"{spec.card.name} is not an exact checkpoint: it has no distribution to draw images from"
            )
        low = numbers[0]
        noise = noise_stream(spec.seed, index, "data", device)
        images = model.images(model.draw(numbers[-1] - low + 1, noise))
        return images[torch.tensor(numbers, device=device) - low]

    def _read_images(self, spec: RunSpec) -> Tensor:
        """As many images of the run's source as the run needs."""
        import torch

        assert spec.data is not None
        needed = -(-spec.samples // spec.task.per_image)
        key = f"{spec.data.sha256()} {needed}"
        if self._images is None or self._images[0] != key:
            parts: list[Tensor] = []
            count = 0
            for images in spec.data:
                parts.append(images[: needed - count])
                count += len(parts[-1])
                if count == needed:
                    break
            self._images = key, torch.cat(parts)
        return self._images[1]
