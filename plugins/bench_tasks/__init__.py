"""Tasks: what a run does with a sampler."""

from bench import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    from bench_tasks.colorize import Colorize
    from bench_tasks.generate import Generate
    from bench_tasks.inpaint import Inpaint

    register(Generate)
    register(Inpaint)
    register(Colorize)


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_tasks.conditional import ConditionalFd, KnownError

    register(ConditionalFd)
    register(KnownError)
