"""The routes of the page: `/`, what it loads, and the history of a result.

Everything comes from this daemon and nothing inline is run: the Content-Security-Policy allows no more, so
that even markup that slipped in would do nothing. Pages poll `/page/live`; there is no open stream, so a
stop of the daemon waits for no page.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import toposcope_probes
from toposcope.http import SCHEMA_VERSION, ApiError, accepts_gzip, integer, json_response
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.page.heatmap import heatmap_document
from toposcope.page.history import mode_lines, points_of
from toposcope.page.measured import measured_topology
from toposcope.page.sections import STATIC, Claims, Sections, claims_of, environment
from toposcope.render import svg, topology_svg
from toposcope.render.history_svg import Point, history_svg
from toposcope.render.matrix_unit import for_people, scaled
from toposcope.results import Result, Visit
from toposcope.view import View
from toposcope_probes.contract import ProbeSpec, TargetKind

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# A picture that stands alone carries its style; it runs nothing.
_PICTURE_POLICY: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_EVENTS_SHOWN: Final = 20
# However many pages are open: what they show is made anew at most this often, and with at most 1/200 of a CPU
# each, since it is charged to the daemon's budget (a matrix of 512 CPUs takes 0.2 s, its levels a second).
_AGE_S: Final = 2.0
_AGE_PER_COST: Final = 200.0
_GZIP_LEVEL: Final = 6
_REPLAYED: Final = "latency_ns"
_HOURS_MAX: Final = 24 * 366
_HOURS_DEFAULT: Final = 24
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Sources(Protocol):
    """What the page needs of the service besides the view."""

    async def events(self, limit: int) -> list[dict[str, Any]]:
        """The newest events, newest first."""

    async def history(self, result_id: str) -> Sequence[Visit]:
        """All visits of a result that are kept singly, oldest first."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A body that was made for a version of the view; it may be used until `until_s` (monotonic)."""

    version: int
    until_s: float
    body: bytes
    packed: bytes


class Page:
    """The page's handlers. `claims_now` gives the claims of a view; by default they are judged anew."""

    def __init__(
        self,
        view: View,
        sources: Sources,
        claims_now: Claims = claims_of,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._view = view
        self._sources = sources
        self._wall_s = wall_s
        self._sections = Sections(view, claims_now)
        self._files = _static_files()
        self._kept: dict[str, _Kept] = {}

    async def prepare(self) -> None:
        """Make what the first reader would have to wait for: of 384 CPUs some 0.3 s."""
        self._sections.page([])
        await self._heatmap(_pair_probe(MATRIX_PROBE))

    def routes(self) -> list[Route]:
        """Every path of the page."""
        return [
            Route("/", self._get_page),
            Route("/page/live", self._get_live),
            Route("/page/heatmap/{probe}", self._get_heatmap),
            Route("/page/measured", self._get_measured),
            Route("/page/history.svg", self._get_history_picture),
            Route("/page/topology.svg", self._get_topology_picture),
            Route("/page/{name}", self._get_file),
            Route("/api/v1/history/{result_id:path}", self._get_history),
        ]

    async def _get_page(self, request: Request) -> Response:
        html = self._sections.page(await self._sources.events(_EVENTS_SHOWN))
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
        return _answer(request, html.encode(), "text/html; charset=utf-8", headers)

    async def _get_file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            raise ApiError(404, "not_found", "the page has no such file", "see /")
        return _answer(request, self._files[name], _TYPES[Path(name).suffix])

    async def _get_live(self, request: Request) -> Response:
        async def make() -> bytes:
            sections = self._sections.live(await self._sources.events(_EVENTS_SHOWN))
            return msgspec.json.encode({
                "fingerprint": self._view.fingerprint,
                "busy_cpus": self._view.status.get("busy_cpus", ()),
                "sections": {name: str(html) for name, html in sections.items()},
            })  # fmt: skip

        kept = await self._keep("live", self._view.version, make)
        return _answer(request, kept.body, "application/json", packed=kept.packed)

    async def _get_heatmap(self, request: Request) -> Response:
        kept = await self._heatmap(_pair_probe(request.path_params["probe"]))
        return _answer(request, kept.body, "application/json", packed=kept.packed)

    async def _heatmap(self, spec: ProbeSpec) -> _Kept:
        async def make() -> bytes:
            # A matrix file says nothing of its probe: it is taken for latencies.
            factor, measured_in = for_people(
                spec.measures[0].name if self._view.mode == "live" else _REPLAYED
            )
            matrix, machine = scaled(self._view.matrix(spec.name), factor), self._view.machine
            document = await asyncio.to_thread(heatmap_document, matrix, machine)
            return msgspec.json.encode(document | {
                "probe": spec.name,
                "operation": spec.operation,
                "measured_in": measured_in,
                "unit": measured_in.partition(" ")[0],
                "probes": self._pair_probes(),
                "unstable": sum(result.identity.probe == spec.name and result.verdict == "unstable"
                                for result in self._view.results),
            })  # fmt: skip

        # What is replayed is one matrix for good.
        version = 0 if self._view.mode == "replay" else self._view.version
        return await self._keep(f"heatmap {spec.name}", version, make)

    def _pair_probes(self) -> list[str]:
        """The probes of pairs that have results; in replay the one that the matrix stands for."""
        found = {result.identity.probe for result in self._view.results} | {MATRIX_PROBE}
        pairs = {spec.name for spec in toposcope_probes.load_all() if spec.target is TargetKind.PAIR}
        return sorted(found & pairs)

    async def _get_measured(self, request: Request) -> Response:
        async def make() -> bytes:
            machine, inference = self._view.machine, self._view.judgements.inference
            found = None if inference is None else measured_topology(inference, machine)
            template = environment().get_template("measured.html")
            return template.render(measured=found, cpus=len(machine.online_cpus)).encode()

        kept = await self._keep("measured", self._view.version, make)
        return _answer(request, kept.body, "text/html; charset=utf-8", packed=kept.packed)

    async def _keep(self, name: str, version: int, make: Callable[[], Awaitable[bytes]]) -> _Kept:
        """What `make` made: anew when the version is another one and what is kept is old enough."""
        now_s = time.monotonic()
        kept = self._kept.get(name)
        if kept is None or (kept.version != version and now_s >= kept.until_s):
            began_s = time.process_time()
            body = await make()
            packed = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL)
            cost_s = time.process_time() - began_s
            kept = _Kept(version, now_s + max(_AGE_S, _AGE_PER_COST * cost_s), body, packed)
            self._kept[name] = kept
        return kept

    async def _get_history(self, request: Request) -> Response:
        result = self._result(request.path_params["result_id"])
        points = await self._points(result, request.query_params)
        document = {
            "schema_version": SCHEMA_VERSION,
            "mode": self._view.mode,
            "id": result.identity.id,
            "measure": result.primary,
            "points": [
                {"time_s": p.time_s, "estimate": p.value, "low": p.low, "high": p.high} for p in points
            ],
        }
        return json_response(request, document)

    async def _get_history_picture(self, request: Request) -> Response:
        result = self._result(request.query_params.get("id", ""))
        points = await self._points(result, request.query_params)
        picture = history_svg(points, result.identity.id, result.primary, mode_lines(result))
        return _answer(request, picture.encode(), "image/svg+xml", _PICTURE_POLICY)

    async def _get_topology_picture(self, request: Request) -> Response:
        picture = topology_svg.topology_svg(self._view.machine).encode()
        return _answer(request, picture, "image/svg+xml", _PICTURE_POLICY)

    async def _points(self, result: Result, query: Mapping[str, str]) -> list[Point]:
        hours = integer(query, "hours", _HOURS_DEFAULT, 1, _HOURS_MAX)
        visits = await self._sources.history(result.identity.id)
        return points_of(visits, result.primary, self._wall_s() - 3600 * hours)

    def _result(self, result_id: str) -> Result:
        result = self._view.result(result_id)
        if result is None:
            raise ApiError(404, "not_found", "there is no result with this id", "see /api/v1/results")
        return result


def _pair_probe(name: str) -> ProbeSpec:
    spec = toposcope_probes.find(name)
    if spec is None or spec.target is not TargetKind.PAIR:
        raise ApiError(404, "not_found", f"{name!r} is not a probe of CPU pairs", "see /api/v1/probes")
    return spec


def _static_files() -> dict[str, bytes]:
    """The page's files; its style sheet ends with the rules that the pictures share."""
    files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in _TYPES}
    files["page.css"] += (svg.STYLE + topology_svg.STYLE).encode()
    return files


def _answer(
    request: Request,
    body: bytes,
    media_type: str,
    headers: Mapping[str, str] | None = None,
    packed: bytes | None = None,
) -> Response:
    """The body, gzipped (`packed`, where that was done before) where it pays; 304 where the client has it."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    out = {"Content-Type": media_type, "Vary": "Accept-Encoding", "Cache-Control": "no-cache", "ETag": tag}
    out |= headers or {}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=out)
    if len(body) > 1024 and accepts_gzip(request):
        body = packed or gzip.compress(body, _GZIP_LEVEL)
        out["Content-Encoding"] = "gzip"
    return Response(body, headers=out)
