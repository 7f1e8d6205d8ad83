"""Samplers of few network calls, by the probability flow or the reverse SDE.

They follow the run's own time grid, ``--grid``.
"""

from bench import Predictor, Register, hookimpl


@hookimpl
def register_predictors(register: Register) -> None:
    from bench_fast.ancestral import EulerAncestral
    from bench_fast.ddim import DDIM
    from bench_fast.deis import DEIS
    from bench_fast.dpmpp import DPMpp2M, DPMpp3M
    from bench_fast.dpmpp_sde import DPMpp2MSDE, DPMpp3MSDE
    from bench_fast.er_sde import ERSDE
    from bench_fast.euler import Euler
    from bench_fast.gradient_estimation import GradientEstimation
    from bench_fast.heun import Heun
    from bench_fast.ipndm import IPNDM, IPNDMv
    from bench_fast.res import RESMultistep
    from bench_fast.restart import Restart
    from bench_fast.sa_solver import SASolver
    from bench_fast.seeds import SEEDS
    from bench_fast.singlestep import DPMpp2S, DPMSolver2, DPMSolver3
    from bench_fast.stork import STORK
    from bench_fast.unipc import UniPC

    predictors: list[type[Predictor]] = [DDIM, Euler, Heun, DPMpp2M, DPMpp3M, UniPC, DEIS, IPNDM, IPNDMv]
    predictors += [DPMSolver2, DPMSolver3, DPMpp2S, RESMultistep, GradientEstimation, STORK]
    predictors += [EulerAncestral, DPMpp2MSDE, DPMpp3MSDE, ERSDE, SASolver, SEEDS, Restart]
    for predictor in predictors:
        register(predictor)
