"""How far a wrong plant is from what is right, each as one number that is 0 for a right one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

from bench import Corrector, FlowSolver, Prediction, Predictor, Sampler, Solver, Step, Tensor
from bench.diffusion.counting import counted_evaluations
from bench.testing.probe import CountedNoise, Part
from tests.support.analytic import grid_of, sde
from tests.support.plugins import installed
from tests.testing.plants.right_correctors import Langevin
from tests.testing.plants.stage import ddim, exact_flow, gaussian, mixture, samples, starts


def rms(x: Tensor, truth: Tensor) -> float:
    """Root mean square of the difference over the truth's deviation."""
    return float((x - truth).square().mean().sqrt() / truth.std())


def distance(part: Part, twin: Part, **scene: Any) -> float:
    """From the twin's samples of the same noise, in deviations."""
    return rms(samples(part, **scene), samples(twin, **scene))


def covariance(part: Part, twin: Part, **scene: Any) -> float:
    """Largest change of a correlation between numbers of one sample, or of two, beside the twin's."""
    tables = []
    for one in (part, twin):
        x = samples(one, gaussian, batch=256, **scene).flatten(1)
        within = torch.corrcoef(x.T) - torch.eye(x.shape[1])
        between = torch.corrcoef(x - x.mean(1, keepdim=True))[:16, :16] - torch.eye(16)
        tables.append(max(float(within.abs().max()), float(between.mean().abs())))
    return tables[0] - tables[1]


def error_at_rate(part: Part, twin: Part, **scene: Any) -> float:
    """Order declared by the plant, less the one that its error falls with from 80 to 320 steps."""
    del twin
    exact = exact_flow(sde("vp"), starts(4))
    errors = []
    for n in (80, 320):
        variant = type(part).build({"steps": n}) if "steps" in part.values() else part
        errors.append(rms(samples(variant, gaussian, steps=n, **scene), exact))
    assert part.convergence_order is not None
    return part.convergence_order - math.log(errors[0] / errors[1]) / math.log(4)


def error_on_the_mixture(part: Part, twin: Part, **scene: Any) -> float:
    """As `error_at_rate`, from 40 to 160 steps, to the mixture's flow by RK45 at tolerance 1e-9."""
    del twin
    exact = samples(installed().build("solvers", "rk45", {"tol": 1e-9}))
    errors = [rms(samples(part, steps=n, **scene), exact) for n in (40, 160)]
    assert part.convergence_order is not None
    return part.convergence_order - math.log(errors[0] / errors[1]) / math.log(4)


def beside_moves(part: Part, twin: Part, **scene: Any) -> float:
    """Distance from the twin's samples, both beside Langevin moves."""
    run, results = sde("vp"), []
    for one in (part, twin):
        assert isinstance(one, Predictor)
        sampler = Sampler(run, one, Langevin(), steps=12, grid=grid_of("polynomial"))
        p = Prediction(mixture(run), run)
        results.append(sampler.run(starts(4), p, CountedNoise(3), CountedNoise(4)))
    del scene
    return rms(*results)


def not_finite(part: Part, twin: Part, **scene: Any) -> float:
    """Infinity where a number of the samples is not finite, and else 0."""
    del twin
    return 0.0 if bool(samples(part, **scene).isfinite().all()) else math.inf


def way_up(part: Part, twin: Part, **scene: Any) -> float:
    """From the Gaussian's quantiles at T, after the flow was integrated from eps to T."""
    del twin, scene
    run = sde("vp")
    data, p = gaussian(run).data, Prediction(gaussian(run), run)
    assert isinstance(part, FlowSolver)
    states = [
        level.alpha * float(data.mean.flat[0])
        + (level.alpha**2 * float(data.variance.flat[0]) + level.sigma**2) ** 0.5 * starts(4)
        for level in (run.at(run.eps), run.at(run.end))
    ]
    return rms(part.integrate(lambda t, y: p.velocity(y, t), states[0], run.eps, run.end), states[1])


def larger_error(part: Part, twin: Part, **scene: Any) -> float:
    """Error over the twin's on the Gaussian, less 1."""
    exact = exact_flow(sde("vp"), starts(4))
    one, other = (rms(samples(plant, gaussian, **scene), exact) for plant in (part, twin))
    return one / other - 1


def calls(part: Part, twin: Part, *, steps: int = 12, **scene: Any) -> float:
    """Network calls past those that the plant declares, whoever counts them."""
    del twin, scene
    run = sde("vp")
    model = CallsOfTheTables(run)
    p = Prediction(model, run)
    samples(part, p=p, steps=steps)
    if isinstance(part, Solver):
        return abs(model.calls - 1 + part.ends_clean - (part.nfe() or 0))
    if isinstance(part, Predictor):
        sampler = Sampler(run, part, steps=steps, grid=grid_of("polynomial"))
        return abs(model.calls - (part.nfe(sampler.schedule()) or 0))
    assert isinstance(part, Corrector)
    return abs(model.calls - steps - steps * part.calls)


class CallsOfTheTables(type(mixture(sde("vp")))):  # type: ignore[misc]
    """The mixture, which counts in the method that every answer goes through."""

    def __init__(self, run: Any) -> None:
        self.__dict__.update(mixture(run).__dict__)
        self.calls = 0

    def _at(self, *args: Any) -> Any:
        self.calls += 1
        return super()._at(*args)


def past_the_prediction(part: Part, twin: Part, **scene: Any) -> float:
    """Evaluations that the run's prediction knows nothing of."""
    del twin
    run = sde("vp")
    p = Prediction(mixture(run), run)
    with counted_evaluations() as evaluations:
        samples(part, p=p, batch=1, **scene)
    return evaluations.count - p.calls


def leak(part: Part, twin: Part, **scene: Any) -> float:
    """Between the first batch and the same one once more, with another between."""
    del twin
    first = samples(part, **scene)
    for _ in range(40):
        samples(part, start=starts(4, seed=9), **scene)
    return rms(samples(part, **scene), first)


def chance(part: Part, twin: Part, **scene: Any) -> float:
    """Between runs of one seed with other states of the global generators."""
    import random

    del twin
    results = []
    state, torch_state = random.getstate(), torch.random.get_rng_state()
    for seed in (1, 2):
        random.seed(seed)
        torch.manual_seed(seed)
        results.append(samples(part, **scene))
    random.setstate(state)
    torch.random.set_rng_state(torch_state)
    return rms(*results)


def deaf(part: Part, twin: Part, **scene: Any) -> float:
    """Share of the twin's difference between two seeds that the plant lacks."""
    own, right = (
        rms(samples(plant, seed=1, **scene), samples(plant, seed=11, **scene)) for plant in (part, twin)
    )
    return 1 - own / right


def draws(part: Part, twin: Part, **scene: Any) -> float:
    """Between two seeds."""
    del twin
    return rms(samples(part, seed=1, **scene), samples(part, seed=11, **scene))


def coupling(part: Part, twin: Part, **scene: Any) -> float:
    """Between samples of a batch of 8 and the same samples one by one, without noise."""
    del twin
    start = starts(8)
    alone = torch.cat([samples(part, start=start[i : i + 1], **scene) for i in range(8)])
    return rms(samples(part, start=start, **scene), alone)


def bend(part: Part, twin: Part, **scene: Any) -> float:
    """Off superposition on the Gaussian: 3 starts and 2 noises beside thrice and twice the results of one."""
    del twin, scene
    assert isinstance(part, Predictor)
    run = sde("vp")
    sampler = Sampler(run, part, steps=9, grid=grid_of("polynomial"))

    def result(start: float, factor: float) -> Tensor:
        own = CountedNoise(draw=lambda count, _: factor * starts(2, seed=20 + count))
        return sampler.run(start * starts(2), Prediction(gaussian(run), run), own, own)

    zero, of_start, of_noise = result(0, 0), result(1, 0), result(0, 1)
    return rms(result(3, 2), zero + 3 * (of_start - zero) + 2 * (of_noise - zero))


def channel_correlation(part: Part, twin: Part, **scene: Any) -> float:
    """Of a corrector's noise in two channels; that of 4096 independent pairs scatters by 1/64."""
    del twin, scene
    run = sde("vp")
    step = Sampler(run, ddim(), steps=9, grid=grid_of("polynomial")).schedule()[4]
    assert isinstance(part, Corrector)
    update = part.step(starts(256), step, Prediction(gaussian(run), run), CountedNoise(1))
    z = update.x - update.mean
    return float((z[:, 0] * z[:, 1]).mean() / z.square().mean())


def drift(part: Part, twin: Part, **scene: Any) -> float:
    """Change of a step's mean beside the twin's, for states between the mixture's modes at sigma = alpha / 2.

    The mean is that over the step's noise, in the direction from mode to mode.
    """
    del scene
    run, moves = sde("vp"), []
    schedule = Sampler(run, ddim(), steps=40, grid=grid_of("polynomial")).schedule()
    step = min(schedule, key=lambda one: abs(math.log(2 * one.sigma / one.alpha)))
    first, second = torch.from_numpy(mixture(run).data.mean)
    place = torch.linspace(0.1, 0.9, 9, dtype=torch.float64).view(9, 1, 1, 1)
    x = (step.alpha * (first + place * (second - first))).repeat_interleave(512, 0)
    for one in (part, twin):
        args = (x, step, Prediction(mixture(run), run), CountedNoise(1))
        update = one.step(*args) if isinstance(one, Corrector) else one.step(*args, None)  # type: ignore[union-attr]
        moves.append(((update.mean - x) * (second - first)).flatten(1).sum(1).view(9, 512).mean(1))
    return float((moves[0] - moves[1]).norm() / moves[1].norm())


def overwriting(part: Part, twin: Part, **scene: Any) -> float:
    """Change of the state that a step got."""
    del twin, scene
    assert isinstance(part, Predictor)
    run = sde("vp")
    step = Sampler(run, part, steps=9, grid=grid_of("polynomial")).schedule()[4]
    x = starts(2)
    part.step(x, step, Prediction(gaussian(run), run), CountedNoise(1), None)
    return rms(x, starts(2))


def at_last_level(part: Part, twin: Part, **scene: Any) -> float:
    """A corrector's noise at the last level beside the twin's, less 1, in absolute value."""
    del scene
    run = sde("vp")
    step = Sampler(run, ddim(), steps=9, grid=grid_of("polynomial")).schedule()[-1]
    sizes = []
    for one in (part, twin):
        assert isinstance(one, Corrector)
        update = one.step(starts(2), step, Prediction(gaussian(run), run), CountedNoise(1))
        sizes.append(float((update.x - update.mean).norm()))
    return abs(sizes[0] / sizes[1] - 1)


def noise_in_mean(part: Part, twin: Part, **scene: Any) -> float:
    """Between the means of two last steps of other noise."""
    del twin, scene
    run = sde("vp")
    predictor = part if isinstance(part, Predictor) else ddim()
    step = Sampler(run, predictor, steps=9, grid=grid_of("polynomial")).schedule()[-1]
    means = []
    for seed in (1, 2):
        args = (starts(2), step, Prediction(gaussian(run), run), CountedNoise(seed))
        update = part.step(*args) if isinstance(part, Corrector) else part.step(*args, None)  # type: ignore[union-attr]
        means.append(update.mean)
    return rms(*means)


def wrong_time(part: Part, twin: Part, **scene: Any) -> float:
    """Largest relative difference between the t of a level asked and the time at which it has its sigma."""
    del twin
    run = sde("vp")
    off: list[float] = []

    class Watching(type(mixture(run))):  # type: ignore[misc]
        def denoised(self, x: Tensor, level: Any) -> Tensor:
            off.append(abs(level.t / run.level_at(level.sigma / level.alpha).t - 1))
            return super().denoised(x, level)  # type: ignore[no-any-return]

    model = Watching.__new__(Watching)
    model.__dict__.update(mixture(run).__dict__)
    samples(part, p=Prediction(model, run), **scene)
    return max(off)


def chain_reading(part: Part, twin: Part, **scene: Any) -> float:
    """Difference on the uniform grid, where the published chain has g of its own."""
    return distance(part, twin, grid="uniform", **scene)


def after_a_tiny_step(part: Part, twin: Part, **scene: Any) -> float:
    """Error over the twin's of a step of 0.2 in ln r that follows one of 0.002, less 1.

    Where steps change by bounded factors, the mistake of an inverted ratio, ``(h_1^2 - h^2) / 2`` times a
    slope, sums to what the ends leave: its order is 2 all the same. After a tiny step it is Euler's.
    """
    del scene
    run = sde("vp")
    data = gaussian(run).data
    mean, variance = float(data.mean.flat[0]), float(data.variance.flat[0])
    path = [run.level_at(math.exp(-u)) for u in (0.0, 0.002, 0.202)]
    marginals = [(one.alpha * mean, one.alpha**2 * variance + one.sigma**2) for one in path]
    quantile, errors = starts(4), []
    for predictor in (part, twin):
        assert isinstance(predictor, Predictor)
        x, state = marginals[0][0] + marginals[0][1] ** 0.5 * quantile, None
        for level, end in itertools.pairwise(path):
            ends = {"t_next": end.t, "alpha_next": end.alpha, "sigma_next": end.sigma, "dt": level.t - end.t}
            step = Step(level.t, level.alpha, level.sigma, steps=3, **ends)  # type: ignore[arg-type]
            x, _, state = predictor.step(x, step, Prediction(gaussian(run), run), CountedNoise(), state)
        errors.append(rms(x, marginals[2][0] + marginals[2][1] ** 0.5 * quantile))
    return errors[0] / errors[1] - 1
