"""The images that a task works on, batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.closed_form.mixture import MixtureModel
from bench.diffusion.noise import noise_stream
from bench.errors import BenchError

if TYPE_CHECKING:
    from torch import Tensor, device

    from bench.diffusion.model import Model
    from bench.results.run_spec import RunSpec


_READ: dict[str, Tensor] = {}
"""The images of the cells at work, read once."""


def task_images(cell: RunSpec, index: int, size: int, model: Model, device: device) -> Tensor | None:
    """Images (size, C, H, W) on [0, 1] of batch ``index``, one per sample; None for a task that takes none.

    Sample i is of image ``i // per_image``. Without a source they are draws of the exact checkpoint's own
    distribution, from the stream ``data`` of the seed and the image's number among its batch.
    """
    import torch

    if not cell.task.takes_data:
        return None
    first = index * cell.batch_size
    chosen = [number // cell.task.per_image for number in range(first, first + size)]
    if cell.data is not None:
        return _read(cell)[chosen].to(device)
    if not isinstance(model, MixtureModel):
        raise BenchError(f"{cell.card.name} is no exact checkpoint: there is nothing to draw from")
    low = chosen[0]
    drawn = model.images(model.draw(chosen[-1] - low + 1, noise_stream(cell.seed, index, "data", device)))
    return drawn[torch.tensor(chosen, device=device) - low]


def _read(cell: RunSpec) -> Tensor:
    """As many of a source's images as the cell needs."""
    import torch

    assert cell.data is not None
    needed = -(-cell.samples // cell.task.per_image)
    key = f"{cell.data.sha256()} {needed}"
    if key not in _READ:
        _READ.clear()
        read: list[Tensor] = []
        for images in cell.data:
            read.append(images[: needed - sum(map(len, read))])
            if sum(map(len, read)) == needed:
                break
        _READ[key] = torch.cat(read)
    return _READ[key]
