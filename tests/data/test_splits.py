"""Names of data sets and of their splits."""

from __future__ import annotations

import pytest

from bench import BenchError
from bench.data.splits import check_split, dataset_name, find_split, split_names
from bench.plugins.registry import OWN
from tests.support.made_up_data import Columns
from tests.support.plugins import empty_registry, installed


def test_short_names_are_the_first_split() -> None:
    registry = installed()
    for short, full in (("cifar10", "cifar10-train"), ("fashion-mnist", "fashion-mnist-train")):
        assert dataset_name(short, registry) == dataset_name(full, registry) == full
    assert dataset_name("stl10-unlabeled", registry) == "stl10-unlabeled"
    for name in ("mine", "", "-train", "cifar10-", "cifar10-dev", "cifar10-train-train", "CIFAR10"):
        assert dataset_name(name, registry) is None


def test_every_name_that_is_offered_is_one() -> None:
    registry = installed()
    names = split_names(registry)
    assert len(set(names)) == len(names)
    assert {"cifar10", "cifar10-test", "two_moons", "celeba-valid"} <= set(names)
    assert all(dataset_name(name, registry) for name in names)


def test_a_split_that_does_not_exist_is_named() -> None:
    check_split("mine-train", installed())
    with pytest.raises(BenchError, match=r"^digits has no split 'dev': it has train, test$"):
        check_split("digits-dev", installed())


def test_a_name_of_two_distributions_is_no_data_set() -> None:
    registry = empty_registry()
    registry.add("datasets", Columns, "one", "1")
    split = find_split("columns-few", registry)
    assert split is not None
    assert (split.name, split.split, split.open().n) == ("columns-few", "few", 7)
    registry.add("datasets", Columns, OWN, "[datasets.columns]")
    with pytest.raises(BenchError, match=r"one 1 and bench.toml \[datasets.columns\]: rename \[datasets.col"):
        find_split("columns-few", registry)
