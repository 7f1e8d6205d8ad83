"""SDEs, predictors and correctors of Song et al. (2021)."""

from bench import Register, hookimpl


@hookimpl
def register_sdes(register: Register) -> None:
    from bench_score_sde.flow import Flow, FlowCosine
    from bench_score_sde.sdes import VE, VP, SubVP
    from bench_score_sde.ve_exp import VEExp
    from bench_score_sde.vp_cosine import VPCosine

    for sde in (VE, VP, SubVP, VEExp, VPCosine, Flow, FlowCosine):
        register(sde)


@hookimpl
def register_predictors(register: Register) -> None:
    from bench_score_sde import predictors

    register(predictors.EulerMaruyama)
    register(predictors.ReverseDiffusion)
    register(predictors.Ancestral)
    register(predictors.ProbabilityFlow)
    register(predictors.NoPredictor)


@hookimpl
def register_correctors(register: Register) -> None:
    from bench_score_sde.correctors import AnnealedLangevin, Langevin, NoCorrector

    for corrector in (Langevin, AnnealedLangevin, NoCorrector):
        register(corrector)
