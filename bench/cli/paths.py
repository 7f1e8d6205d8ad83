"""The type of options and arguments that are paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class NamedPath(click.Path):
    """A path that is not empty: ``""`` would be the current folder, which nobody named."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; click's error for an empty one."""
        if value == "":
            self.fail("an empty path names nothing: give one, such as . for the current folder", param, ctx)
        return super().convert(value, param, ctx)
