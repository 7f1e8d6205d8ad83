"""The curves of a sampler's plot."""

from __future__ import annotations

import pytest

from bench.testing import curves
from bench.testing.context import CheckContext
from tests.support.plugins import installed
from tests.support.samplers import Sound


@pytest.mark.parametrize(
    ("part", "others"), [("ddim", {"heun", "dpmpp_2m"}), (None, {"euler_maruyama", "ancestral"})]
)
def test_errors_fall_along_each_curve(
    part: str | None, others: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "CURVE", (10, 40))
    context = CheckContext(installed(), ("vp",))
    sampler = Sound() if part is None else context.predictor(part)
    points = list(curves.curves(sampler, context.sdes[0], context))
    assert {point.sampler for point in points} == others | {sampler.name}
    for coarse, fine in zip(points[::2], points[1::2], strict=True):
        assert (coarse.sampler, coarse.steps, fine.steps) == (fine.sampler, 10, 40)
        assert fine.error < coarse.error
        assert fine.nfe > coarse.nfe
