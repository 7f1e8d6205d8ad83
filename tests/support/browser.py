"""Debian's Chromium by Playwright: tests that use it skip where one of them is absent."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking"]


def require_browser() -> str:
    """The path of Chromium; the test skips where there is none, or no Playwright."""
    for module in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    return path


@contextmanager
def started_browser() -> Iterator[Browser]:
    """A Chromium that ends with the block."""
    path = require_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def wait_for(page: Page, condition: str, seconds: float = 60.0) -> Any:
    """Poll until an expression of the page is true; its policy forbids Playwright's own way of waiting."""
    end = time.monotonic() + seconds
    while not (value := page.evaluate(condition)):
        assert time.monotonic() < end, f"still not: {condition}"
        time.sleep(0.02)
    return value


class OpenPage:
    """A page in the browser, with what it asked for and what it complained of.

    Args:
        browser: The browser.
        file: The page.
        settings: Settings of the browser's context, such as ``color_scheme``.
    """

    def __init__(self, browser: Browser, file: Path, **settings: Any) -> None:
        self.page = browser.new_page(**settings)
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        wait_for(self.page, "document.documentElement.dataset.ready === 'true'")

    def check(self, file: Path) -> None:
        """Nothing but the file was asked for, and the console has no word."""
        assert self.messages == []
        assert [url for url in self.requests if not url.startswith(("data:", "blob:"))] == [file.as_uri()]
