"""The size of mistake that the checks of samplers find, as `tests.benchmarks.check_power` measures it."""

from __future__ import annotations

POWER: dict[str, dict[tuple[str, str], float]] = {
    "convergence": {
        ("no noise", "drift"): 0.01,
        ("linear", "noise"): 0.01,
        ("linear", "drift"): 0.03,
    },
    "law": {
        ("not linear", "noise"): 0.03,
        ("not linear", "drift"): 0.03,
        ("no order declared", "noise"): 0.03,
        ("heavy steps", "noise"): 0.03,
    },
    "time of a level": {("no noise", "time"): 0.01},
}
"""For a check, sampler and mistake: the smallest measured size (a share) that was found in every run."""

FALSE_ALARMS = 1e-6
"""Probability that a check of noisy samplers fails a right one by chance: at most this; of others none."""


def power_of(name: str) -> str:
    """What a check finds, in words; empty where no mistake has a size.

    Args:
        name: Name of a finding, such as ``convergence, vp``.
    """
    check = name.partition(",")[0]
    sizes = POWER.get("convergence" if check == "uneven steps" else check, {})
    texts = [f"{what} off by {100 * size:g} % ({sampler})" for (sampler, what), size in sizes.items()]
    return f"finds {', '.join(texts)} in every run" if texts else ""
