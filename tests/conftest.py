"""What holds for all tests: those that depend on what else runs on the host get a second and a third try.

A hypervisor that moves the vCPUs, or a neighbour that takes one for a moment, fails a measurement now and
then; three times in a row it is ours. Tests of pure code get one try, and so do those that mark themselves
`flaky(reruns=0)`: a result that is lost once is lost.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

# Where the tests run in a shell's background SIGINT is ignored, and every child would inherit that; the tests
# of Ctrl-C need what a terminal gives.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_ON_THE_HOST = {"integration", "probes"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of real processes and real CPUs."""
    folder = Path(__file__).parent
    for item in items:
        on_the_host = item.path.relative_to(folder).parts[0] in _ON_THE_HOST
        if on_the_host and item.get_closest_marker("flaky") is None:
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=2))
