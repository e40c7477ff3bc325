"""Requests for advice over HTTP: what can't be met gets one sentence with a hint, and the right status."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toposcope import http_requests
from toposcope.advise.answer import Recommendation
from toposcope.advise.facts import Evidence
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from unit.test_http import _app, _ask

PATH = "/api/v1/recommend"


def _refusal(status: int, content: bytes) -> str:
    answer = _ask("POST", PATH, content=content)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert "\n" not in error["message"]
    assert error["hint"]
    message: str = error["message"]
    return message


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "malformed|truncated"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"{}", "workers is missing"),
        (b'{"workers": NaN}', "malformed"),
        (b'{"workers": "2"}', "Expected `int`"),
        (b'{"workers": 1e999}', "out of range|Expected `int`|malformed"),
        (b'{"workers": 123456789012345678901234567890}', "."),
        (b'{"workers": 0}', "0 workers"),
        (b'{"workers": 2, "wokers": 3}', "'wokers' is not part of a request"),
        (b'{"workers": 2, "cpus": []}', "list of cpus is empty"),
        (b'{"workers": 2, "nodes": []}', "list of nodes is empty"),
        (b'{"workers": 2, "avoid_cpus": [-1]}', "-1 is no id"),
        (b'{"workers": 2, "memory_bytes_per_worker": -5}', "-5 bytes"),
        (b'{"workers": 2, "sharing": "sometimes"}', "sharing|Invalid enum"),
        (b'{"workers": 2, "communication": [{"source": 0, "target": 1, "weight": 1e300}]}', "weight"),
        (b"[" * 100_000, "."),
        (b'{"workers": 2, "\xff": 1}', "."),
    ],
)
def test_what_is_not_well_formed_is_400(body: bytes, sentence: str) -> None:
    assert re.search(sentence, _refusal(400, body))


@pytest.mark.parametrize(
    ("request_document", "sentence"),
    [
        ({"workers": 5}, "5 workers can't have a CPU each on 4 CPUs"),
        ({"workers": 2, "cpus": [900]}, "CPU 900 can't be used"),
        ({"workers": 2, "nodes": [7]}, "no NUMA node 7"),
        ({"workers": 2, "cpus": [0, 1], "avoid_cpus": [0, 1]}, "no CPU is left"),
        ({"workers": 2, "memory_bytes_per_worker": 1 << 45}, "don't fit"),
        ({"workers": 2, "communication": [{"source": 0, "target": 9}]}, "names worker 9"),
        ({"workers": 2, "communication": [{"source": 1, "target": 1}]}, "talk to itself"),
    ],
)
def test_what_contradicts_itself_or_the_machine_is_409(
    request_document: dict[str, Any], sentence: str
) -> None:
    assert sentence in _refusal(409, json.dumps(request_document).encode())


def test_ten_megabytes_are_refused_before_they_are_read() -> None:
    edges = [{"source": 0, "target": 1}] * 300_000
    body = json.dumps({"workers": 2, "communication": edges}).encode()
    assert len(body) > 8_000_000
    assert "larger than" in _refusal(413, body)


def test_a_query_says_the_same() -> None:
    by_query = _ask("GET", f"{PATH}?workers=2&cpus=0-2&avoid_cpus=1&exact=true").json()
    document = {"workers": 2, "cpus": [0, 1, 2], "avoid_cpus": [1], "exact": True}
    assert _ask("POST", PATH, json=document).json() == by_query
    assert _ask("GET", f"{PATH}?workers=9").status_code == 409
    for query in ("", "workers=x", "workers=2&cpus=3-1", "workers=2&communication=0", "workers=2&what=1"):
        answer = _ask("GET", f"{PATH}?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["hint"]


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["workers", "cpus", "nodes", "avoid_cpus", "communication", "smt", "exact", "x"])


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, max_size=5))
def test_any_json_gets_advice_or_a_refusal(document: dict[str, Any]) -> None:
    answer = _ask("POST", PATH, json={"workers": 2, **document})
    assert answer.status_code in (200, 400, 409), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["hint"]


def test_searches_run_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a crowd of requests would hold all threads of the pool, and metrics would wait for one."""
    running: list[int] = []
    most: list[int] = []

    def advise(request: Request, evidence: Evidence) -> Recommendation:
        running.append(1)
        most.append(len(running))
        answer = recommend(request, evidence)
        time.sleep(0.02)
        running.pop()
        return answer

    monkeypatch.setattr(http_requests, "recommend", advise)
    app = _app()

    async def ask_all() -> list[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:9847") as client:
            answers = await asyncio.gather(*(client.get(PATH, params={"workers": 2}) for _ in range(5)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(ask_all()) == [200] * 5
    assert most == [1] * 5
