"""``bench doctor``'s conditions: what is here, what is absent, what is broken, and what to do."""

from __future__ import annotations

import dataclasses
import sys
from importlib import metadata
from pathlib import Path

import pytest

import bench
from bench.reporting import diagnosis
from bench.reporting.diagnosis import Condition, Diagnosis, diagnose
from bench.types import JSONObject
from tests.support.pages import page
from tests.support.plugins import empty_registry, hooks, installed


def only(result: Diagnosis, section: str, subject: str) -> Condition:
    """The only condition of a subject."""
    (one,) = (one for one in result.sections[section] if one.subject == subject)
    return one


def test_versions_are_those_of_the_packages() -> None:
    result = diagnose(installed())
    assert f"sampler-bench {bench.__version__} in " in only(result, "program", "bench").detail
    for name in ("torch", "numpy", "clean-fid"):
        assert only(result, "libraries", name) == Condition(name, "ok", metadata.version(name))
    assert only(result, "devices", "cpu").state == "ok"


def test_an_empty_cache_lacks_weights_and_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the address that it is fetched from and the path where it goes; nothing is fetched."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("bench_fid.inception.TEMPORARY", tmp_path / "none")
    result = diagnose(installed())
    files = [one for one in result.sections["files"] if one.subject == "extractor inception"]
    assert {one.state for one in files} == {"absent"}
    for one, name in zip(
        files, ("inception-2015-12-05.pt", "cifar10_legacy_tensorflow_train_32.npz"), strict=True
    ):
        assert one.detail == f"{name} is not here"
        assert "https://" in one.remedy
        assert one.remedy.endswith(
            f"{tmp_path}/cache/{'inception' if name.endswith('.pt') else 'stats'}/{name}"
        )
    assert only(result, "files", "extractor dinov2").state == "absent"
    assert not (tmp_path / "cache").exists()


def test_what_is_in_the_cache_is_not_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    for place in ("inception/inception-2015-12-05.pt", "stats/cifar10_legacy_tensorflow_train_32.npz"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_bytes(b"0" * 1000)
    result = diagnose(installed())
    assert [one for one in result.sections["files"] if one.subject == "extractor inception"] == []
    assert "2 files" in only(result, "caches", "cache").detail


def test_a_cache_that_can_not_be_written_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("BENCH_CACHE", str(file / "cache"))
    one = only(diagnose(empty_registry()), "caches", "cache")
    assert (one.state, one.remedy) == ("broken", "set BENCH_CACHE to a folder that you can write")


def test_a_skipped_plugin_is_broken() -> None:
    registry = empty_registry()
    registry.load(hooks("predictors", int), "third-party", "1.0")
    result = diagnose(registry)
    assert not result.works
    assert "third-party" in only(result, "plugins", "plugin").detail


def test_other_programs_of_the_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell's order; an absolute path twice is one."""
    for folder, text in (("other", "from frappe_bench import cli"), ("own", "from bench.cli import main")):
        script = tmp_path / folder / "bench"
        script.parent.mkdir()
        script.write_text(f"#!/usr/bin/python\n{text}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'other'}:{tmp_path / 'own'}:{tmp_path / 'other'}")
    first, second = (
        one for one in diagnose(empty_registry()).sections["program"] if one.subject == "command"
    )
    assert first == Condition(
        "command",
        "absent",
        f"{tmp_path / 'other' / 'bench'}, another program of the name, the one that a shell runs",
        "python -m bench always runs this one",
    )
    assert (second.state, second.detail) == ("ok", f"{tmp_path / 'own' / 'bench'}, this project's")
    monkeypatch.setenv("PATH", str(tmp_path))
    (none,) = (one for one in diagnose(empty_registry()).sections["program"] if one.subject == "command")
    assert (none.state, none.detail) == ("absent", "no bench on the PATH")


@pytest.mark.parametrize(
    ("file", "text"),
    [("top_level.txt", "bench\n"), ("entry_points.txt", "[console_scripts]\nbench = x:main\n")],
)
def test_a_package_of_the_name_in_the_environment_is_broken(
    file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "frappe_bench-5.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: frappe-bench\nVersion: 5.0\n")
    (info / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    result = diagnose(empty_registry())
    assert only(result, "program", "package of frappe-bench").state == "broken"
    assert not result.works


def test_builds_that_do_not_fit_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision of another build than torch fails when it is imported."""

    def fail(name: str) -> object:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return sys.modules[name]

    monkeypatch.setattr(diagnosis, "import_module", fail)
    one = only(diagnose(empty_registry()), "libraries", "torchvision")
    assert one.state == "broken"
    assert "RuntimeError: operator torchvision::nms does not exist" in one.detail
    assert one.remedy == "install torch and torchvision again, both from one index and of one build"


def test_a_missing_library_names_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    original = metadata.version

    def version(name: str) -> str:
        if name in ("scipy", "diffusers"):
            raise metadata.PackageNotFoundError(name)
        return original(name)

    monkeypatch.setattr(metadata, "version", version)
    result = diagnose(empty_registry())
    assert only(result, "libraries", "scipy") == Condition(
        "scipy", "broken", "not installed", "pip install scipy"
    )
    assert only(result, "libraries", "diffusers").state == "absent"


def test_the_page_of_json_has_every_key() -> None:
    (row,) = (
        line
        for line in page("docs/reference/json.md").splitlines()
        if line.startswith("| `bench doctor --json` |")
    )
    plain: JSONObject = diagnose(empty_registry()).plain()
    for key in [*plain, *(field.name for field in dataclasses.fields(Condition))]:
        assert f"`{key}`" in row


def test_every_library_of_an_extra_that_a_flag_needs_is_listed() -> None:
    subjects = {one.subject for one in diagnose(installed()).sections["libraries"]}
    assert {"azula", "diffusers", "k-diffusion", "ray", "tensorboard"} <= subjects
    absent = [one for one in diagnose(installed()).sections["libraries"] if one.state == "absent"]
    assert all(" for --" in one.remedy for one in absent)


@pytest.mark.parametrize(("threads", "words"), [(1, "1 thread"), (3, "3 threads")])
def test_threads_are_counted(threads: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    assert only(diagnose(installed()), "devices", "cpu").detail.endswith(f", {words}")
