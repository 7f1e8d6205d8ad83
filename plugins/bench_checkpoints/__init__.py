"""The checkpoints that ship with the project: the cards in registry/cards/."""

from bench import Register, hookimpl


@hookimpl
def register_checkpoints(register: Register) -> None:
    from bench import Card, registry_path

    for path in sorted(registry_path("cards").glob("*.toml")):
        register(Card.read(path))
