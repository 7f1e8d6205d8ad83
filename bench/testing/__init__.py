"""The conformance kit, and the packages that ``bench new`` writes.

In a plugin's own tests::

    from bench import assert_conforms

    def test_mine() -> None:
        assert_conforms(MyPredictor)
"""

from bench.testing.kit import ROLES, SDES, assert_conforms, check, find_plugin, role_of
from bench.testing.report import Finding, Point, Report

__all__ = [
    "ROLES",
    "SDES",
    "Finding",
    "Point",
    "Report",
    "assert_conforms",
    "check",
    "find_plugin",
    "role_of",
]
