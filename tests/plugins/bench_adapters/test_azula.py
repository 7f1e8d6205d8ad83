"""``azula:<Sampler>``: against the same method of our own, and every sampler there is.

The library stands in no environment with the rest: ``.ci/run`` runs this file in one of its own.
"""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

import pytest
import torch

from bench import BenchError, Solver, Tensor
from bench.testing.laws import mixture
from bench.testing.probe import prior
from tests.support import adapted
from tests.support.adapted import bench, check_noise, check_refused, sample
from tests.support.analytic import sde
from tests.support.checks import context
from tests.support.plugins import installed

HERE = importlib.util.find_spec("azula") is not None
needed = pytest.mark.skipif(not HERE, reason="azula is not installed; .ci/run has an environment for it")

SAMPLERS = [
    "DDIMSampler", "DDPMSampler", "EulerSampler", "HeunSampler", "ItoSampler", "PCSampler", "REABSampler",
    "vABSampler", "xEABSampler", "zABSampler", "zEABSampler",
]  # fmt: skip


def build(sampler: str, **parameters: Any) -> Solver:
    return adapted.build(f"azula:{sampler}", **parameters)


@needed
@pytest.mark.parametrize(
    ("sampler", "config", "name", "parameters"),
    [
        ("DDIMSampler", "", "ddim", {}),
        ("EulerSampler", "", "ddim", {}),
        ("zEABSampler", "order=1", "ddim", {}),
        ("xEABSampler", "order=1", "ddim", {}),
    ],
)
@pytest.mark.parametrize("law", ["vp", "ve", "subvp"])
def test_it_is_our_own_of_the_same_method(
    law: str, sampler: str, config: str, name: str, parameters: dict[str, Any]
) -> None:
    """On the mixture in float64: DDIM on 21 levels, whose last step to clean data is a denoising step."""
    solver = build(sampler, steps=20, config=config)
    theirs = context().trial(
        solver, sde(law), 20, prior(3), model=context().model(mixture(), sde(law)), whole=True
    )
    predictor = installed().build("predictors", name, parameters)
    ours = context().trial(predictor, sde(law), 21, prior(3), model=context().model(mixture(), sde(law)))
    assert solver.nfe() == 20
    assert theirs.calls == ours.calls == 21
    assert float((theirs.x - ours.x).norm() / ours.x.norm()) < 1e-8


@needed
def test_these_are_the_samplers() -> None:
    import azula.sample

    assert sorted(set(azula.sample.__all__) - {"Sampler"}) == sorted(SAMPLERS)


@needed
@pytest.mark.parametrize("name", SAMPLERS)
def test_each_runs(name: str) -> None:
    solver = build(name, steps=7)
    results: list[Tensor] = []
    for law, seed in (("ve", 0), ("ve", 0), ("ve", 1), ("subvp", 0)):
        torch.manual_seed(len(results))
        before = torch.random.get_rng_state()
        x, calls = sample(solver, law, 4, seed)
        assert torch.equal(before, torch.random.get_rng_state())
        assert x.dtype == torch.float64
        assert x.isfinite().all()
        assert calls == solver.nfe()
        results.append(x)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@needed
@pytest.mark.parametrize(
    ("name", "config", "drawn"),
    [("DDIMSampler", "", False), ("DDIMSampler", "eta=1.0", True), ("DDPMSampler", "", True)],
)
def test_noise_is_drawn_where_it_matters(name: str, config: str, drawn: bool) -> None:
    check_noise(build(name, steps=5, config=config), drawn=drawn)


@needed
@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("HeunSampelr", {}, "azula has no sampler 'HeunSampelr' (did you mean 'HeunSampler'"),
        ("Sampler", {}, "azula has no sampler 'Sampler'"),
        ("DDIMSampler", {"config": "etta=1"}, "no setting 'etta' (did you mean 'eta'"),
        ("DDIMSampler", {"config": "denoiser=1"}, "denoiser can't be set"),
    ],
)
def test_a_mistake_is_one_line(name: str, parameters: dict[str, Any], message: str) -> None:
    check_refused(f"azula:{name}", parameters, message)


@needed
def test_it_pickles() -> None:
    solver = build("DDIMSampler", steps=7, config="eta=0.5")
    assert pickle.loads(pickle.dumps(solver)) == solver


@needed
def test_an_error_of_the_network_passes() -> None:
    class BrokenError(RuntimeError):
        """The network's own."""

    def broken(*_: Any) -> Tensor:
        raise BrokenError

    solver: Any = build("EulerSampler", steps=2)
    marginals = torch.tensor([[1.0, 2.0], [1.0, 1.0], [1.0, 0.5]], dtype=torch.float64).numpy()
    with pytest.raises(BrokenError):
        solver.sample(broken, torch.zeros(1, 1, 2, 2), marginals, 0)


@pytest.mark.skipif(HERE, reason="azula is installed")
def test_the_error_of_a_missing_library_names_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        BenchError, match=r"azula needs azula: it is not installed: in a clone .*'\.\[azula\]'"
    ):
        build("DDIMSampler")
    assert bench("show", "azula:DDIMSampler") == 2
    assert capsys.readouterr().err.count("\n") == 1
