"""What `bench check` does not get right yet. A plant that it gets right must leave its list."""

from __future__ import annotations

MISSES: frozenset[str] = frozenset(
    {
        "wrong_knows_the_kit",
        "wrong_smoothed_score",
        "wrong_groups_of_five",
        "wrong_thousand_steps",
        "wrong_other_channels",
        "wrong_unrefinable",
        "wrong_refined_is_another",
        "wrong_noise_at_low_levels",
        "wrong_third_choice",
        "wrong_optional_value",
        "wrong_starts_in_noise",
        "wrong_one_way",
    }
)
"""Wrong plants that no check of their kind catches."""

FALSE_ALARMS: frozenset[str] = frozenset()
"""Right plants that a check fails."""
