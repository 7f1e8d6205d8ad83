"""The conformance kit passes the built-in readers and catches planted mistakes in others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench import SDE, BenchError, Card, Reader, assert_conforms
from tests.support.checks import failures, report
from tests.support.plugins import installed


@pytest.mark.parametrize("name", installed().names("readers"))
def test_the_built_in_ones_pass(name: str) -> None:
    assert_conforms(installed().build("readers", name, {}), registry=installed())


class Network(nn.Module):
    """A layer and a bias, with the label added."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.extra = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        y: Tensor = self.layer(x) + self.extra + label[:, None]
        return y


class Right(Reader):
    """A ``.pt`` of torch.save's, which the mistaken ones are made of."""

    name = "right"

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        network = Network()
        try:
            network.load_state_dict(self.tensors(folder / "small.pt"))
        except BenchError:
            raise
        except Exception as error:
            raise BenchError("small.pt is of another network, or damaged") from error
        return network

    def tensors(self, path: Path) -> Any:
        """The content of the file."""
        return torch.load(path, weights_only=True)

    def example(self, folder: Path) -> Card:
        torch.save(Network().state_dict(), folder / "small.pt")
        return Card.model_validate(
            {
                **{
                    "name": "small",
                    "summary": "s",
                    "licence": "l",
                    "author": "a",
                    "data": "d",
                    "metric": "fd",
                },
                **{"format": self.name, "shape": [4], "data_range": [0, 1], "files": [{"name": "small.pt"}]},
                **{"sde": "vp", "predicts": "noise", "labels": "t", "metric": "fd"},
            }
        )


class Trusting(Right):
    """Unpickles whatever is there."""

    def tensors(self, path: Path) -> Any:
        return torch.load(path, weights_only=False)


class Lenient(Right):
    """Leaves what the file lacks as it was made."""

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        network = Network()
        try:
            network.load_state_dict(self.tensors(folder / "small.pt"), strict=False)
        except Exception as error:
            raise BenchError("small.pt is of another network, or damaged") from error
        return network


class Forgetful(Right):
    """Does not take one of the tensors."""

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        network = super().read(card, folder, sde)
        assert isinstance(network, Network)
        network.extra = Network().extra
        return network


class Constant(Right):
    """The same network for every file."""

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        network = super().read(card, folder, sde)
        for parameter in network.parameters():
            parameter.data.fill_(0.5)
        return network


class Bare(Right):
    """Lets every error through as it is."""

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        network = Network()
        network.load_state_dict(self.tensors(folder / "small.pt"))
        return network


class Wordy(Right):
    """Refuses in the words of others, which have several lines."""

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        network = Network()
        try:
            network.load_state_dict(self.tensors(folder / "small.pt"))
        except Exception as error:
            raise BenchError(f"small.pt:\n{error}") from error
        return network


class Precise(Right):
    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        return super().read(card, folder, sde).double()


class OneLabel(Right):
    """Takes a label for each item alone."""

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        network = super().read(card, folder, sde)
        network.register_forward_pre_hook(lambda _, arguments: _as_many(*arguments))
        return network


def _as_many(x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    return x, label * len(label)


class Nowhere(Right):
    """Its card names a file that it does not write, and another format."""

    def example(self, folder: Path) -> Card:
        card = super().example(folder)
        return card.model_copy(update={"format": "other"})


class NoExample(Reader):
    name = "no_example"

    def read(self, card: Card, folder: Path, sde: SDE | None) -> nn.Module:
        return Network()


TENSORS, DAMAGED, CODE = "another network's tensors", "damaged files", "code in files"


@pytest.mark.parametrize(
    ("mistaken", "caught"),
    [
        (Right, set()),
        (Trusting, {CODE}),
        (Lenient, {TENSORS}),
        (Forgetful, {"weights"}),
        (Constant, {"weights"}),
        (Bare, {TENSORS, DAMAGED, CODE}),
        (Wordy, {TENSORS, DAMAGED, CODE}),
        (Precise, {"network", "weights"}),
        (OneLabel, {"network"}),
        (Nowhere, {"example"}),
        (NoExample, {"example"}),
    ],
)
def test_a_mistaken_one_is_caught(mistaken: type[Reader], caught: set[str]) -> None:
    assert failures(mistaken) == caught


def test_code_in_a_file_is_seen_to_run() -> None:
    (finding,) = (one for one in report(Trusting).findings if one.name == CODE)
    assert finding.measured.endswith("what it holds was run")


class InTwoFiles(Right):
    """A safetensors file and a text beside it: both are damaged in turn."""

    def tensors(self, path: Path) -> Any:
        if (path.parent / "note.txt").read_text() != "4\n":
            raise BenchError("note.txt is damaged")
        return load_file(path)

    def example(self, folder: Path) -> Card:
        card = super().example(folder)
        save_file(Network().state_dict(), folder / "small.pt")
        (folder / "note.txt").write_text("4\n")
        return card


def test_each_file_of_several_is_damaged() -> None:
    result = report(InTwoFiles)
    assert result.passed
    measured = {finding.name: finding.measured for finding in result.findings}
    assert measured[DAMAGED] == "14 files refused"
    assert measured[CODE] == "4 files refused, nothing run"
    assert measured[TENSORS] == "3 files refused"
