"""Tasks: what a run does with a sampler."""

from bench import Register, hookimpl


@hookimpl
def register_tasks(register: Register) -> None:
    from bench_tasks.generate import Generate

    register(Generate)
