"""Images between images, by their latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench import BatchContext, BenchError, Images, Task, Tensor, param
from bench_tasks.flow import decode, encode


class Interpolate(Task):
    """Decoded latents on the great circle from one image's latent a to the next one's b (Song et al. 2021,
    section 4.3; Shoemake 1985):

        z(w) = temperature (sin((1 - w) theta) a + sin(w theta) b) / sin(theta),   w from 0 to 1,

    theta the angle between a and b. Each image of a batch has a row of ``points`` images that leads to the
    next image; the last image's row leads to the first. At temperature 1 a row's ends are the images
    themselves, as `encode` decodes them.
    """

    name = "interpolate"
    takes_data = True
    follows_flow = True
    default_solver = "rk45"
    sde_defaults: ClassVar[dict[str, float]] = {"eps": 1e-5}

    points: int = param(default=8, help="images of a row, its two ends included", low=2, high=64)
    temperature: float = param(default=1.0, help="what latents are multiplied by", above=0, high=10)

    @property
    def per_image(self) -> int:
        return self.points

    def check_data(self, data: Images | None, samples: int, batch_size: int) -> None:
        rest = samples % batch_size
        if samples % self.points or min(batch_size, rest or batch_size) < 2 * self.points:
            raise BenchError(
                f"interpolate needs two or more rows of {self.points} in each batch: take multiples of "
                f"{2 * self.points} for --samples and --batch-size"
            )

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        import torch

        assert batch.images is not None
        a = encode(batch.model.states(batch.images[:: self.points]), batch)
        b = a.roll(-1, 0)
        ways = [k / (self.points - 1) for k in range(self.points)]
        z = torch.stack([on_arc(a, b, way) for way in ways], dim=1).flatten(0, 1)
        return {"images": batch.model.images(decode(self.temperature * z, batch))}

    def preview(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, int]:
        return outputs["images"][: max(64 // self.points, 2) * self.points], self.points


def on_arc(a: Tensor, b: Tensor, way: float) -> Tensor:
    """The point at ``way`` in [0, 1] of the arc from a to b (B, ...): a at 0, b at 1."""
    import torch

    flat_a, flat_b = (z.flatten(1).double() for z in (a, b))
    cosine = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    angle = cosine.clamp(-1, 1).acos()[:, None]
    # below this angle the arc is a line to the precision of a float, and the sine would divide zero by zero
    near = angle < 1e-4
    sine = torch.where(near, torch.ones_like(angle), angle.sin())
    part_a = torch.where(near, 1 - way + 0 * angle, ((1 - way) * angle).sin() / sine)
    part_b = torch.where(near, way + 0 * angle, (way * angle).sin() / sine)
    return (part_a * flat_a + part_b * flat_b).to(a.dtype).view_as(a)
