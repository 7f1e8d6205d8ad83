"""Where the project, its fixtures and its golden files are."""

from __future__ import annotations

from pathlib import Path

TESTS_PATH = Path(__file__).resolve().parents[1]
ROOT = TESTS_PATH.parent
FIXTURES_PATH = TESTS_PATH / "fixtures"
GOLDEN_PATH = TESTS_PATH / "golden"
