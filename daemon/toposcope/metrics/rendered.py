"""From samples to bytes, kept until the view changes: a scrape costs a look-up and never measures.

Written here and not by prometheus_client, which takes several times as long for a page of thousands of
series, on the daemon's loop, and costs memory; its parsers are the judge in the tests. Sources: "Text-based
format" in Prometheus' documentation; OpenMetrics 1.0, section "Text format".
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterable
from typing import Final

from toposcope.metrics.collect import collect
from toposcope.metrics.family import Lines
from toposcope.view import View

OPENMETRICS_CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


# However many clients ask: a view that changes at every visit is rendered at most this often.
_INTERVAL_S: Final = 0.25


class Rendered:
    """The metrics as bytes, in each form once, until the view's version changes (and a moment has passed)."""

    def __init__(self, view: View, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._monotonic_s = monotonic_s
        self._version = -1
        self._rendered_s = -_INTERVAL_S
        self._families: list[Lines] = []
        self._bytes: dict[tuple[bool, bool], bytes] = {}

    def get(self, *, as_openmetrics: bool, gzipped: bool) -> bytes:
        """The metrics in the text format of Prometheus or of OpenMetrics, gzipped or not."""
        now_s = self._monotonic_s()
        if self._version != self._view.version and now_s - self._rendered_s >= _INTERVAL_S:
            self._families = collect(self._view).families()
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
        text = openmetrics_text(self._families) if as_openmetrics else prometheus_text(self._families)
        return text.encode()


def prometheus_text(families: Iterable[Lines]) -> str:
    """The text format 0.0.4, which knows no type `info`."""
    parts: list[str] = []
    for found in families:
        family = found.family
        kind = "gauge" if family.kind == "info" else family.kind
        parts += [f"# HELP {family.name} {_help(family.help)}\n# TYPE {family.name} {kind}\n", *found.lines]
    return "".join(parts)


def openmetrics_text(families: Iterable[Lines]) -> str:
    """OpenMetrics 1.0: the metadata names the family without its samples' suffix."""
    parts: list[str] = []
    for found in families:
        family = found.family
        parts.append(f"# HELP {family.stem} {_help(family.help)}\n# TYPE {family.stem} {family.kind}\n")
        parts += found.lines
    return "".join([*parts, "# EOF\n"])


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
