"""Images to latents, and back."""

from __future__ import annotations

from typing import ClassVar

from bench import BatchContext, Task, Tensor
from bench_tasks.flow import decode, encode


class Encode(Task):
    """The latents of images by the probability flow, and the images that these decode to (Song et al. 2021,
    section 4.3).

    ``latents`` are ``x(T) / prior_std`` in the states' coordinates (of exact checkpoints their DCT basis).
    ``images`` are the decoded ones. ``round_trip`` is the root mean square over pixels of what encoding and
    decoding change, as a share of the data range.

    Images are taken as states at eps although they lack its noise: coefficients that vary by less than
    sigma(eps), on VE most of an image's fine detail, get latents narrower than the prior.
    """

    name = "encode"
    outputs = ("latents", "images", "round_trip")
    metrics = ("round_trip", "latent_fd")
    takes_data = True
    follows_flow = True
    default_solver = "rk45"
    sde_defaults: ClassVar[dict[str, float]] = {"eps": 1e-5}

    def run(self, batch: BatchContext) -> dict[str, Tensor]:
        assert batch.images is not None
        z = encode(batch.states(), batch)
        images = batch.model.images(decode(z, batch))
        change = (images - batch.images).flatten(1)
        return {"latents": z, "images": images, "round_trip": (change**2).mean(1).sqrt()}
