"""Conventions of published FIDs, by name: what a paper's figure fixes beside the network's samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bench import BenchError, Rounding
from bench_fid.inception import CIFAR10, EDM_DATA, Mode


@dataclasses.dataclass(frozen=True)
class Preset:
    """A paper's convention.

    Args:
        mode: Network and resizing, as clean-fid calls them.
        rounding: How samples become bytes.
        references: Statistics that the paper compares with: the first is that of CIFAR-10's training images.
            Empty where the convention fixes none.
        samples: Number of samples of a published figure.
        repeats: Number of sets of samples whose smallest value the paper reports; 1 for the value of one.
        not_fixed: What remains different from the paper's own code.
    """

    mode: Mode
    rounding: Rounding
    references: tuple[str, ...]
    not_fixed: str
    samples: int = 50_000
    repeats: int = 1

    def settings(self) -> dict[str, str]:
        """The values of the parameters that it fixes."""
        return {"mode": self.mode, "rounding": self.rounding}


PRESETS: Mapping[str, Preset] = {
    "song2021": Preset(
        mode="legacy_tensorflow",
        rounding="truncate",
        references=("cifar10-train",),
        not_fixed="the paper's network is TF-GAN's module, which takes bytes as (x - 127.5) / 127.5, not as "
        "(x - 128) / 128; here samples and reference go through clean-fid's port of the network of 2015",
    ),
    "edm": Preset(
        mode="legacy_tensorflow",
        rounding="round",
        references=EDM_DATA,
        not_fixed="the paper draws every sample from a seed of its own, 0 to 49999 and so on",
        repeats=3,
    ),
    "clean": Preset(
        mode="clean",
        rounding="round",
        references=(),
        not_fixed="clean-fid measures image files: how samples become bytes is not its convention",
    ),
}


def check_settings(preset: str, settings: Mapping[str, object]) -> None:
    """`BenchError` where settings differ from what the preset fixes."""
    if preset not in PRESETS:
        return
    for name, value in PRESETS[preset].settings().items():
        if settings.get(name, value) != value:
            raise BenchError(
                f"fid.preset={preset} fixes {name}={value}, which is not {settings[name]}: "
                f"leave it out, or give -P metric.preset=none"
            )


def reference_of(preset: str, reference: str) -> str:
    """The reference that a preset compares with; `BenchError` where that has no statistics of its data.

    CIFAR-10's training images are those of the preset; a statistics file (.npz) is taken as it is.
    """
    if preset not in PRESETS or not PRESETS[preset].references or reference.endswith(".npz"):
        return reference
    known = PRESETS[preset].references
    name = known[0] if reference in CIFAR10 else reference
    if name not in known:
        raise BenchError(
            f"fid.preset={preset} compares with {', '.join(known)}, or a statistics file (.npz), "
            f"not with {reference}: name one of these, or give -P metric.preset=none"
        )
    return name
