"""Sphinx: the pages of this folder, and the API reference from the docstrings of `bench`.

python -m sphinx -W --keep-going -b html docs docs/_build
"""

from __future__ import annotations

import inspect
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "sampler-bench"
author = "the sampler-bench authors"
project_copyright = "2026, the sampler-bench authors"
version = release = bench.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
exclude_patterns = ["_build"]
templates_path: list[str] = []

html_theme = "furo"
html_title = f"sampler-bench {release}"
html_copy_source = False
highlight_language = "text"
numfig = True
math_eqref_format = "({number})"

myst_enable_extensions = ["amsmath", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
myst_dmath_double_inline = False

# a parameter's name that is a type's too is no link
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_use_type_comments = False
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
"""A Markdown link that is no picture: its text and its target."""


def repository() -> str | None:
    """The address of this commit's files where the pages are built from a public copy, as GitHub's workflows
    name it; None elsewhere: the pages then name a file without a link.
    """
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if not (server and name):
        return None
    return f"{server}/{name}/tree/{os.environ.get('GITHUB_SHA', 'main')}"


def link_files(text: str, folder: Path) -> str:
    """Links to files of the project that are no pages: to the repository, or the text alone.

    Args:
        text: A page's Markdown.
        folder: The folder from which its links are relative.

    Returns:
        The Markdown that Sphinx reads.
    """

    def link(match: re.Match[str]) -> str:
        words, target = match.groups()
        path = (folder / target.partition("#")[0]).resolve()
        if "://" in target or target.startswith("#"):
            return match[0]
        place = path.relative_to(ROOT).as_posix()
        page = PAGES_OF_FILES.get(place, place.removeprefix("docs/") if path.is_relative_to(DOCS) else None)
        if page is not None:
            anchor = target.partition("#")[1:]
            return f"[{words}](/{page}{''.join(anchor)})"
        return f"[{words}]({repository()}/{place})" if repository() else words

    return LINK.sub(link, text)


PAGES_OF_FILES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
}
"""Files of the project's root that a page stands for."""


def notebook_markdown(text: str) -> str:
    """A notebook's cells as one Markdown page."""
    blocks = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        blocks.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(blocks) + "\n"


def read_source(app: Sphinx, name: str, content: list[str]) -> None:
    """A page's text as Sphinx reads it: notebooks as Markdown, links to files of the project resolved."""
    path = Path(app.env.doc2path(name))
    text = notebook_markdown(content[0]) if path.suffix == ".ipynb" else content[0]
    content[0] = link_files(text, path.parent)


def read_include(app: Sphinx, relative: Path, parent: str, content: list[str]) -> None:
    """The same of a file that a page includes, whose links are relative to its own folder."""
    content[0] = link_files(content[0], (DOCS / relative).resolve().parent)


def escape_formulas(
    app: object, kind: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Docstrings hold formulas: ``x_i``, ``|z|`` and ``a * b`` outside of literals are no markup."""
    text = "\n".join(lines)
    parts = re.split(r"(``.+?``)", text, flags=re.DOTALL)
    for i in range(0, len(parts), 2):
        plain = re.sub(r"(?<!`)`([^`\n]+)`(?!`)", r"``\1``", parts[i])
        inner = re.split(r"(``.+?``)", plain)
        inner[::2] = [re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", piece) for piece in inner[::2]]
        parts[i] = "".join(inner)
    lines[:] = "".join(parts).split("\n")


def skip_inherited(
    app: object, kind: str, name: str, thing: object, skip: bool, options: object
) -> bool | None:
    """Members without a docstring of their own stay out."""
    return True if not inspect.getdoc(thing) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", read_source)
    app.connect("include-read", read_include)
    # before napoleon, which reads the sections
    app.connect("autodoc-process-docstring", escape_formulas, priority=400)
    app.connect("autodoc-skip-member", skip_inherited)
    return {"parallel_read_safe": True}
