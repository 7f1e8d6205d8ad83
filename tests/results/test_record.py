"""Records: typed, versioned, strict JSON."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from bench.results.identity import DataIdentity, Strict, with_checksum
from bench.results.record import Record
from tests.support.made_up import failed_record, identity, metric_record, plugin, record


def test_a_record_is_read_as_it_was_written() -> None:
    for whole in (record(), failed_record(), record(metrics={}, exact={"fd_dct": 1.5}, preview="x.png")):
        assert Record.from_json(whole.to_json()) == whole
    plain = json.loads(record().to_json())
    assert plain["schema_version"] == 2
    assert plain["metrics"]["fd_dct"].keys() >= {"metric", "value", "n", "parameters", "provenance"}


def test_a_record_with_its_grid_by_name_is_read_as_of_the_plugin() -> None:
    """Records of one cell from before and after grids were plugins stand in one cell."""
    for grid, rho in (("uniform", None), ("polynomial", 7.0)):
        now = record(identity=identity(grid=plugin(grid, **({} if rho is None else {"rho": rho}))))
        plain = json.loads(now.to_json())
        plain["identity"]["grid"] = grid
        plain["identity"] |= {} if rho is None else {"rho": rho}
        before = Record.from_json(with_checksum(plain))
        assert (before.cell, before.identity.plugins()["grid"].name) == (now.cell, grid)
        assert Record.from_json(before.to_json()) == before


def test_labels_have_the_seed_and_titles_do_not() -> None:
    assert (record(seed=3).title, record(seed=3).label) == ("cell 0", "cell 0 · seed 3")
    assert record(seed=3).seed == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"null", r"another version of bench \(schema None, not 2\)"),
        (b'{"schema_version": 1}', r"another version of bench \(schema 1, not 2\)"),
        (b'{"schema_version": 2}', "fingerprint: Field required"),
    ],
)
def test_what_is_no_record_is_reported_in_a_line(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Record.from_json(content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_neither_read_nor_written(constant: str) -> None:
    content = record(metrics={"fd_dct": metric_record(value=1.25)}).to_json()
    with pytest.raises(ValueError, match="value"):
        Record.from_json(content.replace(b"1.25", constant.encode()))
    with pytest.raises(ValidationError):
        metric_record(value=float(constant))
    # a copy is not validated: writing it is
    copy = record().model_copy(update={"exact": {"fd_dct": float(constant)}})
    with pytest.raises(ValueError, match="JSON"):
        copy.to_json()


@pytest.mark.parametrize(
    "changes", [{"samples": "100"}, {"status": "done"}, {"color": "red"}, {"outputs": "images"}]
)
def test_fields_have_their_types(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        record(**changes)


def test_files_of_one_name_with_different_images_are_two_cells() -> None:
    first, second = (
        record(identity=identity(data=DataIdentity(kind="npz", name="a.npz", sha256=sha256)))
        for sha256 in "ab"
    )
    assert first.cell != second.cell
    assert first.cell == record(seed=1, identity=identity(seed=1, data=first.identity.data)).cell


@pytest.mark.parametrize("key", ["fingerprint", "key", "metrics", "exact", "metric", "checkpoint", "plugin"])
def test_a_name_that_makes_no_safe_path_is_refused_in_a_line(key: str) -> None:
    plain = json.loads(record().to_json())
    label, metric = next(iter(plain["metrics"].items()))
    if key == "metrics":
        plain[key] = {"../x": metric}
    elif key == "exact":
        plain[key] = {"../x": 1.0}
    elif key == "metric":
        plain["metrics"][label]["metric"] = "../x"
    elif key == "checkpoint":
        plain["identity"]["checkpoint"]["name"] = "../x"
    elif key == "plugin":
        plain["identity"]["predictor"]["name"] = "../x"
    else:
        plain[key] = "../x"
    with pytest.raises(ValueError, match="can't be a name"):
        Record.from_json(json.dumps(plain).encode())


def test_a_record_of_an_installed_wheel_has_no_commit() -> None:
    """Keys whose value is None are not stored, so that every such field must have a default."""
    whole = record()
    provenance = whole.provenance.model_copy(update={"commit": None, "dirty": None, "cores": None})
    whole = whole.model_copy(update={"provenance": provenance})
    assert Record.from_json(whole.to_json()) == whole


def test_every_stored_field_that_may_be_none_has_a_default() -> None:
    stored, waiting = set(), [Strict]
    while waiting:
        model = waiting.pop()
        stored.add(model)
        waiting += model.__subclasses__()
    assert len(stored) > 10
    required = [
        f"{model.__name__}.{name}"
        for model in stored
        for name, field in model.model_fields.items()
        if field.is_required() and type(None) in get_args(field.annotation)
    ]
    assert required == []
