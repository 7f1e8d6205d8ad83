"""The probability-flow ODE (Song et al. 2021, eq. 13) by adaptive Runge-Kutta 5(4)."""

from bench import Register, hookimpl


@hookimpl
def register_solvers(register: Register) -> None:
    from bench_ode.solvers import RK45, ScipyRK45

    register(RK45)
    register(ScipyRK45)
