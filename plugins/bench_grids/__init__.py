"""Time grids: even in time or in a function of it, even in a function of sigma / alpha, and lists."""

from bench import Register, UniformGrid, hookimpl


@hookimpl
def register_grids(register: Register) -> None:
    from bench_grids.levels import AlignYourSteps, LogSNR, Polynomial, Sigmas
    from bench_grids.quantiles import Beta, LogitNormal
    from bench_grids.times import Quadratic, Shift, TimeUniform

    for grid in (UniformGrid, TimeUniform, Quadratic, Shift, Beta, LogitNormal):
        register(grid)
    for grid in (LogSNR, Polynomial, Sigmas, AlignYourSteps):
        register(grid)
