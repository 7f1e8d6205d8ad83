"""Time grids: even in time or in a function of it, even in a function of sigma / alpha, and lists."""

from bench import Register, UniformGrid, hookimpl


@hookimpl
def register_grids(register: Register) -> None:
    from bench_grids.levels import AlignYourSteps, LogSNR, Polynomial, Sigmas
    from bench_grids.quantiles import Beta, LogitNormal
    from bench_grids.times import Quadratic, Shift, TimeUniform

    register(UniformGrid)
    for even in (TimeUniform, Quadratic, Shift):
        register(even)
    for quantiles in (Beta, LogitNormal):
        register(quantiles)
    for levels in (LogSNR, Polynomial, Sigmas, AlignYourSteps):
        register(levels)
