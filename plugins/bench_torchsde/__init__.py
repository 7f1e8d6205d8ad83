"""The reverse-time SDE (Song et al. 2021, eq. 6) by torchsde's solvers."""

from bench import Register, hookimpl


@hookimpl
def register_solvers(register: Register) -> None:
    from bench_torchsde.solvers import TorchSDE

    register(TorchSDE)
