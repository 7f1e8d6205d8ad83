"""The notebook of the docs runs from a sampler class and a network in memory to a table and a picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.paths import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"

# warnings of Jupyter's own packages
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(300),
]


def outputs(notebook: nbformat.NotebookNode) -> dict[str, list[str]]:
    """Text of the outputs by MIME type, in order."""
    texts: dict[str, list[str]] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            for kind, text in output.get("data", {}).items():
                texts.setdefault(kind, []).append(text)
    return texts


def test_the_notebook_ends_in_a_table_and_a_picture(tmp_path: Path) -> None:
    shutil.copy(NOTEBOOK, tmp_path)
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    texts = outputs(notebook)
    assert texts["image/png"]
    tables = "".join(texts["text/html"])
    for part in ("bashforth", "ddim", "gaussian-cifar10", "tiny", "fd_dct"):
        assert part in tables
    assert sorted(path.name for path in (tmp_path / "notebook-results").iterdir() if path.is_dir()) == [
        "images",
        "logs",
        "records",
        "samples",
    ]
    assert len(list((tmp_path / "notebook-results" / "records").iterdir())) == 3


def test_the_committed_notebook_has_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    assert all(not cell.get("outputs") for cell in notebook.cells)
