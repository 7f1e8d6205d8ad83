"""Parameters of plugins on the command line: ``-P ROLE.NAME=VALUE``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.errors import BenchError


def plugin_parameters(texts: Sequence[str], short: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Values of ``-P`` and of short flags, by role and name.

    Raises:
        BenchError: A text is not ``ROLE.NAME=VALUE``, or a parameter is given twice.
    """
    pairs: list[tuple[str, object]] = [(key, value) for key, value in short.items() if value is not None]
    for text in texts:
        name, equals, word = text.partition("=")
        if not equals or name.count(".") != 1:
            raise BenchError(f"-P takes ROLE.NAME=VALUE, not {text!r} (such as corrector.snr=0.16)")
        pairs.append((name, word))
    values: dict[str, dict[str, object]] = {}
    for key, value in pairs:
        role, _, name = key.partition(".")
        if name in values.setdefault(role, {}):
            raise BenchError(f"{key} was given twice")
        values[role][name] = value
    return values


def metric_parameters(texts: Sequence[str], short: Mapping[str, object]) -> dict[str, object]:
    """As `plugin_parameters`, for a command that takes parameters of metrics alone."""
    values = plugin_parameters(texts, short)
    for role in values:
        if role != "metric":
            raise BenchError(f"-P takes metric.NAME=VALUE here, not a parameter of a {role}")
    return values.get("metric", {})
