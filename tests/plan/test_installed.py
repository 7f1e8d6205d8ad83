"""The registry of what is installed and of bench.toml's cards and data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench
from bench import BenchError
from bench.data.splits import split_names
from bench.plan.installed import installed_registry, load_cards, load_datasets, roles
from bench.plugins.hookspecs import KINDS
from tests.support.paths import ROOT
from tests.support.plugins import empty_registry, installed


def test_every_kind_has_its_role_among_the_public_names() -> None:
    assert list(roles()) == list(KINDS)
    assert roles()["predictors"] is bench.Predictor
    assert {name for name in KINDS.values() if name not in bench.__all__} == set()


def test_every_call_makes_another_registry_of_the_same_plugins() -> None:
    first, second = installed_registry(ROOT), installed_registry(ROOT)
    assert first is not second
    assert first.entries == second.entries == installed().entries
    assert first.all_problems() == []


def test_the_cards_of_a_bench_toml_are_registered_from_where_it_lies(tmp_path: Path) -> None:
    shipped = (ROOT / "registry" / "cards" / "gaussian-cifar10.toml").read_text()
    (tmp_path / "mine").mkdir()
    card = shipped.replace('name = "gaussian-cifar10"', 'name = "my-gaussian"')
    (tmp_path / "mine" / "one.toml").write_text(card)
    (tmp_path / "mine" / "two.toml").write_text("name =")
    (tmp_path / "bench.toml").write_text('cards = ["mine"]\n')
    registry = empty_registry()
    load_cards(registry, tmp_path)
    entry = registry.get("checkpoints", "my-gaussian")
    assert (entry.distribution, entry.version) == ("bench.toml", "mine/one.toml")
    (problem,) = registry.all_problems()
    assert problem.message.endswith("; the card was skipped")


def test_a_folder_of_cards_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text('cards = ["none"]\n')
    with pytest.raises(BenchError, match="there is no folder"):
        installed_registry(tmp_path)


def test_the_data_sets_of_a_bench_toml_are_registered_with_paths_from_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        '[datasets.faces]\nsplits = {train = "faces/train", test = "/faces/test.npz"}\nlicence = "mine"\n'
        '[datasets.points]\npath = "points.npz"\n[datasets."a b"]\npath = "x"\n'
    )
    registry = empty_registry()
    load_datasets(registry, tmp_path)
    entry = registry.get("datasets", "faces")
    assert (entry.distribution, entry.version) == ("bench.toml", "[datasets.faces]")
    assert entry.thing.paths == {"train": tmp_path / "faces" / "train", "test": Path("/faces/test.npz")}
    assert split_names(registry) == ["faces", "faces-train", "faces-test", "points", "points-all"]
    (problem,) = registry.all_problems()
    assert problem.message.startswith("register_datasets: 'a b' can't be a name")
    assert problem.message.endswith("; the data set was skipped")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "[datasets.faces] must have path, or splits, and not both"),
        ('path = "x"\nsplits = {a = "y"}', "[datasets.faces] must have path, or splits, and not both"),
        (
            'splits = {a-b = "y"}',
            "[datasets.faces] a-b = 'y': a split is called by letters",
        ),
        ('path = ""', "[datasets.faces] all = '': a split is called by letters"),
        ('paht = "x"', "unknown key 'paht' in [datasets.faces] (did you mean 'path'?"),
        ("path = 3", "datasets.faces.path: "),
    ],
)
def test_tables_of_data_sets_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bench.toml").write_text(f"[datasets.faces]\n{text}\n")
    with pytest.raises(BenchError) as caught:
        load_datasets(empty_registry(), tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
