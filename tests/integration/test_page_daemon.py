"""The page of a real daemon: it fills while it is open, and never holds the daemon back from stopping."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from integration.browser import OpenPage, chromium
from integration.daemon_process import DaemonProcess

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="pairs need two CPUs"),
]


def test_results_arrive_on_an_open_page_and_stopping_takes_less_than_two_seconds(tmp_path: Path) -> None:
    with (
        chromium() as browser,
        DaemonProcess(tmp_path) as daemon,
        OpenPage(browser, daemon.url + "/") as page,
    ):
        page.tab.wait_for_selector("#probes tbody tr", timeout=60_000)
        assert page.complaints == []
        page.tab.evaluate("poll()")
        began_s = time.monotonic()
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(10) == 0
        assert time.monotonic() - began_s < 2
        page.tab.wait_for_selector("#banner:not([hidden])", timeout=20_000)
