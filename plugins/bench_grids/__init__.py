"""Time grids: even in time or in a function of it, even in a function of sigma / alpha, and lists."""

from bench import Grid, Register, UniformGrid, hookimpl


@hookimpl
def register_grids(register: Register) -> None:
    from bench_grids.levels import AlignYourSteps, LogSNR, Polynomial, Sigmas
    from bench_grids.quantiles import Beta, LogitNormal
    from bench_grids.times import Quadratic, Shift, TimeUniform

    times: tuple[type[Grid], ...] = (UniformGrid, TimeUniform, Quadratic, Shift, Beta, LogitNormal)
    levels: tuple[type[Grid], ...] = (LogSNR, Polynomial, Sigmas, AlignYourSteps)
    for grid in (*times, *levels):
        register(grid)
