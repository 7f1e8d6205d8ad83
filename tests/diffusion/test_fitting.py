"""Artifacts: what is read, what is refused, and what a fitted plugin takes from one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from bench import Artifact, BenchError
from bench.diffusion.fitting import stored_path
from tests.support.analytic import sde
from tests.support.fits import Marks, artifact, facts


def test_a_run_holds_the_content_and_not_the_path(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(facts().content())
    grid = Marks.build({"artifact": str(file)})
    file.write_text("another")
    assert grid.times(sde("vp"), 3).tolist() == [1.0, 0.5, 0.25]
    assert grid.values()["artifact"] == artifact().plain
    again = pickle.loads(pickle.dumps(grid))
    assert again == grid
    assert hash(again) == hash(grid)
    assert Marks.build(grid.values()) == grid
    assert grid.described() == f"marks (artifact={artifact().sha256[:8]})"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"{}", "schema None, not 1"),
        (b"[]", "schema None, not 1"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"schema_version": 2}', "schema 2, not 1"),
        (json.dumps(json.loads(facts().content()) | {"steps": 0}).encode(), "steps: "),
        (json.dumps(json.loads(facts().content()) | {"more": 0}).encode(), "more: "),
        (facts().content().replace(b"1.5", b"NaN"), "fit_seconds"),
        (facts().content() + b" " * 17_000_000, "too large"),
    ],
    ids=["empty", "object", "list", "deep", "version", "value", "key", "nan", "large"],
)
def test_what_is_no_artifact_is_refused_in_a_line(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(BenchError) as caught:
        Marks.build({"artifact": str(file)})
    text = str(caught.value)
    assert text.startswith(f"{file} can't be read as an artifact of bench fit: ")
    assert reason in text
    assert "\n" not in text


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="No such file"):
        Marks.build({"artifact": str(tmp_path / "nothing.json")})
    with pytest.raises(BenchError, match="it is a folder"):
        Marks.build({"artifact": str(tmp_path)})


def test_the_cache_keeps_it_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    own = artifact(seed=1234)
    with pytest.raises(BenchError, match=r"no artifact sha256:.* is in the cache: give its file's path"):
        Artifact.read(own.plain)
    own.keep()
    assert Artifact.read(own.plain) == own
    stored_path(own.sha256).write_bytes(facts(seed=1235).content())
    other = artifact(seed=1236)
    stored_path(other.sha256).write_bytes(facts(seed=1235).content())
    with pytest.raises(BenchError, match="is damaged"):
        Artifact.read(other.plain)
    with pytest.raises(BenchError, match="is no SHA-256"):
        Artifact.read("sha256:../../passwd")


def test_a_run_takes_the_parameters_of_the_fit() -> None:
    own = artifact(parameters={"share": 0.25})
    assert Marks(artifact=own).share == 0.25
    assert Marks(artifact=own, share=0.25).share == 0.25
    with pytest.raises(BenchError, match=r"was fitted with share = 0\.25, not 0\.3"):
        Marks(artifact=own, share=0.3)
    with pytest.raises(BenchError, match="the artifact of marks is one of gits"):
        Marks(artifact=artifact(plugin="gits"))


def test_a_plugin_without_its_artifact_says_how_to_make_one() -> None:
    with pytest.raises(BenchError, match="marks needs its artifact: bench fit marks"):
        Marks().times(sde("vp"), 3)
