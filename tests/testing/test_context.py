"""The context of checks: exact data, read once; the exact flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import BenchError
from bench.testing.context import CheckContext
from bench.testing.probe import GAUSSIAN, MIXTURE, SHAPE, prior
from tests.support.plugins import empty_registry, installed


def test_data_is_thinned_and_read_once_for_each_range() -> None:
    context = CheckContext(installed(), ("ve", "vp", "subvp"))
    ve, vp, subvp = context.sdes
    data = context.truth(MIXTURE, vp)
    assert data.mean.shape == data.variance.shape == (10, *SHAPE)
    assert context.truth(MIXTURE, subvp) is data
    assert context.truth(MIXTURE, ve) is not data
    assert context.truth(GAUSSIAN, vp).mean.shape == (1, *SHAPE)


def test_the_marginal_is_that_of_the_exact_score() -> None:
    """At a marginal's mean the score is zero, and its slope is minus one over the variance."""
    context = CheckContext(installed())
    sde = context.sde("vp")
    level, model = sde.at(0.3), context.model(GAUSSIAN, sde)
    mean, variance = (torch.from_numpy(array)[None] for array in context.marginal(sde, level))
    assert float(model.score(mean, level).abs().max()) < 1e-9
    torch.testing.assert_close(model.score(mean + 1, level), -1 / variance)
    assert len(model.calls) == 2


def test_the_end_of_the_flow_is_computed_once_for_an_sde() -> None:
    context = CheckContext(installed())
    sde = context.middle(context.sde("vp"))
    start, end, calls = context.flow_end(sde)
    assert start.shape == end.shape == (2, *SHAPE)
    assert calls > 100
    assert context.flow_end(sde)[1] is end
    assert bool(end.isfinite().all())


def test_a_corrector_runs_beside_ddim_and_gets_its_own_stream() -> None:
    context = CheckContext(installed())
    corrector = installed().build("correctors", "langevin", {})
    trial = context.trial(corrector, context.sde("vp"), 4, prior(2))
    assert (trial.calls, trial.draws) == (8, 4)


def test_without_the_built_in_plugins_there_is_one_line() -> None:
    with pytest.raises(BenchError, match="unknown sde 'vp'"):
        CheckContext(empty_registry(), ("vp",))


def test_thinning_keeps_every_fourth_frequency() -> None:
    from bench import exact_data

    context = CheckContext(installed())
    ve = context.sde("ve")
    data, _ = exact_data(context.card(GAUSSIAN))
    low, high = ve.data_range
    whole = (high - low) ** 2 * data.variance[:, :, ::4, ::4]
    np.testing.assert_allclose(context.truth(GAUSSIAN, ve).variance, whole)
