"""Time grids that are fitted to a checkpoint: by dynamic programming, and by the gradient of the error."""

from bench import Register, hookimpl


@hookimpl
def register_grids(register: Register) -> None:
    from bench_fitted.gits import GITS
    from bench_fitted.learned import LearnedTimes

    register(GITS)
    register(LearnedTimes)
