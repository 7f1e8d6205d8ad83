"""Samplers of other libraries, unchanged: ``diffusers:<SchedulerClass>``, ``kdiffusion:<function>``,
``azula:<Sampler>``."""

from bench import Register, hookimpl


@hookimpl
def register_solvers(register: Register) -> None:
    from bench_adapters.azula import Azula
    from bench_adapters.diffusers import Diffusers
    from bench_adapters.kdiffusion import KDiffusion

    register(Azula)
    register(Diffusers)
    register(KDiffusion)
