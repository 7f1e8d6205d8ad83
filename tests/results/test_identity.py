"""Identities: what makes two runs equal, and two runs of one cell."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.results.identity import DataIdentity, Identity, digest
from tests.support.made_up import identity, plugin


def test_a_digest_is_of_canonical_data() -> None:
    assert digest({"b": 1, "a": [1.0, None]}) == digest({"a": [1.0, None], "b": 1})
    assert len(digest({})) == 16
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"a": float("nan")})


def test_plugins_of_a_run_are_those_that_it_has() -> None:
    assert list(identity().plugins()) == ["task", "sde", "predictor"]
    solver = identity(predictor=None, steps=None, solver=plugin("rk45", tol=1e-3))
    assert {role: part.name for role, part in solver.plugins().items()} == {
        "task": "generate",
        "sde": "vp",
        "solver": "rk45",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 3},
        {"batch_size": 7},
        {"device": "cuda H100"},
        {"torch": "3"},
        {"code": "other"},
        {"predictor": plugin("made_up", index=0).model_copy(update={"code": "x", "version": "9"})},
    ],
)
def test_seeds_devices_and_versions_share_a_cell(changes: dict[str, Any]) -> None:
    assert identity(**changes).cell(100) == identity().cell(100)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 11},
        {"denoise": "none"},
        {"precision": "bf16"},
        {"compile": True},
        {"sde": plugin("vp", eps=1e-4)},
        {"corrector": plugin("langevin")},
        {"grid": plugin("logsnr")},
        {"grid": plugin("polynomial", rho=5.0)},
        {"data": DataIdentity(kind="npz", sha256="a")},
    ],
)
def test_settings_make_a_cell(changes: dict[str, Any]) -> None:
    assert identity(**changes).cell(100) != identity().cell(100)
    assert identity().cell(99) != identity().cell(100)


def test_two_files_of_one_name_with_different_images_are_two_cells() -> None:
    first, second = (
        identity(data=DataIdentity(kind="npz", name="images.npz", n=8, sha256=sha256)) for sha256 in "ab"
    )
    renamed = identity(data=DataIdentity(kind="npz", name="moved.npz", n=8, sha256="a"))
    assert first.cell(100) != second.cell(100)
    assert first.cell(100) == renamed.cell(100)


def test_identities_are_strict_and_immutable() -> None:
    whole = identity()
    assert Identity.model_validate_json(whole.model_dump_json()) == whole
    with pytest.raises(ValidationError):
        whole.seed = 3  # type: ignore[misc]
    for changes in ({"seed": "3"}, {"steps": 1.5}, {"color": "red"}):
        with pytest.raises(ValidationError):
            identity(**changes)
