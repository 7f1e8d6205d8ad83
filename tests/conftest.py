"""Settings of all tests: one thread where several processes share the cores, the property tests' examples
(the same every time in CI, new ones elsewhere), which tests may skip, and which come first."""

from __future__ import annotations

import gc
import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from tests.support import order, skips
from tests.support.order import pytest_collection_modifyitems as pytest_collection_modifyitems

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_configure(config: pytest.Config) -> None:
    order.pytest_configure(config)
    skips.pytest_configure(config)


def pytest_collection_finish() -> None:
    """Modules and tests are no garbage: no collection has to look through them again."""
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    skips.pytest_addoption(parser)
    parser.addoption("--all-plants", action="store_true", help="judge bench check by every plant")
