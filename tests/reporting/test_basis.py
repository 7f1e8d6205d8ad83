"""How two values' parameters and data differ."""

from __future__ import annotations

from typing import Any

from bench.reporting.basis import Basis, difference
from tests.support.made_up import metric_record

OLD, NEW = "0" * 64, "1" * 64


def basis(reference: str = OLD, **parameters: Any) -> Basis:
    """A value's parameters and data."""
    return Basis({"mode": "clean"} | parameters, {"cifar10-train": reference})


def test_what_differs_is_named() -> None:
    assert difference(basis(), basis()) == ""
    assert difference(basis(), None) == difference(None, basis()) == ""
    assert difference(basis(mode="legacy"), basis()) == "other parameters (mode legacy, not clean)"
    assert difference(basis(k=3), basis()) == "other parameters (k 3, not unknown)"
    assert difference(basis(NEW, mode="legacy"), basis()) == (
        "other parameters (mode legacy, not clean) and other data (cifar10-train 11111111…, not 00000000…)"
    )


def test_equal_bases_have_equal_keys() -> None:
    one = Basis.of(metric_record(parameters={"a": 1, "b": 2}, provenance={"d": OLD}))
    assert one.key == Basis({"b": 2, "a": 1}, {"d": OLD}).key != basis().key
