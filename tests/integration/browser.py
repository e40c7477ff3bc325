"""Debian's Chromium, driven by Playwright; tests that need it skip with a reason where one is absent."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser with an empty profile of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Debian's chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class OpenPage:
    """One page, with all that it complained about and asked for."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context))
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", self._note)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.url = url

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def __enter__(self) -> Self:
        self.tab.goto(self.url)
        self.tab.wait_for_selector("body[data-ready]", timeout=20_000)
        return self

    def wait_until(self, expression: str, limit_s: float = 20.0) -> None:
        """Evaluate until it is true. (The tab's own wait_for_function needs 'unsafe-eval' to poll.)"""
        end_s = time.monotonic() + limit_s
        while not self.tab.evaluate(expression):
            assert time.monotonic() < end_s, f"not true within {limit_s} s: {expression}"
            self.tab.wait_for_timeout(50)

    def __exit__(self, *_: object) -> None:
        self.context.close()
