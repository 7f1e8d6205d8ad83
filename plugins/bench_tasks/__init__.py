"""Tasks: what a run does with a sampler."""

from bench import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    from bench_tasks.encode import Encode
    from bench_tasks.generate import Generate
    from bench_tasks.identifiability import Identifiability
    from bench_tasks.interpolate import Interpolate
    from bench_tasks.likelihood import Likelihood

    register(Generate)
    register(Likelihood)
    register(Encode)
    register(Identifiability)
    register(Interpolate)


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_tasks.latents import LatentCorrelation, LatentDifference, LatentFD
    from bench_tasks.means import BitsPerDim, RoundTrip

    register(BitsPerDim)
    register(RoundTrip)
    register(LatentFD)
    register(LatentCorrelation)
    register(LatentDifference)
