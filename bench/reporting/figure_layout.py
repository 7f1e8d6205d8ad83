"""The layout of a figure: texts above, legend below, panels between; and its files."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.reporting.figure_style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEGEND, PANELS, TICKS = 80, 12, 20
"""Greatest number of names in a legend, of panels side by side, and of names at an axis."""
TICK_TEXT, TICK_LINES = 50, 6
"""Characters that fit side by side below a panel, and the greatest number of lines of a tick's label."""
NAME = 56
"""Greatest number of characters of a name above or beside a panel."""
MARGINS = 2.0
"""Inches above and below the panels that a figure's usual height leaves."""


def arrange(figure: Figure, texts: Sequence[str], entries: Mapping[str, Any], ticks: int = 1) -> None:
    """Texts above, legend below, and the panels between them; a long legend makes the figure higher.

    The sizes are computed in inches: matplotlib's search for a layout takes as long as the drawing.
    ``ticks`` is the number of text lines at the lower axes' ticks.
    """
    width, height = figure.get_size_inches()
    names = [shorten(name, int((width - 0.9) / 0.075)) for name in entries]
    handles = list(entries.values())
    if len(names) > LEGEND:
        more = len(names) - LEGEND
        names, handles = [*names[:LEGEND], f"… and {more} more"], [*handles[:LEGEND], _no_line()]
    # a letter is 0.075 inches wide, a legend line 0.7
    columns = int(width / (0.7 + 0.075 * max(map(len, names), default=0)))
    columns = max(1, min(len(names), 5, columns))
    most = int(width * 13)
    lines = [line for text in texts for line in textwrap.wrap(shorten(text, most * 4), most)]
    legend_lines = -(-len(names) // columns)
    above, below = 0.32 + 0.15 * len(lines), 0.72 + 0.175 * legend_lines + 0.14 * max(ticks - 2, 0)
    # what does not fit in the usual margins is added, so that the panels keep their size
    height += max(0.0, above + below - MARGINS)
    figure.set_size_inches(width, height)
    figure.suptitle("\n".join(lines), fontsize=9, y=1 - 0.06 / height, va="top")
    figure.legend(handles, names, loc="lower center", ncols=columns, handlelength=3.2)
    figure.subplots_adjust(
        left=0.85 / width,
        right=1 - 0.12 / width,
        top=1 - above / height,
        bottom=below / height,
        wspace=0.06,
        hspace=0.08,
    )


def shorten(name: str, most: int) -> str:
    """The name, cut in its middle to ``most`` characters: names of one table often differ at their ends."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def _no_line() -> Any:
    """The handle of a legend's text without a line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none")


def check_panels(sdes: Sequence[str]) -> None:
    """`BenchError` where a figure would be too wide to be read or drawn."""
    if not sdes:
        raise BenchError("no cell has a value")
    if len(sdes) > PANELS:
        raise BenchError(f"{len(sdes)} SDEs are more panels than the {PANELS} that a picture holds")


def tick_labels(columns: Sequence[str]) -> list[str]:
    """Names of columns, a word per line, cut to what fits below the axes."""
    most = max(8, TICK_TEXT // min(len(columns), TICKS))
    labels = []
    for column in columns:
        words = [line for word in column.split() for line in textwrap.wrap(word, most)]
        words = words if len(words) <= TICK_LINES else [*words[: TICK_LINES - 1], "…"]
        labels.append("\n".join(words))
    return labels


def images(figure: Figure) -> Iterator[tuple[str, bytes]]:
    """A figure as ``png`` and ``svg``: suffix and content, the same bytes each time."""
    import matplotlib as mpl

    # line art is hardly smaller at higher levels, which take longer
    png: dict[str, Any] = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}}
    for suffix, options in (("png", png), ("svg", {"metadata": {"Date": None}})):
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            figure.savefig(buffer, format=suffix, **options)
        yield suffix, buffer.getvalue()


def save(figure: Figure, stem: Path, write: Callable[[Path, bytes], None]) -> list[Path]:
    """Write the `images` of a figure beside ``stem``; their paths."""
    paths = []
    for suffix, content in images(figure):
        paths.append(stem.with_name(f"{stem.name}.{suffix}"))
        write(paths[-1], content)
    return paths
