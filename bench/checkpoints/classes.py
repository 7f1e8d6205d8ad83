"""The classes to which a checkpoint's runs can be guided, without loading its classifier."""

from __future__ import annotations

from pathlib import Path

from bench.checkpoints.cards import Card, WeightsCard
from bench.checkpoints.exact import exact_data
from bench.errors import BenchError
from bench.files import registry_path


def class_count(card: Card) -> int:
    """Number of classes that `Model.class_gradient` of a checkpoint distinguishes.

    Args:
        card: The checkpoint.

    Returns:
        The number of components of a mixture, or of classes of the classifier that a network's card names; 0
        where there is no classifier.

    Raises:
        BenchError: The mixture's or the classifier's files are missing or damaged.
    """
    if card.format == "mixture":
        return len(exact_data(card)[0].weight)
    if card.exact or card.classifier is None:
        return 0
    classifier = WeightsCard.read(classifier_path(card))
    classifier.weights()
    count = classifier.network.get("classes")
    if not isinstance(count, int):
        raise BenchError(f"card {classifier_path(card)} is damaged (network.classes must be a number)")
    return count


def classifier_sha256(card: Card) -> str:
    """SHA-256 of the weights of the classifier that a checkpoint's card names.

    Args:
        card: The checkpoint, a network.

    Returns:
        The hash that the classifier's card states; loading checks it.

    Raises:
        BenchError: The checkpoint has no classifier, or the classifier's card is missing or damaged.
    """
    return WeightsCard.read(classifier_path(card)).sha256


def classifier_path(card: Card) -> Path:
    """The card of the noisy classifier that guides a checkpoint's runs; `BenchError` where it names none."""
    if card.classifier is None:
        raise BenchError(f"checkpoint {card.name} has no classifier")
    return registry_path("classifiers", f"{card.classifier}.toml")
