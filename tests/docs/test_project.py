"""The project's own files agree: versions, Python versions, workflow, citation, release notes."""

from __future__ import annotations

import os
import re
import tomllib

import bench
from tests.support.pages import page
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"


def pythons() -> list[str]:
    """The Python versions of the classifiers."""
    pattern = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    return [match[1] for text in PROJECT["project"]["classifiers"] if (match := pattern.fullmatch(text))]


def test_the_version_has_one_source() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "bench/__init__.py"
    assert re.search(r"^version: (\S+)$", page("CITATION.cff"), re.MULTILINE)[1] == bench.__version__  # type: ignore[index]
    assert page("CHANGELOG.md").splitlines()[2].startswith(f"## {bench.__version__} ")
    assert f"sampler_bench-{bench.__version__}-py3" in page("docs/guide/install.md")


def test_the_workflow_tests_every_declared_python() -> None:
    (listed,) = re.findall(r"^        python: \[(.*)\]$", WORKFLOW.read_text(), re.MULTILINE)
    assert re.findall(r'"(3\.\d+)"', listed) == pythons()
    assert PROJECT["project"]["requires-python"] == f">={pythons()[0]}"
    assert f'python: "{pythons()[0]}"\n            libraries: oldest' in WORKFLOW.read_text()


def test_the_workflow_and_ci_run_the_readmes_command_and_try_the_wheel() -> None:
    for file in (WORKFLOW, ROOT / ".ci" / "run"):
        text = file.read_text()
        assert "grep -A2 '<!-- test command -->' README.md" in text
        assert "sphinx -W" in text
        assert ".ci/try-wheel" in text
    assert os.access(ROOT / ".ci" / "try-wheel", os.X_OK)


def test_the_readme_has_the_second_command_that_the_wheel_is_tried_with() -> None:
    commands = re.findall(r"^    \.venv/bin/bench (run .*)$", page("README.md"), re.MULTILINE)
    assert commands == ["run --sde vp --predictor reverse_diffusion --corrector langevin"]


def test_every_extra_is_in_the_docs() -> None:
    for extra in PROJECT["project"]["optional-dependencies"]:
        assert f"`.[{extra}]`" in page("docs/guide/install.md")
