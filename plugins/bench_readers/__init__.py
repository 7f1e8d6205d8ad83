"""Readers of published checkpoint formats."""

from bench import Register, hookimpl


@hookimpl
def register_readers(register: Register) -> None:
    from bench_readers.diffusers import Diffusers
    from bench_readers.edm import EDM
    from bench_readers.improved_diffusion import ImprovedDiffusion
    from bench_readers.score_sde import ScoreSDE
    from bench_readers.torchcfm import TorchCFM

    for reader in (Diffusers, EDM, ImprovedDiffusion, ScoreSDE, TorchCFM):
        register(reader)
