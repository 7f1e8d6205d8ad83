"""``kdiffusion:<function>``: against the same method of our own, and every sampler there is.

The library asks for numpy 1.26 and some forty packages, so that it stands in no environment with the rest:
``.ci/run`` runs this file in one of its own.
"""

from __future__ import annotations

import importlib.util
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError, Solver, Tensor
from bench.closed_form.moments import response_moments
from bench.diffusion.sampler import Sampler
from bench.plan.source_hash import code_hash
from bench.testing.laws import mixture
from bench.testing.probe import prior
from tests.support import adapted
from tests.support.adapted import LAM, MU, bench, check_noise, check_refused, sample
from tests.support.analytic import grid_of, sde
from tests.support.checks import context
from tests.support.plugins import installed

HERE = importlib.util.find_spec("k_diffusion") is not None
needed = pytest.mark.skipif(
    not HERE, reason="k-diffusion is not installed; .ci/run has an environment for it"
)

GIVEN_LEVELS = [
    "dpm_2", "dpm_2_ancestral", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s_ancestral", "dpmpp_3m_sde", "dpmpp_sde",
    "euler", "euler_ancestral", "heun", "lms",
]  # fmt: skip


def build(function: str, **parameters: Any) -> Solver:
    return adapted.build(f"kdiffusion:{function}", **parameters)


@needed
@pytest.mark.parametrize(
    ("function", "name", "schedule"),
    [
        ("euler", "ddim", "polynomial"),
        ("euler", "ddim", "uniform"),
        ("heun", "heun", "polynomial"),
        ("dpmpp_2m", "dpmpp_2m", "logsnr"),
    ],
)
@pytest.mark.parametrize("law", ["vp", "ve", "subvp"])
def test_it_is_our_own_of_the_same_method(law: str, function: str, name: str, schedule: Any) -> None:
    """On the mixture, whose score is not linear, in float64: 30 steps of the same arithmetic.

    Their levels are found again from sigma / alpha, by bisection in t to 1e-12 of it and more.
    """
    theirs = context().trial(
        build(function, steps=30, schedule=schedule),
        sde(law),
        30,
        prior(3),
        model=context().model(mixture(), sde(law)),
    )
    ours = context().trial(
        installed().build("predictors", name, {}),
        sde(law), 30, prior(3), model=context().model(mixture(), sde(law)), grid=schedule,
    )  # fmt: skip
    assert theirs.calls == ours.calls
    assert float((theirs.x - ours.x).norm() / ours.x.norm()) < 1e-8


@needed
@pytest.mark.parametrize("law", ["vp", "ve"])
def test_the_ancestral_one_has_the_exact_moments_of_ddim_with_all_its_noise(law: str) -> None:
    """Pooled over 64 independent coordinates of 4000 samples: standard errors of 0.2 % and 0.28 %."""
    x, _ = sample(build("euler_ancestral", steps=28), law, 4000)
    ddim = installed().build("predictors", "ddim", {"eta": 1.0})
    mean, variance = response_moments(Sampler(sde(law), ddim, steps=28, grid=grid_of("polynomial")), MU, LAM)
    off = (x.mean(0).numpy() - mean) / np.sqrt(variance)
    ratio = x.var(0).numpy() / variance - 1
    assert abs(off.mean()) < 4 / math.sqrt(x.numel())
    assert abs(ratio.mean()) < 4 * math.sqrt(2 / x.numel())


@needed
def test_these_are_the_samplers_that_are_given_levels() -> None:
    from k_diffusion import sampling

    names = [name.removeprefix("sample_") for name in dir(sampling) if name.startswith("sample_")]
    taken = []
    for name in names:
        if name in GIVEN_LEVELS:
            taken.append(build(name).name.removeprefix("kdiffusion:"))
            continue
        with pytest.raises(BenchError, match=f"^kdiffusion:{name} makes its own noise levels"):
            build(name)
    assert taken == GIVEN_LEVELS


@needed
@pytest.mark.parametrize("name", GIVEN_LEVELS)
def test_each_runs(name: str) -> None:
    results: list[Tensor] = []
    solver = build(name, steps=7)
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
    x, _ = sample(build(name, steps=50), "vp", 32)
    # first order at 50 steps of these levels loses a fifth of the variance; standard errors are 2 and 3 %
    assert abs(float(((x.mean(0).numpy() - MU) / np.sqrt(LAM)).mean())) < 0.1
    assert 0.7 < float((x.var(0).numpy() / LAM).mean()) < 1.2


@needed
@pytest.mark.parametrize(
    ("name", "config", "drawn"),
    [
        ("euler", "", False),
        ("euler", "s_churn=20", True),
        ("heun", "", False),
        ("euler_ancestral", "", True),
        ("euler_ancestral", "eta=0", False),
        ("dpmpp_2m_sde", "", True),
        ("lms", "order=2", False),
    ],
)
def test_noise_is_drawn_where_it_matters(name: str, config: str, drawn: bool) -> None:
    solver = build(name, steps=5, config=config)
    check_noise(solver, drawn=drawn)


@needed
@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("hein", {}, "k-diffusion has no sampler 'hein' (did you mean 'heun'"),
        ("<function>", {}, "stands for many solvers"),
        (
            "dpm_fast",
            {},
            "kdiffusion:dpm_fast makes its own noise levels: use a function with the argument sigmas",
        ),
        ("heun", {"config": "s_chrun=3"}, "no setting 's_chrun' (did you mean 's_churn'"),
        ("heun", {"config": "s_churn=much"}, "s_churn must have the type of its default, 0.0, not 'much'"),
        ("heun", {"config": "sigmas=3"}, "sigmas can't be set"),
    ],
)
def test_a_mistake_is_one_line(name: str, parameters: dict[str, Any], message: str) -> None:
    check_refused(f"kdiffusion:{name}", parameters, message)


@needed
def test_what_the_library_refuses_is_one_line() -> None:
    """dpmpp_2m_sde needs two noise levels: one ends in an IndexError of its own."""
    solver = build("dpmpp_2m_sde", steps=1)
    for ask in (solver.nfe, lambda: solver.couples_batch, lambda: sample(solver, "vp", 2)):
        with pytest.raises(BenchError, match=r"^kdiffusion:dpmpp_2m_sde: the library stops with ") as error:
            ask()
        assert "\n" not in str(error.value)


@needed
def test_an_error_of_the_network_passes() -> None:
    class BrokenError(RuntimeError):
        """The network's own."""

    def broken(*_: Tensor) -> Tensor:
        raise BrokenError

    solver: Any = build("euler", steps=3)
    with pytest.raises(BrokenError):
        solver.sample(broken, torch.zeros(1, 1, 2, 2), [2.0, 1.0, 0.5], 0)


@needed
def test_it_pickles() -> None:
    solver = build("heun", steps=7, config="s_churn=2")
    assert pickle.loads(pickle.dumps(solver)) == solver


@needed
def test_the_prefix_of_the_function_may_stand_or_not() -> None:
    assert installed().get("solvers", "kdiffusion:sample_heun").thing.name == "kdiffusion:heun"


SAMPLERS = """
import torch


def sample_euler_of_mine(model, x, sigmas, extra_args=None, callback=None, disable=None, power=1.0):
    extra_args = {} if extra_args is None else extra_args
    for sigma, after in zip(sigmas[:-1], sigmas[1:]):
        denoised = model(x, sigma * x.new_ones([x.shape[0]]), **extra_args)
        x = denoised + (x - denoised) * (after / sigma)
    return x


def sample_twice(model, x, sigmas, extra_args=None, callback=None, disable=None):
    for sigma, after in zip(sigmas[:-1], sigmas[1:]):
        both = model(torch.cat([x, x]), sigma * x.new_ones([2 * x.shape[0]]))
        denoised = both[: len(x)]
        x = denoised + (x - denoised) * (after / sigma)
    return x


def sample_until_still(model, x, sigmas, extra_args=None, callback=None, disable=None):
    for sigma, after in zip(sigmas[:-1], sigmas[1:]):
        for _ in range(1 + int(x.abs().max() < 60)):
            denoised = model(x, sigma * x.new_ones([x.shape[0]]))
        x = denoised + (x - denoised) * (after / sigma)
    return x


def sample_short(model, x, sigmas, extra_args=None, callback=None, disable=None):
    return sample_euler_of_mine(model, x, sigmas[:-1])


def sample_levels(model, x, sigmas, extra_args=None, callback=None, disable=None):
    return model(x, torch.linspace(1, 2, x.shape[0])) if len(x) > 1 else model(x, sigmas[:1])


def wrong(model, noise, sigmas):
    return noise


number = 3
"""


@pytest.fixture(name="samplers")
def of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module of samplers, in a package that is on the path."""
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "samplers.py").write_text(SAMPLERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}.samplers"


def test_a_function_of_any_module_is_a_sampler(samplers: str) -> None:
    """Without k-diffusion: a user's Euler step is DDIM's."""
    solver = build(f"{samplers}.sample_euler_of_mine", steps=20, config="power=2.0")
    assert (solver.nfe(), solver.ends_clean, solver.couples_batch) == (20, True, False)
    model = context().model(mixture(), sde("vp"))
    theirs = context().trial(solver, sde("vp"), 20, prior(3), model=model)
    ours = context().trial(installed().build("predictors", "ddim", {}), sde("vp"), 20, prior(3),
                           model=context().model(mixture(), sde("vp")), grid="polynomial")  # fmt: skip
    assert theirs.calls == ours.calls == 20
    assert float((theirs.x - ours.x).norm() / ours.x.norm()) < 1e-8
    assert pickle.loads(pickle.dumps(solver)) == solver


def test_its_module_is_part_of_the_fingerprint(samplers: str, tmp_path: Path) -> None:
    member = type(build(f"{samplers}.sample_euler_of_mine"))
    before = code_hash(member)
    file = tmp_path / samplers.partition(".")[0] / "samplers.py"
    file.write_text(SAMPLERS.replace("after / sigma", "sigma / after"))
    assert before.complete
    assert code_hash(member).digest != before.digest


def test_states_of_doubled_batches_count_twice(samplers: str) -> None:
    solver = build(f"{samplers}.sample_twice", steps=6)
    assert solver.nfe() == 12
    trial = context().trial(solver, sde("vp"), 6, prior(3))
    assert trial.x.isfinite().all()


def test_a_number_of_calls_that_depends_on_the_data_is_refused_at_the_first_batch(samplers: str) -> None:
    """Its trial makes less calls than a run."""
    solver = build(f"{samplers}.sample_until_still", steps=6)
    with pytest.raises(BenchError, match=r"took \d+ network evaluations per sample, and \d+ in its trial"):
        sample(solver, "vp", 3)


def test_one_that_leaves_noise_takes_a_denoising_step(samplers: str) -> None:
    """It stops at the lowest level: the deviation there, of a point, is eps's own."""
    solver = build(f"{samplers}.sample_short", steps=10)
    law = sde("vp")
    assert not solver.ends_clean
    assert solver.end_level(law).sigma == pytest.approx(law.at(law.eps).sigma, rel=1e-6)
    model = context().model(mixture(), law)
    short = context().trial(solver, law, 10, prior(3), model=model, whole=True)
    full = context().trial(build(f"{samplers}.sample_euler_of_mine", steps=10), law, 10, prior(3),
                           model=context().model(mixture(), law))  # fmt: skip
    assert float((short.x - full.x).norm() / full.x.norm()) < 1e-8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}.sample_eular", "has no function 'sample_eular' (did you mean"),
        ("{}.number", "has no function 'number'"),
        ("{}.wrong", "its first arguments must be model, x, sigmas, not model, noise, sigmas"),
        ("no_such_module_here.sample_x", "no_such_module_here can't be imported: ModuleNotFoundError"),
        ("os.pa-th.f", "put module.function, names of letters, digits and _ with dots between"),
        (".sample", "put module.function, names of letters"),
        ("a..b", "put module.function, names of letters"),
        ("a.class.b", "put module.function, names of letters"),
    ],
)
def test_a_wrong_name_of_a_function_is_one_line(samplers: str, name: str, message: str) -> None:
    check_refused(f"kdiffusion:{name.format(samplers)}", {}, message)


def test_levels_that_differ_within_a_call_are_refused(samplers: str) -> None:
    solver = build(f"{samplers}.sample_levels", steps=6)
    with pytest.raises(BenchError, match="each call must be of whole batches at one level"):
        sample(solver, "vp", 3)


@needed
def test_from_run_to_table(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ("--samples", "8", "--batch-size", "8", "--sde", "vp", "-P", "solver.steps=6")
    assert bench("run", "--checkpoint", "gaussian-cifar10", "--solver", "kdiffusion:heun", *flags) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "NFE per sample 11" in out
    assert not [path.name for path in tmp_path.rglob("*") if set(path.name) & set(':<>"|?*\\')]
    assert bench("show", "kdiffusion:heun") == 0
    assert "s_churn=0.0" in capsys.readouterr().out


@pytest.mark.skipif(HERE, reason="k-diffusion is installed")
def test_the_error_of_a_missing_library_names_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("show",), ("run", "--solver"), ("check",)):
        assert bench(*command, "kdiffusion:heun") == 2
        message = capsys.readouterr().err
        assert "needs k_diffusion: it is not installed: in a clone of sampler-bench, pip install" in message
        assert "-e '.[kdiffusion]'" in message
        assert message.count("\n") == 1
