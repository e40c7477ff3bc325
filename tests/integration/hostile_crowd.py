"""A crowd at a daemon's door: scrapers who behave, and a thousand connections that don't. Each runs as a process.

    hostile_crowd.py scrape HOST:PORT --clients 50 --seconds 30      prints one JSON line of figures
    hostile_crowd.py harass HOST:PORT --connections 1000 --seconds 40

Of the hostile connections 40 % say nothing, 30 % send a byte a second, 10 % each send garbage, oversized heads,
oversized bodies. Whoever is closed comes back within a second and a half. Of the scrapers half keep their
connection, as Prometheus does, and half connect anew; a kept connection that was closed meanwhile is tried once more on a
new one, as Go's HTTP client does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import time

_SEED = 20261122
_SCRAPE_LIMIT_S = 10.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Scraper:
    """One Prometheus: a scrape a second."""

    def __init__(self, host: str, port: int, keeps: bool) -> None:
        self._address = (host, port)
        self._keeps = keeps
        self._streams: Streams | None = None
        self.durations_s: list[float] = []
        self.lost: list[str] = []
        self.retries = 0

    async def run(self, end_s: float, chance: random.Random) -> None:
        await asyncio.sleep(chance.random())
        while time.monotonic() < end_s:
            begin_s = time.monotonic()
            try:
                async with asyncio.timeout(_SCRAPE_LIMIT_S):
                    await self._scrape_once_more()
                self.durations_s.append(time.monotonic() - begin_s)
            except (OSError, TimeoutError, EOFError, ValueError) as error:
                self.lost.append(repr(error))
                await self._close()
            await asyncio.sleep(max(0.0, begin_s + 1 - time.monotonic()))
        await self._close()

    async def _scrape_once_more(self) -> None:
        if self._streams is not None:
            try:
                return await self._scrape()
            except (OSError, EOFError):
                self.retries += 1
                await self._close()
        await self._scrape()
        return None

    async def _scrape(self) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(head[:40])
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        if b"toposcope_build_info" not in body:
            raise ValueError("not the metrics")
        if not self._keeps:
            await self._close()

    async def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None


async def scrape(host: str, port: int, clients: int, seconds: float) -> dict[str, object]:
    """Figures of all scrapers together."""
    end_s = time.monotonic() + seconds
    scrapers = [_Scraper(host, port, keeps=number % 2 == 0) for number in range(clients)]
    await asyncio.gather(
        *(each.run(end_s, random.Random(_SEED + number)) for number, each in enumerate(scrapers))
    )
    durations_ms = sorted(1e3 * each for scraper in scrapers for each in scraper.durations_s)
    lost = [reason for scraper in scrapers for reason in scraper.lost]
    return {
        "scrapes": len(durations_ms), "lost": len(lost), "reasons": sorted(set(lost))[:5],
        "retries": sum(each.retries for each in scrapers), "median_ms": round(statistics.median(durations_ms), 2),
        "p99_ms": round(durations_ms[int(len(durations_ms) * 0.99)], 2), "max_ms": round(durations_ms[-1], 2),
    }  # fmt: skip


async def _harasser(host: str, port: int, number: int, end_s: float, counts: dict[str, int]) -> None:
    chance = random.Random(_SEED - number)
    await asyncio.sleep(2 * chance.random())
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(max(0.1, end_s - time.monotonic())):
                reader, writer = await asyncio.open_connection(host, port)
                counts["connections"] += 1
                try:
                    await _misbehave(number % 10, chance, reader, writer)
                finally:
                    writer.close()
        await asyncio.sleep(0.5 + chance.random())


async def _misbehave(
    kind: int, chance: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
    if kind < 4:
        await reader.read()  # half-open: says nothing until it is closed
    elif kind < 7:
        for byte in head + b"X-Slow: " + b"a" * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)
    elif kind == 7:
        writer.write(chance.randbytes(500) + b"\r\n\r\n")
        await reader.read()
    elif kind == 8:
        writer.write(head + b"X-Large: " + b"a" * 100_000 + b"\r\n\r\n")
        await writer.drain()
        await reader.read()
    else:
        writer.write(
            b"POST /api/v1/recommend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(200):
            writer.write(b"2710\r\n" + b"a" * 10_000 + b"\r\n")
            await writer.drain()
        await reader.read()


async def harass(host: str, port: int, connections: int, seconds: float) -> dict[str, object]:
    """How many connections were made."""
    end_s = time.monotonic() + seconds
    counts = {"connections": 0}
    await asyncio.gather(*(_harasser(host, port, number, end_s, counts) for number in range(connections)))
    return dict(counts)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("scrape", "harass"))
    parser.add_argument("address")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    host, _, port = options.address.rpartition(":")
    if options.what == "scrape":
        found = asyncio.run(scrape(host, int(port), options.clients, options.seconds))
    else:
        found = asyncio.run(harass(host, int(port), options.connections, options.seconds))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
