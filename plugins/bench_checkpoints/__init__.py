"""The cards in registry/cards/, and the parametrisations and labels that cards name."""

from bench import Register, hookimpl


@hookimpl
def register_checkpoints(register: Register) -> None:
    from bench import Card, registry_path

    for path in sorted(registry_path("cards").glob("*.toml")):
        register(Card.read(path))


@hookimpl
def register_parametrisations(register: Register) -> None:
    from bench_checkpoints.parametrisations import EDM, Denoised, Noise, ScaledScore, Score, V, Velocity

    for parametrisation in (Noise, Score, ScaledScore, Denoised, V, Velocity, EDM):
        register(parametrisation)


@hookimpl
def register_labels(register: Register) -> None:
    from bench import Index, IndexDown, TimeIndex
    from bench_checkpoints.labels import EDMNoise, LogSNR, Sigma, Time, Time999

    for label in (Time, Time999, Sigma, LogSNR, EDMNoise, Index, TimeIndex, IndexDown):
        register(label)
