"""Encoding and decoding by the probability flow, against closed forms."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from bench.testing.laws import SHAPE
from bench.testing.probe import MIXTURE
from bench_tasks.flow import decode, encode
from tests.support.analytic import RECORDED
from tests.support.flows import draws, flow_batch, flow_sde, marginal_variances, solver_error, thin_model

D = 192
# twelve statistics: one false alarm in 800 sets of seeds, and the seed is fixed
P = 1e-4


@pytest.mark.parametrize("name", RECORDED)
def test_latents_of_exact_draws_are_normal(name: str) -> None:
    """Draws of the marginal at eps: per coefficient n m^2 is chi-squared with one degree of freedom and
    (n - 1) v with n - 1. The mean is the marginal's at T, on VE further from zero than the noise."""
    sde, n = flow_sde(name), 1000
    model, low, high = thin_model(sde), sde.at(sde.eps), sde.at(sde.end)
    noise = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = low.alpha * draws(model, n) + low.sigma * noise
    with torch.no_grad():
        z = encode(x, flow_batch(sde, model, x, 1e-6)).numpy()
    mean = high.alpha * marginal_variances(sde)[0] / sde.prior_std
    assert stats.chi2.sf(n * ((z.mean(0) - mean) ** 2).sum(), D) > P
    ratios = (n - 1) * z.var(0, ddof=1)
    below = stats.chi2.cdf(ratios.sum(), D * (n - 1))
    assert P / 2 < below < 1 - P / 2
    assert stats.kstest(ratios.ravel(), stats.chi2(n - 1).cdf).pvalue > P


def test_decoding_undoes_encoding_on_a_mixture() -> None:
    sde = flow_sde("ve")
    model = thin_model(sde, MIXTURE)
    x = draws(model, 8)
    batch = flow_batch(sde, model, x, 1e-5)
    with torch.no_grad():
        back = decode(encode(x, batch), batch)
    assert solver_error(back, x) < 20 * 1e-5
