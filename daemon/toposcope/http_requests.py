"""Requests with a question in them: advice, and measuring on demand (only where lifecycle is enabled)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from toposcope import openapi, results
from toposcope.advise.answer import to_document
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.clock import Clock
from toposcope.errors import UsageError
from toposcope.evidence import evidence_of
from toposcope.http import ApiError, Control, json_response, read_body
from toposcope.topology.cpulist import parse_cpulist
from toposcope.topology.hostload import read_free_memory_bytes
from toposcope.topology.sysfs import Root
from toposcope.view import View

_T = TypeVar("_T")

_VISITS_MAX: Final = 20
_EXACT_FLOAT_MAX: Final = 2.0**53
_LISTS: Final = ("cpus", "avoid_cpus", "nodes")


class MeasureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /api/v1/measure."""

    probe: str
    cpus: tuple[int, ...] | None = None
    visits: int = 1


class Requests:
    """The handlers; each is one route."""

    def __init__(self, view: View, control: Control, clock: Clock) -> None:
        self._view = view
        self._control = control
        self._clock = clock
        self._advising = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Every path that is served."""
        return [
            Route("/api/v1/recommend", self._get_recommend, methods=["GET"]),
            Route("/api/v1/recommend", self._post_recommend, methods=["POST"]),
            Route("/api/v1/measure", self._post_measure, methods=["POST"]),
            Route("/api/v1/report", self._post_report, methods=["POST"]),
            Route("/openapi.json", self._get_openapi),
        ]

    async def _get_recommend(self, http_request: HttpRequest) -> Response:
        return await self._advise(http_request, request_of_query(http_request.query_params))

    async def _post_recommend(self, http_request: HttpRequest) -> Response:
        values = _decode(await read_body(http_request), dict[str, Any])
        request = _request_of({name: _with_integers(value) for name, value in values.items()}, strict=True)
        return await self._advise(http_request, request)

    async def _advise(self, http_request: HttpRequest, request: Request) -> Response:
        """The search takes up to a second: in a thread, on evidence that nobody changes.

        One at a time: the interpreter runs but one, and metrics are packed in threads of the same pool.
        """
        async with self._advising:
            evidence = evidence_of(self._view, self._clock.wall_s(), "daemon", self._free_memory_bytes())
            answer = await asyncio.to_thread(recommend, request, evidence)
        return json_response(http_request, to_document(answer))

    def _free_memory_bytes(self) -> dict[int, int]:
        """Of this machine's nodes, now; empty in replay."""
        machine = self._view.machine
        if self._view.mode != "live" or not machine.is_this_system:
            return {}
        return read_free_memory_bytes(Root("/"), [node.id for node in machine.numa_nodes])

    async def _post_measure(self, http_request: HttpRequest) -> Response:
        if not self._control.lifecycle_enabled:
            hint = "set web.enable_lifecycle: true, or run `toposcope measure`"
            raise ApiError(403, "lifecycle_disabled", "measuring by HTTP is not enabled", hint)
        wanted = _decode(await read_body(http_request), MeasureRequest)
        if not 1 <= wanted.visits <= _VISITS_MAX:
            raise UsageError(f"visits has to be a whole number from 1 to {_VISITS_MAX}")
        found = await self._control.measure(wanted.probe, wanted.cpus, wanted.visits)
        document = {"schema_version": results.SCHEMA_VERSION, "mode": self._view.mode}
        return json_response(http_request, document | {"results": [results.to_json(each) for each in found]})

    async def _post_report(self, http_request: HttpRequest) -> Response:
        if not self._control.lifecycle_enabled:
            hint = "set web.enable_lifecycle: true, or run `toposcope report --measure`"
            raise ApiError(403, "lifecycle_disabled", "measuring by HTTP is not enabled", hint)
        document = {"schema_version": results.SCHEMA_VERSION, "mode": self._view.mode}
        return json_response(http_request, document | {"report": self._control.ask_for_report()}, 202)

    async def _get_openapi(self, http_request: HttpRequest) -> Response:
        return json_response(http_request, openapi.document())


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the request's body is not as it should be: {error}", "see /openapi.json") from None


def request_of_query(query: Mapping[str, str]) -> Request:
    """The request that a query string makes: lists as CPU lists ("0-3,8"), flags as true or false."""
    values: dict[str, Any] = {}
    for name, text in query.items():
        if name == "communication":
            raise UsageError("communication can't stand in a query", "send the request as JSON by POST")
        if name in _LISTS:
            values[name] = _cpu_list(name, text)
        else:
            values[name] = text
    return _request_of(values, strict=False)


def _with_integers(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """With 4.0 as 4: to JSON Schema both are the same integer (draft 2020-12, validation, 6.1.1)."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_FLOAT_MAX:
        return int(value)
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    if isinstance(value, dict):
        return {name: _with_integers(each) for name, each in value.items()}
    return value


def _request_of(values: dict[str, Any], *, strict: bool) -> Request:
    """Numbers and flags may be text where not `strict`, as in a query."""
    known = Request.__dataclass_fields__
    for name in values:
        if name not in known:
            raise UsageError(f"{name[:40]!r} is not part of a request", f"known: {', '.join(sorted(known))}")
    if "workers" not in values:
        raise UsageError("workers is missing", "it says how many there are, for example 4")
    try:
        return msgspec.convert(values, Request, strict=strict)
    except msgspec.ValidationError as error:
        raise UsageError(f"the request is not as it should be: {error}", "see /openapi.json") from None


def _cpu_list(name: str, text: str) -> tuple[int, ...]:
    if not text:
        raise UsageError(f"{name} is empty", "for example 0-3,8; or leave it out")
    try:
        return tuple(parse_cpulist(text))
    except ValueError as error:
        raise UsageError(
            f"{name}: {text[:60]!r} is not a list of ids: {error}", "for example 0-3,8"
        ) from None
