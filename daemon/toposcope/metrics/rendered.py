"""From samples to bytes, kept until the view changes: a scrape costs a look-up and never measures."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from toposcope.metrics.collect import collect
from toposcope.view import View

OPENMETRICS_CONTENT_TYPE: Final = openmetrics.CONTENT_TYPE_LATEST
TEXT_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# However many clients ask: a view that changes at every visit is rendered at most this often. Rendering
# a thousand series takes some 20 ms of CPU time, and it is the measuring budget that pays.
_INTERVAL_S: Final = 0.25


class _ViewCollector(Collector):
    """All metrics of one view, gathered anew at every rendering."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        """The families that have samples now."""
        return collect(self._view).metrics()


class Rendered:
    """The metrics as bytes, in each form once, until the view's version changes (and a moment has passed)."""

    def __init__(self, view: View, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._monotonic_s = monotonic_s
        self._version = -1
        self._rendered_s = -_INTERVAL_S
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_ViewCollector(view))
        self._bytes: dict[tuple[bool, bool], bytes] = {}

    def get(self, *, as_openmetrics: bool, gzipped: bool) -> bytes:
        """The metrics in the text format of Prometheus or of OpenMetrics, gzipped or not."""
        now_s = self._monotonic_s()
        if self._version != self._view.version and now_s - self._rendered_s >= _INTERVAL_S:
            self._version = self._view.version
            self._rendered_s = now_s
            self._bytes.clear()
        key = (as_openmetrics, gzipped)
        if key not in self._bytes:
            self._bytes[key] = self._render(as_openmetrics, gzipped)
        return self._bytes[key]

    def _render(self, as_openmetrics: bool, gzipped: bool) -> bytes:
        if gzipped:
            return gzip.compress(self.get(as_openmetrics=as_openmetrics, gzipped=False), compresslevel=1)
        text = openmetrics.generate_latest if as_openmetrics else generate_latest
        return bytes(text(self._registry))
