"""A skipped test is a failure unless its reason is known: a pytest plugin, used by the tests' conftest."""

from __future__ import annotations

import re

import pytest

ALLOWED_SKIPS = {
    "browser": r"(playwright|axe_playwright_python|chromium) is not installed",
    "gpu": r"no GPU here",
    "cpu": r"this machine has a GPU",
    "inception": r"inception/.* is not here",
    "azula": r"azula is (not )?installed",
    "kdiffusion": r"k-diffusion is (not )?installed",
    "ray": r"ray is not installed",
    "mount": r"a small tmpfs can't be mounted",
    "tensorboard": r"TensorBoard is not installed",
    "torchcfm": r"torchcfm is not installed",
    "sigpipe": r"no SIGPIPE there",
}
"""Reasons for which a test may skip: a name, and a regular expression that finds the skip's message."""


class SkipCheck:
    """Collects skips that no pattern allows, and fails the session for them."""

    def __init__(self, patterns: list[str]) -> None:
        self.patterns = patterns
        self.refusals: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._check(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._check(report)

    def _check(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not any(re.search(pattern, reason) for pattern in self.patterns):
            self.refusals.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refusals and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.refusals:
            terminalreporter.section("skipped, which counts as a failure (--allow-skip PATTERN)", red=True)
            for line in self.refusals:
                terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--allow-skip",
        action="append",
        default=[],
        metavar="PATTERN",
        help="let tests skip whose reason matches this regular expression",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of pytest-xdist's processes, the one that collects reports
        patterns = [*ALLOWED_SKIPS.values(), *config.getoption("--allow-skip")]
        config.pluginmanager.register(SkipCheck(patterns), "skip-check")
