"""What `bench check` does not get right yet. A plant that it gets right must leave its list."""

from __future__ import annotations

MISSES: frozenset[str] = frozenset(
    {
        "wrong_knows_the_kit",
        "wrong_smoothed_score",
        "wrong_unrefinable",
    }
)
"""Wrong plants that no check of their kind catches."""

FALSE_ALARMS: frozenset[str] = frozenset()
"""Right plants that a check fails."""
