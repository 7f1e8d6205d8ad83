"""Mutations of bytes, of TOML text and of plain data; all choices come from the generator that is passed."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

TOKENS = (b"\0", b"\xff", b'"', b"'", b"[", b"]", b"{", b"}", b"\n", b"\x1b[31m", b"\xe2\x80\xae", b"-", b"=")


def mutate_bytes(content: bytes, other: bytes, rng: Random) -> bytes:
    """One to four flips, cuts, copies, insertions or splices with ``other``."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data) + 1)
        end = min(len(data), place + rng.choice((1, 2, 4, 16, 256, 4096)))
        match rng.randrange(7):
            case 0 if data:
                data[min(place, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                data[place:end] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
            case 2:
                del data[place:end]
            case 3:
                data[place:place] = data[place:end] * rng.choice((1, 2, 50))
            case 4:
                data[place:place] = rng.choice(TOKENS) * rng.choice((1, 1, 3, 2000))
            case 5:
                begin = rng.randrange(len(other) + 1)
                data[place:end] = other[begin : begin + rng.choice((8, 64, 4096))]
            case 6 if rng.random() < 0.3:
                del data[place:]
    return bytes(data)


TOML_VALUES = (
    *("9" * 5000, "-" + "9" * 30, "0x" + "f" * 4000, "9223372036854775807", "-1", "0", "1", "10_000_000"),
    *("1e999", "-1e308", "nan", "inf", "0.1", "1e-320", "true", "1979-05-27", "00:32:00"),
    *("[" * 3000, "[" * 40 + "]" * 40, "[]", "[[]]", "{}", "{a = {b = {c = 1}}}", "{a = 1}", '["a", 1]'),
    *('""', '"a"', "'" + "x" * 5000 + "'", '"\\u0000"', '"\\u001b[31m\\u202e"', '"a\\nb"', '"é"'),
    *(
        '"{predictor:{foo}}"',
        '"{steps:10000000000}"',
        '"{steps:.999999999f}"',
        '"{predictor!r}"',
        '"{steps:c}"',
    ),
    *(
        '"{}"',
        '"{0}"',
        '"{"',
        '"{predictor.__class__}"',
        '"~nobody/x"',
        '"../x"',
        '"/dev/zero"',
        '"a/../../b"',
    ),
    *('"vp"', '"ve"', '"ancestral"', '"langevin"', '"none"', '"polynomial"', '"cuda:99"', '"bf16"', '"rk45"'),
    *(
        '["vp", "ve"]',
        '["vp", "vp"]',
        "[" + "1, " * 3000 + "1]",
        "[" + '"vp", ' * 300 + '"ve"]',
        "[1, 1000000]",
    ),
)


def mutate_toml(text: str, rng: Random) -> bytes:
    """One to three lines with other values, keys, places or repetitions; now and then bytes as well."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines))
        key, equals, value = lines[place].partition(" = ")
        match rng.randrange(10):
            case 0 | 1 | 2 | 3 if equals:
                lines[place] = f"{key} = {rng.choice(TOML_VALUES)}"
            case 4 if equals:
                keys = ("x", "steps", "parameters.sde.x", "a." * rng.choice((3, 40, 2000)) + "b", '"\\u202e"')
                lines[place] = f"{rng.choice(keys)} = {value}"
            case 5:
                del lines[place]
                lines = lines or [""]
            case 6:
                lines.insert(rng.randrange(len(lines)), lines[place])
            case 7:
                header = rng.choice(
                    ("[a]", "[[a]]", "[defaults]", "[suites.s]", "[" + "a." * 1000 + "b]", "[x.y]")
                )
                lines.insert(place, header)
            case 8 if equals:
                lines[place] = f"{key} = [{value}, {rng.choice(TOML_VALUES)}]"
            case _:
                other = rng.choice(lines).partition(" = ")[2]
                lines[place] = f"{key} = {other}"
    content = ("\n".join(lines) + "\n").encode()
    return mutate_bytes(content, content, rng) if rng.random() < 0.15 else content


def odd_values() -> tuple[Any, ...]:
    """Values that plain data may have in place of others."""
    deep: Any = 0
    for _ in range(200):
        deep = [deep]
    return (
        *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10_000_000, 0.5, -0.0, 1e308, -1e308, 1e-320),
        *(
            "",
            "a",
            "x" * 5000,
            "../x",
            "a/b",
            "\x1b[31m",
            "\u202e",
            "a\nb",
            "\ud800",
            "=1+1",
            "vp",
            "finished",
        ),
        *([], {}, [[]], {"a": {}}, [1, 2, 3], ["a"] * 300, deep, float("nan"), float("inf")),
    )


def mutate_plain(plain: Any, rng: Random) -> Any:
    """A copy of plain data with one to three nodes replaced, removed, renamed, repeated or moved."""
    data = copy.deepcopy(plain)
    values = odd_values()
    for _ in range(rng.randint(1, 3)):
        nodes = _nodes(data)
        if not nodes:
            return rng.choice(values)
        owner, key = rng.choice(nodes)
        match rng.randrange(8):
            case 0:
                del owner[key]
            case 1:
                other, place = rng.choice(nodes)
                if _has(other, place) and _has(owner, key):
                    owner[key] = copy.deepcopy(other[place])
            case 2 if isinstance(owner, dict):
                owner[rng.choice(("x", "", "\x1b", "name", "value", "samples", "x" * 3000))] = owner.pop(key)
            case 3 if isinstance(owner, list):
                owner[key:key] = [copy.deepcopy(owner[key])] * rng.choice((1, 2, 500))
            case 4 if isinstance(owner[key], int | float) and not isinstance(owner[key], bool):
                owner[key] = owner[key] * rng.choice((-1, 0, 2, 10**6)) + rng.choice((0, 1))
            case _:
                owner[key] = copy.deepcopy(rng.choice(values))
    return data


def _has(owner: Any, key: Any) -> bool:
    return key in owner if isinstance(owner, dict) else key < len(owner)


def _nodes(data: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys or indices."""
    nodes: list[tuple[Any, Any]] = []
    waiting = [data]
    while waiting:
        owner = waiting.pop()
        if isinstance(owner, dict | list):
            keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
            nodes += [(owner, key) for key in keys]
            waiting += [owner[key] for key in keys]
    return nodes
