"""Published files that are not what their card says: one clear line each, and nothing of them is run."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import BenchError
from bench.checkpoints.load import read_network
from tests.support import score_sde_files as files
from tests.support.plugins import installed

NAME = "ncsnpp_ve_continuous"
FIRST = "module.all_modules.1.weight"


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def changed(part: str, **tensors: Any) -> bytes:
    """The published file with some of its ``model``, or its whole average, replaced; None takes away."""
    result = files.published(NAME)
    if part == "ema":
        result["ema"]["shadow_params"] = tensors["shadow_params"]
    else:
        merged = result["model"] | tensors
        result["model"] = {name: tensor for name, tensor in merged.items() if tensor is not None}
    return saved(result)


class Acts:
    """Unpickled by the usual unpickler, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def average() -> list[torch.Tensor]:
    result: list[torch.Tensor] = files.published(NAME)["ema"]["shadow_params"]
    return result


def first() -> torch.Tensor:
    result: torch.Tensor = files.published(NAME)["model"][FIRST]
    return result


DAMAGED = "not a file of torch.save's, or damaged"
BAD: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "random bytes": (lambda _: os.urandom(1000), DAMAGED),
    "text": (lambda _: b"please log in", DAMAGED),
    "a web page": (lambda _: b"<html>please log in</html>", "is a web page, not the file: fetch it in a b"),
    "truncated": (lambda _: saved(files.published(NAME))[:1_000_000], DAMAGED),
    "last byte missing": (lambda _: saved(files.published(NAME))[:-1], DAMAGED),
    "code": (lambda marker: saved({"model": Acts(marker), "ema": {}}), "is not data; nothing of it was run"),
    "code, plain pickle": (lambda marker: pickle.dumps(Acts(marker), protocol=2), "which is not data"),
    "a class": (lambda _: saved(torch.nn.Linear(2, 2)), "which is not data"),
    "another network": (lambda _: saved(files.published("ddpm_vp")), "its tensors are of another network"),
    "a bare state dict": (lambda _: saved(files.tensors(NAME)), "not a score_sde_pytorch checkpoint"),
    "a list": (lambda _: saved([1, 2]), "not a score_sde_pytorch checkpoint"),
    "no tensors": (lambda _: changed("model", **{FIRST: "text"}), "its 'model' is not a dict of tensors"),
    "a tensor missing": (lambda _: changed("model", **{FIRST: None}), "lacks 'all_modules.1.weight'"),
    "a tensor too many": (lambda _: changed("model", extra=first()), "has 'extra'"),
    "a tensor's shape": (
        lambda _: changed("model", **{FIRST: first()[:1]}),
        "has shape (1, 64), not (128, 64)",
    ),
    "transposed": (lambda _: changed("model", **{FIRST: first().t()}), "has shape (64, 128), not (128, 64)"),
    "integers": (lambda _: changed("model", **{FIRST: first().int()}), "is of type torch.int32, not float"),
    "not finite": (lambda _: changed("model", **{FIRST: first() / 0}), "has values that are not finite"),
    "other noise levels": (
        lambda _: changed("model", **{"module.sigmas": torch.logspace(2, -2, 1000)}),
        "its noise levels are from 100 to 0.01, its card's from 50 to 0.01",
    ),
    "no average": (lambda _: saved(files.published(NAME) | {"ema": {}}), "has no list 'shadow_params'"),
    "the average too short": (lambda _: changed("ema", shadow_params=average()[:-1]), "list has 153 tensors"),
    # the published trap: frozen Fourier weights are in the model and not in the average
    "the average shifted": (
        lambda _: changed("ema", shadow_params=[files.tensors(NAME)["all_modules.0.W"], *average()]),
        "list has 155 tensors",
    ),
    "the average in another order": (
        lambda _: changed("ema", shadow_params=average()[::-1]),
        "has shape",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_files_are_refused_in_one_line(bad: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    make, message = BAD[bad]
    (tmp_path / "bad.pth").write_bytes(make(marker))
    card = files.card(NAME, tmp_path, "bad.pth")
    with pytest.raises(BenchError) as error:
        read_network(card, installed())
    line = str(error.value)
    assert line.startswith("checkpoint small: ")
    assert message in line
    assert "\n" not in line
    assert len(line) < 300
    assert not marker.exists()


def test_the_acting_file_would_act(tmp_path: Path) -> None:
    """What the test above holds back is real."""
    pickle.loads(pickle.dumps(Acts(tmp_path / "ran"), protocol=2))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configuration": "ncsnp"}, "unknown configuration 'ncsnp' (did you mean 'ncsnpp'?"),
        ({"widht": 32}, "unknown key 'widht' of a U-Net (did you mean 'width'?"),
        ({"width": 0}, "width: input should be greater than or equal to 1, not 0"),
        ({"width": "x"}, "width: input should be a valid integer, not 'x'"),
        ({"width": 32.5}, "width: input should be a valid integer, not 32.5"),
        ({"width": 10**9}, "width: input should be less than or equal to 8192"),
        ({"width": 8192, "blocks": 64}, "parameters is more than 4e+09"),
        ({"blocks": 10**6}, "blocks: input should be less than or equal to 64"),
        ({"multipliers": "ab"}, "multipliers: input should be a valid tuple, not 'ab'"),
        ({"multipliers": [0, 1]}, "multipliers: input should be greater than or equal to 1"),
        ({"multipliers": []}, "multipliers: tuple should have at least 1 item"),
        ({"embedding": "foo"}, "embedding: input should be 'positional', 'cosine_first', 'fourier_log'"),
        ({"attention_up": "al"}, "attention_up: input should be 'last' or 'each', not 'al'"),
        ({"eps": float("inf")}, "eps: input should be less than 1, not inf"),
        ({"eps": float("nan")}, "eps: "),
        ({"configuration": ["ddpm"]}, "unknown configuration ['ddpm']"),
        ({"architecture": "transformer"}, "unknown architecture 'transformer'"),
        ({"multipliers": [1] * 7}, "a size of 32 can't be halved 6 times"),
    ],
)
def test_a_card_that_describes_no_network(changes: dict[str, Any], message: str) -> None:
    wrong = files.network(NAME) | changes
    card = files.card(NAME, files.FOLDER, f"{NAME}.pth", network=wrong)
    with pytest.raises(BenchError) as error:
        read_network(card, installed())
    assert message in str(error.value)
