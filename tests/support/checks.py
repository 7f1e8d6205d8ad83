"""What the conformance kit's checks use, for tests that use it too."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from bench import Plugin
from bench.testing.context import CheckContext
from bench.testing.kit import check
from bench.testing.report import Report
from tests.support.plugins import installed


@functools.cache
def context() -> CheckContext:
    """The context of checks with the installed plugins, shared by all tests of a process."""
    return CheckContext(installed())


def report(thing: str | Plugin | type[Plugin], sdes: Sequence[str] = ("vp",), **parameters: Any) -> Report:
    """The report on a plugin, a sampler on VP alone by default."""
    return check(thing, registry=installed(), sdes=sdes, **parameters)


def failures(
    thing: str | Plugin | type[Plugin], sdes: Sequence[str] = ("vp",), **parameters: Any
) -> set[str]:
    """Names of the failed checks."""
    return {finding.name for finding in report(thing, sdes, **parameters).failures}
