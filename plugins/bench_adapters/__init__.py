"""Samplers of other libraries, unchanged: ``diffusers:<SchedulerClass>``, ``kdiffusion:<function>``."""

from bench import Register, hookimpl


@hookimpl
def register_solvers(register: Register) -> None:
    from bench_adapters.diffusers import Diffusers
    from bench_adapters.kdiffusion import KDiffusion

    register(Diffusers)
    register(KDiffusion)
