"""From parts to bytes, kept until the view changes: a scrape costs a look-up and never measures.

prometheus_client writes all text. After a change it writes only the parts that are new; the first time, when
all of them are, others get their turn on the event loop in between. Compressing is left to a thread, where
zlib lets go of the interpreter.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from toposcope.metrics.collect import parts
from toposcope.metrics.family import Part, Samples
from toposcope.view import View

OPENMETRICS_CONTENT_TYPE: Final = openmetrics.CONTENT_TYPE_LATEST
TEXT_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# However many clients ask: a view that changes at every visit is rendered at most this often, since it is
# the measuring budget that pays.
_INTERVAL_S: Final = 0.25
# So long the event loop may be kept from all else.
_TURN_S: Final = 0.002
_OPENMETRICS_END: Final = b"# EOF\n"

_Chunks = dict[str, tuple[bytes, bytes]]  # by the stem of a family: its comment lines and its samples' lines


class Rendered:
    """The metrics as bytes, in each form once, until the view's version changes (and a moment has passed)."""

    def __init__(self, view: View, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._monotonic_s = monotonic_s
        self._version = -1
        self._rendered_s = -_INTERVAL_S
        self._rendering = asyncio.Lock()
        self._expositions = {True: Exposition(as_openmetrics=True), False: Exposition(as_openmetrics=False)}
        self._bytes: dict[tuple[bool, bool], bytes] = {}

    async def get(self, *, as_openmetrics: bool, gzipped: bool) -> bytes:
        """The metrics in the text format of Prometheus or of OpenMetrics, gzipped or not."""
        async with self._rendering:
            now_s = self._monotonic_s()
            if self._version != self._view.version and now_s - self._rendered_s >= _INTERVAL_S:
                self._version = self._view.version
                self._rendered_s = now_s
                self._bytes.clear()
            return await self._get(as_openmetrics, gzipped)

    async def _get(self, as_openmetrics: bool, gzipped: bool) -> bytes:
        key = (as_openmetrics, gzipped)
        if key not in self._bytes:
            if gzipped:
                plain = await self._get(as_openmetrics, False)
                self._bytes[key] = await asyncio.to_thread(gzip.compress, plain, 1)
            else:
                exposition = self._expositions[as_openmetrics]
                await _in_turns(exposition.update(parts(self._view)))
                self._bytes[key] = exposition.body()
        return self._bytes[key]


async def _in_turns(steps: Iterator[None]) -> None:
    """Take the steps, with a pause for others on the event loop as soon as they took their time."""
    turn_s = time.monotonic()
    for _ in steps:
        if time.monotonic() - turn_s >= _TURN_S:
            await asyncio.sleep(0)
            turn_s = time.monotonic()


class Exposition:
    """The bytes of one format, part by part."""

    def __init__(self, *, as_openmetrics: bool) -> None:
        self._generate = openmetrics.generate_latest if as_openmetrics else generate_latest
        self._end = _OPENMETRICS_END if as_openmetrics else b""
        self._kept: dict[object, tuple[object, _Chunks]] = {}

    def update(self, now: Iterable[Part]) -> Iterator[None]:
        """Write the parts that are new or whose source is another one; a step each."""
        before, self._kept = self._kept, {}
        for part in now:
            source, chunks = before.get(part.key, (None, {}))
            if part.key not in before or source != part.source:
                chunks = self._written(part)
            self._kept[part.key] = (part.source, chunks)
            yield

    def _written(self, part: Part) -> _Chunks:
        samples = Samples()
        part.add(samples)
        chunks: _Chunks = {}
        for metric in samples.metrics():
            text = self._generate(_Only(metric)).removesuffix(self._end)
            # Two lines of comment, then the samples: label values have their line ends escaped.
            help_line, type_line, lines = text.split(b"\n", 2)
            chunks[metric.name] = (b"%s\n%s\n" % (help_line, type_line), lines)
        return chunks

    def body(self) -> bytes:
        """All families that have samples, each with its parts' lines in the order of the parts."""
        families: dict[str, list[bytes]] = {}
        for _, chunks in self._kept.values():
            for stem, (head, lines) in chunks.items():
                families.setdefault(stem, [head]).append(lines)
        return b"".join([line for lines in families.values() for line in lines] + [self._end])


class _Only(Collector):
    """One family, for prometheus_client."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """The family."""
        return (self._metric,)
