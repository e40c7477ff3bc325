"""The HTTP API against its own OpenAPI document: schemathesis asks what the document allows, and what not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from advise_machines import two_sockets
from integration.daemon_process import DaemonProcess
from toposcope import openapi
from toposcope.topology.document import to_document

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (the test extra)")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The document of a daemon that replays two sockets of which most pairs are known."""
    folder = tmp_path_factory.mktemp("api")
    machine = two_sockets()
    topology = folder / "topology.json"
    topology.write_text(json.dumps(to_document(machine)))
    with DaemonProcess(folder, {}, ("--topology", str(topology), "--matrix", str(_matrix(folder)))) as daemon:
        yield schemathesis.openapi.from_url(f"{daemon.url}/openapi.json")
        assert "Traceback" not in daemon.log()


def _matrix(folder: Path) -> Path:
    machine = two_sockets()
    ns = {"smt": 8, "l3": 25, "package": 90, "cross_package": 180}
    lines = [",".join(["cpu", *map(str, machine.online_cpus)])]
    for cpu in machine.online_cpus:
        cells = (
            "" if other == cpu or (cpu + other) % 9 == 0 else str(ns[machine.relation(cpu, other)])
            for other in machine.online_cpus
        )
        lines.append(",".join([str(cpu), *cells]))
    path = folder / "matrix.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _cases() -> Iterator[Any]:
    """Every operation asked rightly; and wrongly, where a query or a body can be wrong (any text is a path's)."""
    for path, methods in openapi.document()["paths"].items():
        for method, operation in methods.items():
            yield pytest.param(path, method, "POSITIVE", id=f"{method}-{path}-right")
            if (
                any(one["in"] == "query" for one in operation.get("parameters", ()))
                or "requestBody" in operation
            ):
                yield pytest.param(path, method, "NEGATIVE", id=f"{method}-{path}-wrong")


@pytest.mark.parametrize(("path", "method", "mode"), list(_cases()))
def test_every_answer_is_as_the_document_says(api: Any, path: str, method: str, mode: str) -> None:
    operation = api[path][method]
    generation = schemathesis.GenerationMode[mode]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=generation))
    def ask(case: Any) -> None:
        case.call_and_validate()

    ask()
