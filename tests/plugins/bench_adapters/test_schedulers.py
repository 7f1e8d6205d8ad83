"""Families of schedulers: which are taken and why others are not, and what each calls its states."""

from __future__ import annotations

import csv
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from bench import BenchError
from bench_adapters.schedulers import UNFIT, betas_of, family_of, scheduler_class, sigma_ratios
from tests.support import adapted
from tests.support.analytic import sde
from tests.support.pages import page
from tests.support.paths import ROOT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers", reason="diffusers, a test dependency, is not installed")

SCHEDULERS = [name for name in dir(diffusers) if name.endswith("Scheduler")]


def refusal_of(name: str) -> str:
    """Why a scheduler is not taken, or nothing."""
    try:
        adapted.build(f"diffusers:{name}")
    except BenchError as error:
        return str(error)
    return ""


def test_those_that_run_and_those_that_can_not() -> None:
    taken = {name for name in SCHEDULERS if not refusal_of(name)}
    assert {
        "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
        "DPMSolverSDEScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
        "HeunDiscreteScheduler", "LMSDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
        "EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "CosineDPMSolverMultistepScheduler",
        "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "LTXEulerAncestralRFScheduler",
        "MiniMaxH3Scheduler", "IPNDMScheduler", "CogVideoXDDIMScheduler", "CogVideoXDPMScheduler",
    } <= taken  # fmt: skip
    assert "it needs a network that was distilled for it" in refusal_of("LCMScheduler")
    assert "it samples discrete tokens" in refusal_of("VQDiffusionScheduler")
    assert "DDPMScheduler is the same method" in refusal_of("UnCLIPScheduler")
    assert "euler_maruyama is the same method" in refusal_of("ScoreSdeVpScheduler")


def test_the_schedulers_of_a_cosine_take_the_step_of_ddpm() -> None:
    """What their refusal says: UnCLIP's and Wuerstchen's mean and noise are DDPM's on their levels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cosine = {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False}
        ddpm = diffusers.DDPMScheduler(variance_type="fixed_small", **cosine)
        unclip = diffusers.UnCLIPScheduler(clip_sample=False)
        wuerstchen = diffusers.DDPMWuerstchenScheduler()
    assert unclip.alphas_cumprod == pytest.approx(ddpm.alphas_cumprod)
    x, answer = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()

    def step(scheduler: Any, t: Any, **arguments: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        result: torch.Tensor = scheduler.step(answer, t, x, generator=generator, **arguments).prev_sample
        return result

    ddpm.set_timesteps(10)
    t, before = (int(one) for one in ddpm.timesteps[4:6])
    assert step(unclip, t, prev_timestep=before) == pytest.approx(step(ddpm, t), rel=1e-4, abs=1e-5)
    wuerstchen.set_timesteps(10)
    own, after = wuerstchen.timesteps[4:6]
    levels = [float(wuerstchen._alpha_cumprod(one, x.device)) for one in (own, after)]
    ddpm.alphas_cumprod[[t, before]] = torch.tensor(levels)
    assert step(wuerstchen, own[None]) == pytest.approx(step(ddpm, t), rel=1e-4, abs=1e-5)


def test_each_refusal_has_a_reason_of_its_own() -> None:
    """All of this version are known: none is refused for want of knowledge."""
    refused = {name: refusal_of(name) for name in SCHEDULERS if refusal_of(name)}
    assert all(UNFIT[name] in reason for name, reason in refused.items())
    assert not any("it takes no noise schedule" in reason for reason in refused.values())


def test_every_scheduler_has_a_line_of_the_table_or_a_reason_on_the_page() -> None:
    refused = {name for name in SCHEDULERS if refusal_of(name)}
    with (ROOT / "results" / "reference" / "schedulers.csv").open(newline="") as file:
        measured = {row["sampler"] for row in csv.DictReader(file) if row["library"] == "diffusers"}
    assert measured == {name.removesuffix("Scheduler") for name in set(SCHEDULERS) - refused}
    table = page("docs/schedulers.md").split("| it | schedulers |\n|---|---|\n")[1].split("\n\n")[0]
    reasons = {}
    for line in table.splitlines():
        reason, names = line.strip("| ").split(" | ")
        reasons.update({f"{name}Scheduler": f"it {reason}" for name in names.split(", ")})
    assert reasons == {name: UNFIT[name] for name in refused}


def test_betas_are_those_of_the_levels() -> None:
    ratios = sigma_ratios(sde("vp"), 3e-3)
    alpha_bar = np.cumprod(1 - np.array(betas_of(ratios)))
    assert np.sqrt((1 - alpha_bar) / alpha_bar) == pytest.approx(ratios, rel=1e-8)
    assert ratios[-1] == pytest.approx(sde("vp").sigma(np.array(1.0)) / sde("vp").alpha(np.array(1.0)))


@pytest.mark.parametrize("name", ["DDIMScheduler", "EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler",
                                  "MiniMaxH3Scheduler", "IPNDMScheduler"])  # fmt: skip
def test_the_first_state_is_at_t_and_the_answer_is_what_gives_the_data(name: str) -> None:
    """With E[x0 | x] = 0.3 one step from T to 0 gives 0.3, whatever the state's form."""
    law, family = sde("vp"), family_of(name)
    ratios = sigma_ratios(law, 3e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = {"timestep_spacing": "trailing"} if name == "DDIMScheduler" else {}
        settings = family.settings(scheduler_class(name)) | config
        scheduler = family.make(scheduler_class(name), ratios, 1, settings)
        t = scheduler.timesteps[0]
        top = float(ratios[-1])
        x = torch.tensor([[[[(0.3 + top * 0.7) / math.hypot(1, top)]]]], dtype=torch.float64)
        sample = x * family.start(scheduler, top)
        scaled = scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else sample
        ratio = family.timestep_ratio(scheduler, t, ratios)
        assert ratio == pytest.approx(top, rel=1e-3)
        state = family.network_state(scaled, sample)
        assert float(state) == pytest.approx(family.amplitude(top) * float(x), rel=1e-4)
        output = family.output(scheduler, state, ratio, torch.full_like(state, 0.3))
        assert float(scheduler.step(output, t, sample).prev_sample) == pytest.approx(0.3, abs=2e-3)


def test_minimax_keeps_its_rule_until_a_level_would_lie_below_eps() -> None:
    """Even steps to 0 before the shift; in more of them, even ones to eps, and one to 0."""
    family, scheduler = family_of("MiniMaxH3Scheduler"), scheduler_class("MiniMaxH3Scheduler")
    ratios = sigma_ratios(sde("vp", eps=0.5))
    shares = ratios[[0, -1]] / (1 + ratios[[0, -1]])
    for steps, within in ((3, False), (200, True)):
        sigmas = family.make(scheduler, ratios, steps, {}).sigmas.double().numpy()
        even = sigmas / (12 - 11 * sigmas)
        assert (len(sigmas), sigmas[-1]) == (steps + 1, 0)
        # numbers of float32
        assert sigmas[0] == pytest.approx(shares[1], rel=1e-6)
        np.testing.assert_allclose(np.diff(even[:-1], 2), 0, atol=1e-5)
        last = shares[0] / (12 - 11 * shares[0]) if within else even[0] / steps
        assert even[-2] == pytest.approx(last, rel=1e-4)
