"""A real Prometheus, and things for it to scrape, for as long as a test needs them; all on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.routing import Mount

from toposcope import http
from toposcope.view import View

RULES = Path(__file__).resolve().parents[2] / "prometheus/rules"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition, timeout_s: float, what: str) -> Any:
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline_s:
            pytest.fail(f"no {what} within {timeout_s} s")
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def process(arguments: Sequence[str], log: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; end it (and only it) afterwards."""
    with log.open("wb") as output:
        running = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, **more)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait(10)


@contextlib.contextmanager
def daemon(
    directory: Path,
    name: str,
    *arguments: str,
    config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """`toposcope serve` as a process of its own; yields its address."""
    address = f"127.0.0.1:{free_port()}"
    settings = {"web": {"listen_address": address}, "store": {"directory": str(directory / f"{name}.store")},
                **(config or {})}  # fmt: skip
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(settings))
    log = directory / f"{name}.log"
    command = [sys.executable, "-m", "toposcope", "serve", "--config", str(path), *arguments]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(environment or {})
    with process(command, log, env=variables) as running:
        url = f"http://{address}/-/healthy"
        wait_until(
            lambda: answers(url) or running.poll() is not None, 30, f"answer of {name}: {log.read_text()}"
        )
        assert running.poll() is None, log.read_text()
        yield address


class _Control:
    lifecycle_enabled = False

    def ready(self) -> str:
        return ""

    async def reload(self) -> None:
        raise AssertionError

    async def events(self, limit: int) -> list[dict[str, Any]]:
        return [][:limit]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.contextmanager
def served_views(views: Mapping[str, View]) -> Iterator[str]:
    """Many views behind one address: each at /NAME/metrics. Yields the address."""
    apps = [Mount(f"/{name}", http.make_app(view, _Control(), ["127.0.0.1"])) for name, view in views.items()]
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(Starlette(routes=apps), log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@dataclass(frozen=True)
class Target:
    """What Prometheus scrapes, under the name that its `instance` label gets."""

    instance: str
    address: str
    path: str = "/metrics"
    labels: Mapping[str, str] = field(default_factory=dict)


class Prometheus:
    """A client of the server's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer; a refusal is an assertion with the server's own words."""
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{query}: {error.read().decode()[:400]}") from error
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        return self.get("query", query=expr)["result"]

    def has_data(self, expr: str, seconds: int = 90) -> bool:
        """Whether a panel over the last `seconds` would show anything."""
        now_s = time.time()
        times = {"start": f"{now_s - seconds:.3f}", "end": f"{now_s:.3f}", "step": "5"}
        return bool(self.get("query_range", query=expr, **times)["result"])


def backfill(directory: Path, samples: Mapping[str, float], *, hours: tuple[float, float]) -> None:
    """Write blocks that hold `{series: value}` from `hours[0]` to `hours[1]` hours ago, a sample a minute."""
    now_s = int(time.time())
    lines = ["# TYPE backfilled gauge"]
    for series, value in samples.items():
        times = range(now_s - int(hours[0] * 3600), now_s - int(hours[1] * 3600), 60)
        lines += [f"{series} {value} {time_s}" for time_s in times]
    source = directory.parent / "backfill.txt"
    source.write_text("\n".join([*lines[1:], "# EOF", ""]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(source), str(directory)]
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def prometheus(directory: Path, targets: Sequence[Target], *, interval_s: int = 1,
               history: Mapping[str, float] | None = None) -> Iterator[Prometheus]:  # fmt: skip
    """Debian's Prometheus, scraping `targets`, with this project's rules; skips where it is not installed."""
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus (Debian package) is not installed")
    data = directory / "prometheus-data"
    data.mkdir()
    if history:
        backfill(data, history, hours=(3.0, 1.2))
    scrape = {"job_name": "toposcope", "static_configs": [
        {"targets": [target.address],
         "labels": {"instance": target.instance, "__metrics_path__": target.path, **target.labels}}
        for target in targets
    ]}  # fmt: skip
    settings = {"global": {"scrape_interval": f"{interval_s}s", "evaluation_interval": f"{interval_s}s"},
                "rule_files": [f"{RULES}/*.yaml"], "scrape_configs": [scrape]}  # fmt: skip
    path = directory / "prometheus.yaml"
    path.write_text(yaml.safe_dump(settings))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}",
               "--storage.tsdb.retention.time=30d", "--log.level=warn"]  # fmt: skip
    log = directory / "prometheus.log"
    with process(command, log) as running:
        ready = f"http://{address}/-/ready"
        wait_until(lambda: answers(ready) or running.poll() is not None, 30, "answer of Prometheus")
        assert running.poll() is None, log.read_text()
        yield Prometheus(f"http://{address}")
