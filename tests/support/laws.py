"""SDEs at random valid parameters, for property tests."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from bench import SDE
from tests.support.analytic import SDES, sde

properties = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def laws(draw: st.DrawFn, names: tuple[str, ...] = SDES) -> SDE:
    """A registered SDE with parameters in the range that anyone would use."""
    name = draw(st.sampled_from(names))
    if name == "ve":
        low = draw(st.floats(1e-3, 1))
        return sde(
            name, sigma_min=low, sigma_max=low * draw(st.floats(2, 1e5)), eps=draw(st.floats(1e-6, 0.1))
        )
    if name == "ve_exp":
        return sde(name, base=draw(st.floats(2, 100)), eps=draw(st.floats(1e-6, 0.1)))
    if name == "vp_cosine":
        scales = draw(st.integers(5, 40))
        return sde(name, scales=scales, s=draw(st.floats(1e-3, 0.1)), eps=1 / scales)
    low = draw(st.floats(0.01, 2))
    return sde(name, beta_min=low, beta_max=low + draw(st.floats(0.1, 30)), eps=draw(st.floats(1e-6, 0.1)))
