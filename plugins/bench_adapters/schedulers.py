"""Schedulers of diffusers by what their states are: made on an SDE, and their states and answers converted.

A *family* holds schedulers whose states are one kind of multiple of ``x0 + rho n``, ``rho = sigma / alpha``.
It makes a scheduler whose grid lies within the SDE, says which level a timestep stands for, and turns the
network's answer into what the scheduler asks of its own network.
"""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any

import numpy as np

from bench import SDE, Array, BenchError, Tensor, did_you_mean
from bench_adapters.common import import_library, quiet

TRAINED = 1000
"""Noise levels of the schedule that a scheduler receives."""
LOWEST = 3e-3
"""The smallest sigma / alpha of a schedule: its ``alpha_bar``, in float32, is still below 1."""
DISTILLED = "it needs a network that was distilled for it"
COSINE = "it makes the noise levels of a cosine itself, whatever the SDE (DDPMScheduler is the same method)"
TOKENS = "it samples discrete tokens, not images of real numbers"
UNFIT = {
    "LCMScheduler": DISTILLED,
    "TCDScheduler": DISTILLED,
    "FlowMatchLCMScheduler": DISTILLED,
    "FlowMapEulerDiscreteScheduler": DISTILLED,
    "CMStochasticIterativeScheduler": DISTILLED,
    "SCMScheduler": DISTILLED,
    "PiflowScheduler": DISTILLED,
    "HeliosDMDScheduler": DISTILLED,
    "HeliosScheduler": "it raises the resolution from stage to stage of its own network",
    "RFD4ProteinaScheduler": "it rescales the scores of its own network, of proteins, and so leaves the flow",
    "AmusedScheduler": TOKENS,
    "BlockRefinementScheduler": TOKENS,
    "DiscreteDDIMScheduler": TOKENS,
    "EntropyBoundScheduler": TOKENS,
    "VQDiffusionScheduler": TOKENS,
    "RePaintScheduler": "it fills in images",
    "DDIMInverseScheduler": "it runs from data to noise",
    "DPMSolverMultistepInverseScheduler": "it runs from data to noise",
    "ConsistencyDecoderScheduler": DISTILLED,
    "DDPMWuerstchenScheduler": COSINE,
    "UnCLIPScheduler": COSINE,
    "ScoreSdeVeScheduler": (
        "it has two methods, step_pred and step_correct, in place of one step (reverse_diffusion with the "
        "corrector langevin is the same method)"
    ),
    "ScoreSdeVpScheduler": (
        "it is kept among what is deprecated, and it has a method step_pred in place of step "
        "(euler_maruyama is the same method)"
    ),
    "KarrasVeScheduler": (
        "it is kept among what is deprecated, and its steps are parts of a pipeline of its own "
        "(heun with s_churn is the same method)"
    ),
}
"""Schedulers that do not sample these networks, and why."""
FEWEST = {("PNDMScheduler", False): 4, ("PNDMScheduler", True): 2, ("DPMSolverSDEScheduler", False): 2}
"""The least number of steps of a scheduler, without and with ``skip_prk_steps``."""


class Family:
    """Schedulers whose states are of one kind.

    Args:
        name: The scheduler's class name.
    """

    fixed: tuple[str, ...] = (
        "num_train_timesteps",
        "prediction_type",
        "use_dynamic_shifting",
        "time_shift_type",
    )
    """Settings that the adapter makes itself."""
    starts_in_noise = False
    """Whether its states have a limit at alpha = 0."""

    def __init__(self, name: str) -> None:
        self.name = name

    def settings(self, scheduler: Any) -> dict[str, Any]:
        """Settings that differ from the scheduler's defaults."""
        parameters = inspect.signature(scheduler.__init__).parameters
        plain = {"clip_sample": False, "thresholding": False}
        return {key: value for key, value in plain.items() if key in parameters}

    def make(self, scheduler: Any, ratios: Array, steps: int, settings: dict[str, Any]) -> Any:
        """The scheduler on noise levels, with its timesteps set.

        Args:
            scheduler: The class.
            ratios: sigma / alpha of `TRAINED` levels, ascending.
            steps: num_inference_steps.
            settings: Further settings.
        """
        raise NotImplementedError

    def start(self, scheduler: Any, ratio: float) -> float:
        """The factor from ``x0 / hypot(1, rho) + rho / hypot(1, rho) n`` at T to the scheduler's first state.

        Args:
            scheduler: The scheduler.
            ratio: rho at T. The noise of the first state is the scheduler's own, also where it leaves out T.
        """
        return float(scheduler.sigmas[0]) * math.hypot(1, 1 / ratio)

    def network_state(self, scaled: Tensor, sample: Tensor) -> Tensor:
        """Which of two tensors is the noisy data: ``scale_model_input``'s result or the state."""
        del scaled
        return sample

    def amplitude(self, ratio: float) -> float:
        """``sqrt(a^2 + b^2)`` of a state ``a x0 + b n`` of a level."""
        return math.hypot(1.0, ratio)

    def timestep_ratio(self, scheduler: Any, t: Any, ratios: Array) -> float:
        """sigma / alpha of the level that a timestep stands for."""
        del t, ratios
        return float(scheduler.sigmas[scheduler.step_index])

    def state_ratio(self, scheduler: Any, t: Any, ratios: Array) -> float:
        """sigma / alpha of the level that the scheduler's own arithmetic takes the state to have."""
        return self.timestep_ratio(scheduler, t, ratios)

    def output(self, scheduler: Any, state: Tensor, ratio: float, x0: Tensor) -> Tensor:
        """What the scheduler asks of its network, from the data that are expected.

        Args:
            scheduler: The scheduler, whose ``scale_model_input`` was called.
            state: The noisy data (B, ...), as the scheduler has it.
            ratio: sigma / alpha at which the answer is meant.
            x0: E[x0 | x] (B, ...).
        """
        raise NotImplementedError


class NoiseSchedule(Family):
    """States of unit variance ``sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) n``; the network predicts n.

    The scheduler receives betas whose ``alpha_bar`` are those of 1000 levels, and chooses its steps of these.
    Between two timesteps ln rho is linear.
    """

    fixed = (
        *Family.fixed, "trained_betas", "beta_start", "beta_end", "beta_schedule", "rescale_betas_zero_snr",
        "use_flow_sigmas", "flow_shift", "snr_shift_scale",
    )  # fmt: skip

    def settings(self, scheduler: Any) -> dict[str, Any]:
        parameters = inspect.signature(scheduler.__init__).parameters
        # CogVideoX's shift is of its own network
        plain = {"prediction_type": "epsilon", "snr_shift_scale": 1.0}
        return super().settings(scheduler) | {k: v for k, v in plain.items() if k in parameters}

    def make(self, scheduler: Any, ratios: Array, steps: int, settings: dict[str, Any]) -> Any:
        built = scheduler(trained_betas=betas_of(ratios), num_train_timesteps=len(ratios), **settings)
        built.set_timesteps(steps)
        return built

    def network_state(self, scaled: Tensor, sample: Tensor) -> Tensor:
        del sample
        return scaled

    def start(self, scheduler: Any, ratio: float) -> float:
        spherical = float(scheduler.init_noise_sigma) == 1
        return 1.0 if spherical else super().start(scheduler, ratio)

    def amplitude(self, ratio: float) -> float:
        return 1.0

    def timestep_ratio(self, scheduler: Any, t: Any, ratios: Array) -> float:
        del scheduler
        return math.exp(np.interp(float(t), np.arange(len(ratios)), np.log(ratios)))

    def state_ratio(self, scheduler: Any, t: Any, ratios: Array) -> float:
        """Multistep solvers move on ``sigmas``, and round the timesteps that belong to them."""
        sigmas, index = getattr(scheduler, "sigmas", None), getattr(scheduler, "step_index", None)
        if sigmas is None or t.is_floating_point():
            return self.timestep_ratio(scheduler, t, ratios)
        return float(sigmas[index or 0])

    def output(self, scheduler: Any, state: Tensor, ratio: float, x0: Tensor) -> Tensor:
        return _noise(state, ratio, x0)


class EDM(Family):
    """States ``x0 + sigma n``; the network's answer F is what ``c_skip x + c_out F`` makes E[x0 | x] of.

    Sigmas go from the SDE's rho at T to that at eps, spaced by the scheduler's rule.

    Source: Karras et al. (2022), Table 1.
    """

    fixed = (*Family.fixed, "sigma_min", "sigma_max")

    def make(self, scheduler: Any, ratios: Array, steps: int, settings: dict[str, Any]) -> Any:
        built = scheduler(sigma_min=float(ratios[0]), sigma_max=float(ratios[-1]), **settings)
        built.set_timesteps(steps)
        return built

    def output(self, scheduler: Any, state: Tensor, ratio: float, x0: Tensor) -> Tensor:
        one = state.new_ones(())
        skip = float(scheduler.precondition_outputs(one, 0 * one, ratio))
        out = float(scheduler.precondition_outputs(0 * one, one, ratio))
        return (x0 - skip * state) / out


class FlowMatching(Family):
    """States ``(1 - s) x0 + s n``; the network predicts the velocity ``n - x0``.

    The grid goes from the SDE's ``s = rho / (1 + rho)`` at T to that at eps: the scheduler's own rule between
    two ends, whose shift is applied once and leaves the ends where they are.

    Source: Lipman et al. (2023), eq. 20, with time reversed.
    """

    fixed = (
        *Family.fixed,
        "base_shift",
        "max_shift",
        "base_image_seq_len",
        "max_image_seq_len",
        "invert_sigmas",
    )
    starts_in_noise = True

    def make(self, scheduler: Any, ratios: Array, steps: int, settings: dict[str, Any]) -> Any:
        built = scheduler(**settings)
        shift = float(getattr(built, "shift", built.config.get("shift", 1.0)))
        low, high = (_unshifted(_share(ratio), shift) for ratio in ratios[[0, -1]])
        if self.name == "MiniMaxH3Scheduler":
            # its own rule, even steps to 0, as long as the last level before 0 is not below eps
            grid = np.linspace(high, max(high / steps, low), steps)
            built.set_timesteps(sigmas=[*(shift * grid / (1 + (shift - 1) * grid)).tolist(), 0.0])
        elif self.name == "LTXEulerAncestralRFScheduler":
            built.set_timesteps(sigmas=[*np.linspace(high, low, steps).tolist(), 0.0])
            built.timesteps = built.timesteps[:-1]
        else:
            built.sigma_max, built.sigma_min = high, low
            built.set_timesteps(steps)
        return built

    def start(self, scheduler: Any, ratio: float) -> float:
        return math.hypot(1, 1 / ratio) * self._share_of(scheduler, scheduler.timesteps[0])

    def amplitude(self, ratio: float) -> float:
        share = _share(ratio)
        return math.hypot(share, 1 - share)

    def timestep_ratio(self, scheduler: Any, t: Any, ratios: Array) -> float:
        share = self._share_of(scheduler, t)
        return share / (1 - share) if share < 1 else math.inf

    def output(self, scheduler: Any, state: Tensor, ratio: float, x0: Tensor) -> Tensor:
        velocity = (state - x0) / _share(ratio)
        return -velocity if self.name == "MiniMaxH3Scheduler" else velocity

    def _share_of(self, scheduler: Any, t: Any) -> float:
        if self.name == "MiniMaxH3Scheduler":  # t = 1 is clean data
            return 1 - float(t)
        return float(t) / int(scheduler.config.num_train_timesteps)


class ImprovedPNDM(Family):
    """States ``sqrt(1 - beta^2) x0 + beta n``; the network predicts ``sqrt(1 - beta^2) n - beta x0``.

    ``trained_betas`` are here the sigmas of a run's steps, at times evenly spread from T to eps, and zero.
    """

    fixed = (*Family.fixed, "trained_betas")

    def make(self, scheduler: Any, ratios: Array, steps: int, settings: dict[str, Any]) -> Any:
        places = np.linspace(len(ratios) - 1, 0, steps)
        chosen = np.exp(np.interp(places, np.arange(len(ratios)), np.log(ratios)))
        betas = chosen / np.hypot(1, chosen)
        built = scheduler(trained_betas=[*betas.tolist(), 0.0], **settings)
        built.set_timesteps(steps)
        return built

    def start(self, scheduler: Any, ratio: float) -> float:
        return 1.0

    def amplitude(self, ratio: float) -> float:
        return 1.0

    def timestep_ratio(self, scheduler: Any, t: Any, ratios: Array) -> float:
        return math.tan(float(t) * math.pi / 2)

    def output(self, scheduler: Any, state: Tensor, ratio: float, x0: Tensor) -> Tensor:
        return (_noise(state, ratio, x0) - ratio * x0) / math.hypot(1, ratio)


FAMILIES: dict[str, type[Family]] = {
    "IPNDMScheduler": ImprovedPNDM,
    "EDMEulerScheduler": EDM,
    "EDMDPMSolverMultistepScheduler": EDM,
    "CosineDPMSolverMultistepScheduler": EDM,
    "FlowMatchEulerDiscreteScheduler": FlowMatching,
    "FlowMatchHeunDiscreteScheduler": FlowMatching,
    "LTXEulerAncestralRFScheduler": FlowMatching,
    "MiniMaxH3Scheduler": FlowMatching,
}
"""Families of schedulers; one with ``trained_betas`` is a `NoiseSchedule` where none is named."""


@functools.cache  # to list diffusers' names takes milliseconds, and a run asks some hundred times
def scheduler_class(name: str) -> Any:
    """The scheduler's class; `BenchError` where diffusers has none of that name, or is not installed."""
    diffusers = import_library("diffusers", "diffusers")
    diffusers.utils.logging.set_verbosity_error()
    names = [n for n in dir(diffusers) if n.endswith("Scheduler")]
    if name not in names:
        hint = did_you_mean(f"{name.removesuffix('Scheduler')}Scheduler", names, "its manual")
        raise BenchError(f"diffusers has no scheduler {name!r}{hint}")
    with quiet():
        return getattr(diffusers, name)


def family_of(name: str) -> Family:
    """The scheduler's family; `BenchError` with the reason where it samples none of these networks."""
    if name in FAMILIES:
        return FAMILIES[name](name)
    reason = UNFIT.get(name, "")
    if not reason and "trained_betas" not in inspect.signature(scheduler_class(name).__init__).parameters:
        reason = "what its states and its network's answers are is not known here"
    if reason:
        raise BenchError(f"diffusers:{name} can't sample these networks: {reason}")
    return NoiseSchedule(name)


def sigma_ratios(sde: SDE, lowest: float = 0.0) -> Array:
    """sigma / alpha of `TRAINED` levels at times evenly spread from eps, or from a ratio, to T; ascending."""
    start = max(sde.eps, sde.level_at(lowest).t) if lowest else sde.eps
    t = np.linspace(start, sde.end, TRAINED)
    with np.errstate(divide="ignore"):  # infinite where alpha = 0
        ratios: Array = sde.sigma(t) / sde.alpha(t)
    return ratios


def betas_of(ratios: Array) -> list[float]:
    """The betas of a variance-preserving chain with these sigma / alpha."""
    alpha_bar = 1 / (1 + ratios**2)
    return [float(b) for b in 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])]


def _noise(state: Tensor, ratio: float, x0: Tensor) -> Tensor:
    """n of ``(x0 + rho n) / hypot(1, rho)``."""
    return (state * math.hypot(1, ratio) - x0) / ratio


def _share(ratio: float) -> float:
    """s of ``(1 - s) x0 + s n``."""
    return float(ratio / (1 + ratio)) if math.isfinite(ratio) else 1.0


def _unshifted(share: float, shift: float) -> float:
    """The s that the shift ``s -> shift s / (1 + (shift - 1) s)`` maps to this one."""
    return share / (shift - (shift - 1) * share)
