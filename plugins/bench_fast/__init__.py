"""Samplers of few network calls: DDIM, Euler, Heun, DPM-Solver++, UniPC, DEIS, iPNDM.

They follow the run's own time grid, ``--grid``.
"""

from bench import Register, hookimpl


@hookimpl
def register_predictors(register: Register) -> None:
    from bench_fast.ddim import DDIM
    from bench_fast.deis import DEIS
    from bench_fast.dpmpp import DPMpp2M, DPMpp3M
    from bench_fast.euler import Euler
    from bench_fast.heun import Heun
    from bench_fast.ipndm import IPNDM
    from bench_fast.unipc import UniPC

    for predictor in (DDIM, Euler, Heun, DPMpp2M, DPMpp3M, UniPC, DEIS, IPNDM):
        register(predictor)
