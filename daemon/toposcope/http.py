"""The HTTP side: it reads the view and never starts a measurement by itself.

Errors are `{"error": {"code", "message", "hint"}}`. Requests whose Host header is not one of ours are
refused, which is what stops a web page from reaching a loopback service by DNS rebinding.
"""

from __future__ import annotations

import email.utils
import gzip
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import toposcope_probes
from toposcope import matrix as matrices
from toposcope import metrics, placement, results
from toposcope import report as reports
from toposcope.errors import ContradictionError, ToposcopeError, UsageError
from toposcope.topology.document import to_document
from toposcope.view import View
from toposcope_probes.contract import TargetKind

SCHEMA_VERSION: Final = 1
_GZIP_BYTES_MIN: Final = 1024
_BODY_BYTES_MAX: Final = 1 << 20
_EVENTS_MAX: Final = 1000
_NUMBER_MAX: Final = 1e12


class Control(Protocol):
    """What clients may ask the service to do."""

    @property
    def lifecycle_enabled(self) -> bool:
        """Whether clients may change what the daemon does."""

    def ready(self) -> str:
        """Why the daemon is not ready yet, or ""."""

    async def reload(self) -> None:
        """Read the configuration again; raises ToposcopeError and keeps the old one where it is bad."""

    async def events(self, limit: int) -> list[dict[str, Any]]:
        """The newest events."""

    async def results_at(self, time_s: float) -> list[results.Result]:
        """Every result as it was known at a time (seconds since the epoch)."""

    async def measure(self, probe: str, cpus: tuple[int, ...] | None, visits: int) -> list[results.Result]:
        """Visit a probe's targets now; raises UsageError where there are none."""

    def ask_for_report(self) -> dict[str, Any]:
        """Measure what the report rests on soon; the status. Raises UsageError where nothing is measured."""


class Api:
    """The handlers; each is one route."""

    def __init__(self, view: View, control: Control) -> None:
        self._view = view
        self._control = control
        self._metrics = metrics.Rendered(view)

    def routes(self) -> list[Route]:
        """Every path that is served."""
        return [
            Route("/metrics", self._get_metrics),
            Route("/-/healthy", self._get_healthy),
            Route("/-/ready", self._get_ready),
            Route("/-/reload", self._post_reload, methods=["POST"]),
            Route("/api/v1/topology", self._get_topology),
            Route("/api/v1/probes", self._get_probes),
            Route("/api/v1/results", self._get_results),
            Route("/api/v1/results/{result_id:path}", self._get_result),
            Route("/api/v1/matrix/{probe}", self._get_matrix),
            Route("/api/v1/report", self._get_report),
            Route("/api/v1/audit", self._get_audit),
            Route("/api/v1/status", self._get_status),
            Route("/api/v1/events", self._get_events),
        ]

    async def _get_metrics(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        as_openmetrics = "application/openmetrics-text" in accept
        gzipped = accepts_gzip(request)
        kind = metrics.OPENMETRICS_CONTENT_TYPE if as_openmetrics else metrics.TEXT_CONTENT_TYPE
        headers = {"Content-Type": kind, "Vary": "Accept, Accept-Encoding"}
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        body = await self._metrics.get(as_openmetrics=as_openmetrics, gzipped=gzipped)
        return Response(body, headers=headers)

    async def _get_healthy(self, _: Request) -> Response:
        return Response("toposcope is healthy.\n", media_type="text/plain")

    async def _get_ready(self, _: Request) -> Response:
        reason = self._control.ready()
        status, text = (
            (503, f"toposcope is not ready: {reason}.\n") if reason else (200, "toposcope is ready.\n")
        )
        return Response(text, status, media_type="text/plain")

    async def _post_reload(self, _: Request) -> Response:
        self._require_lifecycle()
        await self._control.reload()
        return Response("reloaded\n", media_type="text/plain")

    def _require_lifecycle(self) -> None:
        if not self._control.lifecycle_enabled:
            hint = "set web.enable_lifecycle: true, or send the daemon SIGHUP"
            raise ApiError(403, "lifecycle_disabled", "changing the daemon by HTTP is not enabled", hint)

    async def _get_topology(self, request: Request) -> Response:
        return json_response(request, self._labelled(to_document(self._view.machine)))

    async def _get_probes(self, request: Request) -> Response:
        probes = [
            {
                "name": spec.name,
                "help": spec.help,
                "operation": spec.operation,
                "target": spec.target.value,
                "measures": [measure.name for measure in spec.measures],
                "variants": {key: list(values) for key, values in spec.variants.items()},
                "on_request_only": spec.on_request_only,
            }
            for spec in toposcope_probes.load_all()
        ]
        return json_response(request, self._labelled({"probes": probes}))

    async def _get_results(self, request: Request) -> Response:
        query = request.query_params
        known = self._view.results
        if "at" in query:
            known = tuple(await self._control.results_at(number(query, "at")))
        found = [
            self._result_document(result)
            for result in known
            if query.get("probe", result.identity.probe) == result.identity.probe
            and query.get("relation", result.identity.relation) == result.identity.relation
            and query.get("verdict", result.verdict) == result.verdict
        ]
        return json_response(request, self._labelled({"results": found}))

    def _result_document(self, result: results.Result) -> dict[str, Any]:
        document = results.to_json(result)
        if reason := self._view.stale_reason(result):
            document["stale_reason"] = reason
        return document

    async def _get_result(self, request: Request) -> Response:
        result = self._view.result(request.path_params["result_id"])
        if result is None:
            raise ApiError(404, "not_found", "there is no result with this id", "see /api/v1/results")
        visits = [msgspec.to_builtins(visit) for visit in self._view.visits(result.identity.id)]
        return json_response(
            request, self._labelled(self._result_document(result) | {"newest_visits": visits})
        )

    async def _get_matrix(self, request: Request) -> Response:
        name = request.path_params["probe"]
        spec = toposcope_probes.find(name)
        if spec is None or spec.target is not TargetKind.PAIR:
            raise ApiError(404, "not_found", f"{name!r} is not a probe of CPU pairs", "see /api/v1/probes")
        variant = {key: value for key, value in request.query_params.items() if key in spec.variants}
        matrix = self._view.matrix(name, variant or None)
        if request.query_params.get("format") == "csv":
            return Response(matrices.format_csv(matrix), media_type="text/csv")
        document = {
            "probe": name,
            "cpus": matrix.cpus,
            "measure": spec.measures[0].name,
            "cells": matrix.cells,
        }
        return json_response(request, self._labelled(document))

    async def _get_report(self, request: Request) -> Response:
        visited = [(result.identity, self._view.visits(result.identity.id)) for result in self._view.results]
        found = reports.judged(visited, self._view.machine)
        measured = reports.is_measured(visited)
        document = {"measured": measured, "claims": reports.to_json(found)}
        if measuring := self._view.status.get("report"):
            document["measuring"] = measuring
        return json_response(request, self._labelled(document))

    async def _get_audit(self, request: Request) -> Response:
        return json_response(request, self._labelled(self._view.audit))

    async def _get_status(self, request: Request) -> Response:
        standing = self._view.placement_standing
        status = {
            "placement": standing.placement,
            "placement_evidence": placement.to_json(standing),
            "agreement": self._view.judgements.declared,
            "drift": self._view.judgements.drift_groups,
            "ready": not self._control.ready(),
            **self._view.status,
        }
        return json_response(request, self._labelled(status))

    async def _get_events(self, request: Request) -> Response:
        limit = integer(request.query_params, "limit", 100, 1, _EVENTS_MAX)
        return json_response(request, self._labelled({"events": await self._control.events(limit)}))

    def _labelled(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return {"schema_version": SCHEMA_VERSION, "mode": self._view.mode, **document}


class ApiError(Exception):
    """A refusal with its HTTP status, in the form of the JSON errors."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint


def make_app(
    view: View,
    control: Control,
    allowed_hosts: Sequence[str],
    page_routes: Sequence[Route] = (),
) -> Starlette:
    """The ASGI application. `allowed_hosts` are names and addresses without a port, in lower case.

    `page_routes` are the page's, which knows this module and not the other way round.
    """
    return Starlette(
        routes=[*Api(view, control).routes(), *page_routes],
        middleware=[Middleware(_Guard, allowed_hosts=frozenset(allowed_hosts))],
        exception_handlers={
            ApiError: _answer_api_error,
            ToposcopeError: _answer_toposcope_error,
            HTTPException: _answer_http_error,
            ClientDisconnect: _answer_nobody,
            Exception: _answer_mistake,
        },
    )


class _Guard:
    """Refuses foreign Host headers and large bodies; adds the headers that every answer should have."""

    def __init__(self, app: ASGIApp, allowed_hosts: frozenset[str]) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            await _error_response(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, _with_headers(send))

    def _refusal(self, headers: Mapping[bytes, str]) -> ApiError | None:
        host = host_name(headers.get(b"host", ""))
        if host not in self._allowed_hosts:
            return ApiError(
                421,
                "host_refused",
                "the Host header is not one of this daemon's",
                "add it to web.allowed_hosts",
            )
        length = headers.get(b"content-length", "0")
        if not length.isdigit() or int(length) > _BODY_BYTES_MAX:
            return _too_large()
        return None


def host_name(header: str) -> str:
    """The name in a Host header, in lower case, without port and brackets."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            date = email.utils.formatdate(usegmt=True).encode()
            common = ((b"date", date), (b"x-content-type-options", b"nosniff"))
            message["headers"] = [*message.get("headers", []), *common]
        await send(message)

    return wrapped


def accepts_gzip(request: Request) -> bool:
    """Whether the client takes gzip (`Accept-Encoding` without `gzip;q=0`)."""
    offered = request.headers.get("accept-encoding", "").lower().replace(" ", "")
    return any(part.split(";")[0] == "gzip" and "q=0" not in part.split(";") for part in offered.split(","))


def json_response(request: Request, document: object, status: int = 200) -> Response:
    """A JSON answer, gzipped where the client takes it and it pays."""
    body = msgspec.json.encode(document)
    headers = {"Content-Type": "application/json", "Vary": "Accept-Encoding"}
    if len(body) >= _GZIP_BYTES_MIN and accepts_gzip(request):
        body = gzip.compress(body, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status, headers=headers)


async def read_body(request: Request) -> bytes:
    """The request's body. Raises ApiError (413) as soon as it is too long, whatever its headers say."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES_MAX:
            raise _too_large()
    return bytes(body)


def _too_large() -> ApiError:
    hint = "no request needs as much; of many edges of communication the heaviest are enough"
    return ApiError(413, "too_large", f"the request's body is larger than {_BODY_BYTES_MAX} bytes", hint)


def integer(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query. Raises UsageError where it is none from `low` to `high`."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and low <= int(text[:12]) <= high):
        raise UsageError(f"{name} has to be a whole number from {low} to {high}")
    return int(text)


def number(query: Mapping[str, str], name: str) -> float:
    """A number of the query, zero or more and of any use. Raises UsageError where it is none."""
    try:
        value = float(query[name][:32])
    except ValueError:
        value = math.nan
    if not 0 <= value <= _NUMBER_MAX:
        raise UsageError(f"{name} has to be a number from 0 to {_NUMBER_MAX:.0e}")
    return value


def _error_response(error: ApiError) -> Response:
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return Response(msgspec.json.encode(body), error.status, media_type="application/json")


async def _answer_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _error_response(error)


async def _answer_toposcope_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ToposcopeError)
    status = 409 if isinstance(error, ContradictionError) else 400 if isinstance(error, UsageError) else 503
    return _error_response(ApiError(status, error.code, error.message, error.hint))


async def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return _error_response(
        ApiError(error.status_code, code, error.detail, "see /openapi.json for what is served")
    )


async def _answer_nobody(_: Request, error: Exception) -> Response:
    """The client left in the middle of its request: no mistake of ours, and nobody to tell."""
    del error
    return Response(status_code=400)


async def _answer_mistake(_: Request, error: Exception) -> Response:
    """A mistake of ours: the log has its traceback, the client a sentence without details."""
    del error
    return _error_response(ApiError(500, "internal", "the daemon made a mistake; its log says more"))
