"""Images to latents, and back."""

from __future__ import annotations

from typing import Any, ClassVar

from bench import BatchContext, Task, Tensor
from bench_tasks.flow import decoded, encoded


class Encode(Task):
    """The latents of images by the probability flow, and the images that these decode to (Song et al. 2021,
    section 4.3).

    ``latents`` are ``x(T) / prior_std`` in the states' coordinates (of exact checkpoints their DCT basis),
    ``images`` the decoded ones, ``round_trip`` the root mean square over pixels of what the way there and
    back has changed, as a share of the data range.

    Images are taken as states at eps though they lack its noise: what varies by less than sigma(eps), on VE
    most of an image's fine detail, gets latents narrower than the prior.
    """

    name = "encode"
    outputs = ("latents", "images", "round_trip")
    metrics = ("round_trip", "latent_fd")
    takes_data = True
    follows_flow = True
    sde_defaults: ClassVar[dict[str, Any]] = {"eps": 1e-5}

    def run(self, work: BatchContext) -> dict[str, Tensor]:
        assert work.images is not None
        z = encoded(work.states(), work)
        images = work.model.images(decoded(z, work))
        off = (images - work.images).flatten(1)
        return {"latents": z, "images": images, "round_trip": (off**2).mean(1).sqrt()}
