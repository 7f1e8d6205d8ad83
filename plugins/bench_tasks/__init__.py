"""Tasks: what a run does with a sampler."""

from bench import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    from bench_tasks.generate import Generate
    from bench_tasks.likelihood import Likelihood

    register(Generate)
    register(Likelihood)


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_tasks.means import BitsPerDim

    register(BitsPerDim)
