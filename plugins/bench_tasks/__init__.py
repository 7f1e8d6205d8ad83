"""Tasks: what a run does with a sampler, and what is measured of what they leave."""

from bench import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    from bench_tasks.colorize import Colorize
    from bench_tasks.class_conditional import ClassConditional
    from bench_tasks.generate import Generate
    from bench_tasks.inpaint import Inpaint

    register(Generate)
    register(Inpaint)
    register(Colorize)
    register(ClassConditional)


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_tasks.conditional import ConditionalFd, KnownError

    register(ConditionalFd)
    register(KnownError)
    from bench_tasks.class_metrics import ClassShare, ComponentShare, FdClass, FdComponent

    for metric in (ClassShare, ComponentShare, FdClass, FdComponent):
        register(metric)
