"""The plants that every session judges; `pytest --all-plants` judges all."""

from __future__ import annotations

SAMPLE_WRONG: frozenset[str] = frozenset(
    {
        # the answer and the end
        "wrong_twice_the_data",
        "wrong_no_last_step",
        "wrong_sign_at_last",
        "wrong_alpha_forgotten",
        "wrong_alpha_from_sigma",
        "wrong_drift_by_1",
        "wrong_gaussian_memory",
        "wrong_clips_states",
        "wrong_clean_declared",
        "wrong_refines_nothing",
        "wrong_float32_solver",
        "wrong_tolerance_ignored",
        # the order
        "wrong_ratio_inverted",
        "wrong_ratio_forgotten",
        "wrong_second_order_sign",
        "wrong_order_2_declared",
        "wrong_heun_of_one_slope",
        "wrong_diagonal_jacobian",
        # the law
        "wrong_noise_by_1",
        "wrong_noise_by_minus_3",
        "wrong_eta_squared",
        "wrong_one_draw_for_channels",
        "wrong_smoothed",
        "wrong_noisy_end",
        "wrong_mean_moves",
        "wrong_half_the_noise",
        "wrong_move_noise_by_3",
        "wrong_noisy_mean",
        # calls and levels
        "wrong_around_the_counter",
        "wrong_half_around_the_counter",
        "wrong_two_moves_for_one",
        "wrong_points_for_steps",
        "wrong_time_by_1",
        "wrong_time_of_next",
        # declarations, randomness and state
        "wrong_clips_undeclared",
        "wrong_signs_undeclared",
        "wrong_history_in_itself",
        "wrong_history_in_the_module",
        "wrong_global_torch_noise",
        "wrong_fixed_seed",
        "wrong_batch_threshold",
        "wrong_large_batches",
        "wrong_one_draw_for_all",
        "wrong_in_place",
        "wrong_hidden_chain",
    }
)
"""Wrong plants of every kind of mistake."""

SAMPLE_RIGHT: frozenset[str] = frozenset(
    {
        "right_ddim",
        "right_range_clipped",
        "right_dynamic_threshold",
        "right_thousandths",
        "right_pairs",
        "right_flow_euler",
        "right_data_two_step",
        "right_fixed_point",
        "right_rademacher",
        "right_tempered",
        "right_clipped_ancestral",
        "right_stochastic_heun",
        "right_churn",
        "right_heun_to_zero",
        "right_points",
        "right_both_ways",
        "right_adaptive",
        "right_exploding",
        "right_langevin",
        "right_two_moves",
        "right_annealed_moves",
        "right_own_norms",
        "right_preconditioned",
    }
)
"""Right plants, each unusual in another way."""
