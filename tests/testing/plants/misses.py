"""What `bench check` does not get right yet. A plant that it gets right must leave its list."""

from __future__ import annotations

MISSES: frozenset[str] = frozenset(
    {
        "wrong_twice_the_data",
        "wrong_no_last_step",
        "wrong_sign_at_last",
        "wrong_time_by_10",
        "wrong_time_by_3",
        "wrong_time_by_1",
        "wrong_time_of_next",
        "wrong_ratio_inverted",
        "wrong_ratio_forgotten",
        "wrong_second_order_sign",
        "wrong_twice_second_order",
        "wrong_odd_step_counts",
        "wrong_noise_by_10",
        "wrong_noise_by_3",
        "wrong_noise_by_1",
        "wrong_noise_by_minus_3",
        "wrong_eta_squared",
        "wrong_churn_unsquared",
        "wrong_one_draw_for_channels",
        "wrong_smoothed",
        "wrong_many_noisy_steps",
        "wrong_around_the_counter",
        "wrong_half_around_the_counter",
        "wrong_past_the_prediction",
        "wrong_one_more_call",
        "wrong_counts_its_steps",
        "wrong_large_batches",
        "wrong_knows_the_kit",
        "wrong_knows_the_shape",
        "wrong_knows_the_precision",
        "wrong_flow_with_noise",
        "wrong_substeps",
        "wrong_smoothed_score",
        "wrong_size_squared",
        "wrong_shared_channel_noise",
        "wrong_at_the_last_level",
        "wrong_move_noise_by_10",
        "wrong_move_noise_by_3",
        "wrong_moves_forgotten",
        "wrong_groups_of_five",
        "wrong_thousand_steps",
        "wrong_truncated_prior",
        "wrong_batch_of_one",
        "wrong_other_channels",
        "wrong_chain_at_last",
        "wrong_unrefinable",
        "wrong_noise_at_low_levels",
    }
)
"""Wrong plants that no check of their kind catches."""

FALSE_ALARMS: frozenset[str] = frozenset(
    {
        "right_pixel_clipped",
        "right_range_clipped",
        "right_dynamic_threshold",
        "right_thousandths",
        "right_pairs",
        "right_flow_euler",
        "right_clipped_ancestral",
        "right_churn",
        "right_thousand",
        "right_substeps",
    }
)
"""Right plants that a check fails."""
