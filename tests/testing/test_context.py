"""The context of checks: exact data, read once; the exact flow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import BenchError
from bench.testing.context import CheckContext
from bench.testing.laws import SHAPE, normals
from bench.testing.probe import GAUSSIAN, MIXTURE, prior
from tests.support.plugins import empty_registry, installed
from tests.support.samplers import Sound


def test_data_is_thinned_and_read_once_for_each_range() -> None:
    context = CheckContext(installed(), ("ve", "vp", "subvp"))
    ve, vp, subvp = context.sdes
    data = context.truth(MIXTURE, vp)
    assert data.mean.shape == data.variance.shape == (10, *SHAPE)
    assert context.truth(MIXTURE, subvp) is data
    assert context.truth(MIXTURE, ve) is not data
    assert context.truth(GAUSSIAN, vp).mean.shape == (1, *SHAPE)


def test_a_model_is_that_of_the_data_on_the_sdes_range() -> None:
    """At a normal's mean the score is zero, and its slope is minus one over the variance."""
    context = CheckContext(installed())
    for name in ("ve", "vp"):
        sde = context.sde(name)
        level, model = sde.at(0.3), context.model(normals(), sde)
        law = context.law(normals(), sde).at(level)
        mean, variance = law.mean[:1], law.variance[:1]
        assert float((model.score(mean, level) * variance.sqrt()).abs().max()) < 1e-9
        torch.testing.assert_close(model.score(mean + 1, level), -1 / variance)
        assert len(model.calls) == model.states_seen == 2


def test_what_is_made_once_is_made_once() -> None:
    context = CheckContext(installed())
    things = [context.once(key, lambda: object()) for key in ("one", "one", "other")]
    assert things[0] is things[1]
    assert things[0] is not things[2]


def test_every_state_that_the_network_is_asked_for_is_counted_thrice() -> None:
    context = CheckContext(installed())
    assert context.trial(Sound(), context.sde("vp"), 4, prior(2)).counts == (8, 8, 8)


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
