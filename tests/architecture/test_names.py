"""Names say what they hold, and prose is plain American English; DESIGN's words, checked by machine."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.sources import place, python_files, report, tree_of

PARTICIPLES = {
    *("asked", "found", "given", "kept", "left", "made", "said", "shown", "told", "wanted"),
}
"""What no variable, parameter, attribute, function or class is called."""

MORE_PARTICIPLES = PARTICIPLES | {
    *("done", "drawn", "gone", "held", "loaded", "measured", "past", "refused", "seen", "shared", "taken"),
    *("thought", "warmed", "watched"),
}
"""What no class or function is called, leading underscores aside."""


def names_in(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Every name that a file gives to something, its line, and whether it is a class's or function's."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno, True
            case ast.arg():
                yield node.arg, node.lineno, False
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno, False
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node.lineno, False
            case ast.alias(asname=str(name)):
                yield name, node.lineno, False
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                yield name, node.lineno, False
            case _:
                pass


def test_no_name_is_a_bare_participle() -> None:
    problems = []
    for file in python_files():
        for name, line, definition in names_in(tree_of(file)):
            bare = name.strip("_").lower()
            if name in PARTICIPLES or (definition and bare in MORE_PARTICIPLES):
                problems.append(f"{place(file, line)}: {name}")
    assert not problems, report(problems)


def test_the_check_sees_every_kind_of_name() -> None:
    source = """
import a as told
def kept(given, *, asked=1): ...
class Shared: ...
try:
    for left in []: said, x.made = 1, 2
except ValueError as shown: ...
with a as wanted: ...
[0 for found in []]
"""
    names = {name for name, _, _ in names_in(ast.parse(source))}
    assert names >= PARTICIPLES | {"Shared"}


# Spellings by the part of a word that is British. Public names of roles and keys of files stay as they are.
SPELLINGS = {
    r"\w*colour\w*": "color",
    r"\w*behaviour\w*": "behavior",
    r"\w*(?:favour|neighbour|honour|labour|flavour|vapour)\w*": "-or",
    r"\w*(?:normal|optim|initial|serial|organ|recogn|summar|visual|character|discret|quant|factor|vector"
    r"|regular|final|general|special|minim|maxim|real|synchron|standard|stabil|util|emphas|categor|local"
    r"|random|token|author|item|penal|binar|polar|material|central|capital|custom)"
    r"is(?:e[sdr]?|ing|ations?)\b": "-ize",
    r"\bparametris(?!ation)\w*": "parametrize",
    r"\bgr[e]ys?\b|\bgreyscale\b": "gray",
    r"\b(?:re)?centred?\b|\bcentres\b|\bcentring\b": "center",
    r"\blicences?\b": "license",
    r"\banalys(?:e|es|ed|ing)\b(?<!analyses)": "analyze",
    r"\bcatalogues?\b": "catalog",
    r"\b(?:de|of)fences?\b": "-ense",
    r"\b(?:mis)?(?:spelt|learnt)\b|\bburnt\b": "-ed",
    r"\b(?:label|model|cancel|travel|total|signal)l(?:ed|ing)\b": "one l",
    r"\bartefacts?\b": "artifact",
    r"\bprogrammes?\b": "program",
    r"\bjudgement\w*": "judgment",
    r"\bwhilst\b|\bamongst\b": "while, among",
}

PHRASES = {
    r"\bnoughts?\b|\bnaught\b|\baught\b": "zero",
    r"\b(?:comes?|came|coming) back to\b": "is retried, returns to",
    r"\bheed(?:s|ed|ing)?\b": "use, respect",
    r"\bwhatever else\b": "say what",
    r"\bas of no help\b": "say what happens",
    r"\b(?:is|are) no more\b(?! than)": "no longer exists",
    r"\b(?:is|are|was|were) told of\b": "receives, reports",
    r"\bwho waited for\b": "waiting",
    r"\bno longer come back\b|\bof two as many\b|\bis come\b|\bare come\b": "rewrite",
    r"\b(?:there|where|here)(?:in|of|by|upon|with|from)\b(?<!hereby)": "rewrite",
    r"\blest\b|\bere\b|\bupon\b|\bwhence\b|\bthence\b|\bhither\b|\bbetwixt\b": "rewrite",
    r"\bwhose code it was\b|\bdoes not heed\b|\bwhat is left to do\b|\bhas its say\b": "rewrite",
}

BANNED = {re.compile(pattern, re.IGNORECASE): better for pattern, better in (SPELLINGS | PHRASES).items()}
INSIDE = [pattern.removeprefix(r"\w*") for pattern in SPELLINGS if pattern.startswith(r"\w*")]
AT_A_START = [pattern for pattern in SPELLINGS | PHRASES if not pattern.startswith(r"\w*")]
ANY_BANNED = re.compile(rf"{'|'.join(INSIDE)}|\b(?:{'|'.join(AT_A_START)})")
"""Matches in a text of small letters where one of `BANNED` does: one look passes most files and lines."""

KEYS = {
    "licence": "key of the checkpoints' cards",
    "colour": "tensor of the closed-form checkpoints' files",
    "centre": "key of the cards' table [network], and field of the configuration that it becomes",
    "dequantise": "name of a random stream, whose bits it decides",
}
"""Names that stay as they are, each with the reason: allowed in quotes or backticks, behind a dot, and before
``=`` or ``:``."""


def prose_of(file: Path) -> Iterator[tuple[str, int]]:
    """Comments and strings of a Python file, lines of another, each with its line; nothing of a file that
    nowhere has a banned word."""
    text = file.read_text()
    if not ANY_BANNED.search(text.lower()):
        return
    if file.suffix != ".py":
        yield from ((line, number) for number, line in enumerate(text.splitlines(), 1))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            for offset, line in enumerate(token.string.splitlines()):
                yield line, token.start[0] + offset


def banned_in(line: str) -> Iterator[tuple[str, str]]:
    """Words and phrases of a line to replace, each with what is better."""
    for pattern, better in BANNED.items() if ANY_BANNED.search(line.lower()) else ():
        for match in pattern.finditer(line):
            around = line[max(match.start() - 1, 0) : match.end() + 3]
            key = match[0] in KEYS and re.search(rf"[\"'`.]{match[0]}[\"'`]|\b{match[0]}(?: ?=|: )", around)
            if not key and "://" not in line:
                yield match[0], better


def test_prose_is_plain_and_american() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins/examples").rglob("*.md")]
    texts = [*(ROOT / "bench/testing/templates").glob("*.txt"), *ROOT.glob("*.toml")]
    problems = [
        f"{place(file, line)}: {word!r} -> {better}"
        for file in [*python_files(), *sorted(pages), *sorted(texts)]
        if file != Path(__file__)
        for text, line in prose_of(file)
        for word, better in banned_in(text)
    ]
    assert not problems, report(problems)


@pytest.mark.parametrize(
    "line",
    [
        "the colour of it", "a recoloured picture", "its behaviour", "normalised rows", "initialising",
        "grey images", "centred", "a licence", "parametrised by", "comes back to it", "nought", "heeds",
        "labelled", "misspelt",
    ],
)  # fmt: skip
def test_the_check_sees(line: str) -> None:
    assert list(banned_in(line))


@pytest.mark.parametrize(
    "line",
    [
        "the color", "parametrisation", "role `parametrisations`", "'licence'", "licence = 'MIT'", "analyses",
        "precise", "noise and otherwise", "wise", "rise", "where in", "there is", "a promise", "exercise",
        "card.licence =", "therefore", "discretization",
    ],
)  # fmt: skip
def test_the_check_passes(line: str) -> None:
    assert not list(banned_in(line))
