"""Runs as plain data: batches, names on disk, pickling."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from bench.results.run_spec import UnplannedRun
from tests.support.plans import quick_spec


@pytest.mark.parametrize(
    ("samples", "sizes"), [(2, [2]), (7, [7]), (8, [8]), (9, [8, 1]), (20, [8, 8, 4]), (64, [8] * 8)]
)
def test_batches_add_up_to_the_samples(samples: int, sizes: list[int]) -> None:
    spec = quick_spec(samples=samples)
    assert list(spec.batches()) == list(enumerate(sizes))
    assert [spec.batch_samples(index) for index in range(spec.batch_count)] == sizes


def test_samples_are_in_the_record_s_name_and_not_in_the_folder_s() -> None:
    few, many = quick_spec(samples=16), quick_spec(samples=40)
    assert few.key == many.key
    assert few.fingerprint != many.fingerprint
    assert len(few.key) == len(few.fingerprint) == 16


def test_repeats_differ_in_their_seed_alone() -> None:
    first, second = quick_spec(seed=0), quick_spec(seed=1)
    assert first.sampler_digest == second.sampler_digest
    assert first.fingerprint != second.fingerprint
    assert (second.seed, second.title, second.label) == (1, first.title, f"{first.title} · seed 1")
    assert quick_spec(steps=40).sampler_digest != first.sampler_digest


def test_a_run_survives_pickling() -> None:
    spec = quick_spec(corrector=["langevin"])
    copy = pickle.loads(pickle.dumps(spec))
    assert (copy.fingerprint, copy.label, list(copy.batches())) == (
        spec.fingerprint,
        spec.label,
        list(spec.batches()),
    )
    assert copy.sampler == spec.sampler
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.samples = 3  # type: ignore[misc]


def test_an_unplanned_run_is_identified_as_others_are() -> None:
    spec = quick_spec()
    unplanned = UnplannedRun(
        identity=spec.identity, samples=16, title="t", outputs=("images",), reason="r", log="l"
    )
    assert (unplanned.key, unplanned.fingerprint) == (spec.key, spec.fingerprint)
    assert unplanned.label == "t · seed 0"
