"""The API as an OpenAPI 3.1 document; types come from the values that the API speaks."""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec

from toposcope import __version__
from toposcope.advise.request import MAX_EDGES, MAX_MEMORY_BYTES, MAX_WEIGHT, MAX_WORKERS, Request
from toposcope.matrix import MAX_CPU_ID

_JSON: Final = "application/json"
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "hint"],
            "properties": {name: {"type": "string"} for name in ("code", "message", "hint")},
        }
    },
}
_MEASURE: Final = {
    "type": "object",
    "required": ["probe"],
    "additionalProperties": False,
    "properties": {
        "probe": {"type": "string"},
        "cpus": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]},
        "visits": {"type": "integer", "minimum": 1, "maximum": 20, "default": 1},
    },
}
_CPU_LISTS: Final = ("cpus", "avoid_cpus", "nodes")
_RECOMMEND: Final = "Where to run it, and why; 409 for what contradicts itself or this machine."
_IDS: Final = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": MAX_CPU_ID}}
_WORKER: Final = {"type": "integer", "minimum": 0, "maximum": MAX_WORKERS - 1}


@functools.cache
def document() -> dict[str, Any]:
    """The whole document."""
    (request,), components = msgspec.json.schema_components(
        [Request], ref_template="#/components/schemas/{name}"
    )
    _limit(components)
    paths: dict[str, Any] = {
        "/-/healthy": _get("Whether the process answers.", media="text/plain"),
        "/-/ready": _get("Whether there are results.", media="text/plain", failures=("503",)),
        "/-/reload": {"post": _operation("Read the configuration again.", "text/plain", ("403", "503"))},
        "/metrics": _get("Everything for Prometheus.", media="text/plain"),
        "/api/v1/topology": _get("The machine, as its operating system declares it."),
        "/api/v1/probes": _get("The probes, and what each measures."),
        "/api/v1/results": _get(
            "Every result; with `at` (seconds since the epoch) as it was known then.",
            [
                *(_query(name, {"type": "string"}) for name in ("probe", "relation", "verdict")),
                _query("at", {"type": "number", "minimum": 0, "maximum": 1e12}),
            ],
        ),
        "/api/v1/results/{id}": _get("One result with its newest visits.", [_path("id")], failures=("404",)),
        "/api/v1/history/{id}": _get(
            "One result over time: up to 500 points, of some visits each where there were more.",
            [_path("id"), _query("hours", {"type": "integer", "minimum": 1, "maximum": 24 * 366})],
            failures=("404",),
        ),
        "/api/v1/matrix/{probe}": _get(
            "The CPU × CPU matrix of a pair probe.",
            [_path("probe"), _query("format", {"type": "string", "enum": ["json", "csv"]})],
            failures=("404",),
        ),
        "/api/v1/report": {
            **_get("The fourteen claims, from what was measured so far."),
            "post": _operation("Measure what the claims rest on; takes minutes.", failures=("403",)),
        },
        "/api/v1/audit": _get("Processes spread out or far from their memory, where auditing is on."),
        "/api/v1/status": _get("What the daemon does now."),
        "/api/v1/events": _get(
            "What changed, newest first.",
            [_query("limit", {"type": "integer", "minimum": 1, "maximum": 1000})],
        ),
        "/api/v1/recommend": {
            "get": _operation(_RECOMMEND, failures=("409",), parameters=_request_parameters(components)),
            "post": _operation(_RECOMMEND, failures=("409",)) | {"requestBody": _body(request)},
        },
        "/api/v1/measure": {
            "post": _operation("Measure now.", failures=("400", "403")) | {"requestBody": _body(_MEASURE)}
        },
    }
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "toposcope", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": {**components, "Error": _ERROR}},
    }
    # Defaults may be tuples; as JSON they are arrays.
    return msgspec.json.decode(msgspec.json.encode(whole), type=dict[str, Any])


def _get(
    summary: str,
    parameters: list[dict[str, Any]] | None = None,
    *,
    media: str = _JSON,
    failures: tuple[str, ...] = (),
) -> dict[str, Any]:
    return {"get": _operation(summary, media, failures, parameters)}


def _operation(
    summary: str,
    media: str = _JSON,
    failures: tuple[str, ...] = ("400",),
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """One operation. Any may refuse: a bad query (400), a foreign Host (421), a large body (413)."""
    schema = {"type": "object"} if media == _JSON else {"type": "string"}
    content = {media: {"schema": schema}}
    if media == _JSON:
        content["text/csv"] = {"schema": {"type": "string"}}
    refusal = {"$ref": "#/components/schemas/Error"}
    answers: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    for status in sorted({*failures, "400", "413", "421", "503"}):
        kinds = {_JSON: {"schema": refusal}, "text/plain": {"schema": {"type": "string"}}}
        answers[status] = {"description": "Refused.", "content": kinds}
    return {"summary": summary, "parameters": parameters or [], "responses": answers}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {_JSON: {"schema": schema}}}


def _limit(components: dict[str, Any]) -> None:
    """The limits that Request checks by itself, which its types don't tell."""
    request, edge = components["Request"], components["Edge"]["properties"]
    request["additionalProperties"] = False
    fields = request["properties"]
    fields["workers"] |= {"minimum": 1, "maximum": MAX_WORKERS}
    memory = {"type": "integer", "minimum": 1, "maximum": MAX_MEMORY_BYTES}
    fields["memory_bytes_per_worker"]["anyOf"] = [memory, {"type": "null"}]
    for name in ("cpus", "nodes"):
        fields[name]["anyOf"] = [_IDS | {"minItems": 1}, {"type": "null"}]
    fields["avoid_cpus"] |= _IDS
    fields["communication"]["maxItems"] = MAX_EDGES
    edge["source"], edge["target"] = _WORKER, _WORKER
    edge["weight"] |= {"minimum": 0, "maximum": MAX_WEIGHT}


def _request_parameters(components: dict[str, Any]) -> list[dict[str, Any]]:
    """The request's fields as query parameters; lists are written as CPU lists."""
    properties = components["Request"]["properties"]
    parameters = []
    for name, schema in properties.items():
        if name == "communication":
            continue
        shown = schema["anyOf"][0] if "anyOf" in schema else schema
        if name in _CPU_LISTS:  # ranges (0-7) are taken as well
            shown = {"type": "string", "pattern": "^[0-9]{1,4}(,[0-9]{1,4})*$"}
        parameters.append(_query(name, shown) | {"required": name == "workers"})
    return parameters
