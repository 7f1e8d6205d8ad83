"""The checkpoints that come with the project: the cards in registry/cards/."""

from bench import Register, hookimpl


@hookimpl
def register_checkpoints(register: Register) -> None:
    from bench import Card
    from bench.files import REGISTRY

    for path in sorted((REGISTRY / "cards").glob("*.toml")):
        register(Card.read(path))
