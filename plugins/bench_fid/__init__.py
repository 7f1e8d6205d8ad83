"""Fréchet distances on features that need no download: ``fd_cifar10`` and ``fd_dct``."""

from bench import Register, hookimpl


@hookimpl
def register_metrics(register: Register) -> None:
    from bench_fid.metrics import FdCifar10, FdDct

    register(FdCifar10)
    register(FdDct)
