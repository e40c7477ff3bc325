"""Pages in tests: machines and results made up to fit, and a server for them on a loopback port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from typing import Any, Self

import uvicorn

from toposcope import http
from toposcope.clock import SystemClock
from toposcope.http_requests import Requests
from toposcope.judgements import Judgements
from toposcope.matrix import Matrix
from toposcope.page.handlers import Page
from toposcope.results import Estimate, Identity, Result, Target, Visit
from toposcope.topology.infer import infer
from toposcope.topology.model import Cache, Machine, Node, partition_of
from toposcope.view import View

LATENCY_NS = {"smt": 8.0, "l3": 24.0, "node": 80.0, "cross_package": 190.0}


def two_sockets(cores_per_l3: int = 4, l3_per_socket: int = 2) -> Machine:
    """Two packages, each one node; SMT siblings are numbered as Linux does: the second half of the ids."""
    cores = 2 * l3_per_socket * cores_per_l3
    siblings = [(core, core + cores) for core in range(cores)]
    per_socket = cores // 2

    def cpus_of(first: int, count: int) -> tuple[int, ...]:
        return tuple(sorted(cpu for core in siblings[first : first + count] for cpu in core))

    sockets = [cpus_of(socket * per_socket, per_socket) for socket in range(2)]
    shared = [cpus_of(start, cores_per_l3) for start in range(0, cores, cores_per_l3)]
    return Machine(
        is_this_system=False,
        online_cpus=tuple(range(2 * cores)),
        packages=partition_of(sockets),
        cores=partition_of(siblings),
        smt_max=2,
        numa_exposed=True,
        numa_nodes=tuple(Node(index, cpus, 64 << 30) for index, cpus in enumerate(sockets)),
        caches=tuple(Cache(3, "Unified", 32 << 20, cpus) for cpus in shared),
        settings=(("cpu_model", "Example 9000"),),
    )


def matrix_like(machine: Machine) -> Matrix:
    """Latencies that follow the topology, each pair a little different, so that a hover can be checked."""
    cpus = machine.online_cpus

    def latency(cpu: int, other: int) -> float | None:
        if cpu == other:
            return None
        low, high = sorted((cpu, other))
        base = LATENCY_NS["node"]
        for name in ("smt", "l3", "cross_package"):
            if machine.relation(low, high) == name:
                base = LATENCY_NS[name]
        return round(base * (1 + ((low * 31 + high * 17) % 100) / 1000), 2)

    return Matrix(cpus, tuple(tuple(latency(cpu, other) for other in cpus) for cpu in cpus))


def replay_view(machine: Machine) -> View:
    view = View(machine, "replayed", mode="replay", matrix=matrix_like(machine))
    view.set_status({"version": "test", "probes_enabled": False, "results": 0, "tasks": 0})
    view.set_judgements(Judgements(inference=infer(view.matrix())))
    return view


def two_cpus(**changes: Any) -> Machine:
    fields: dict[str, Any] = {
        "is_this_system": True,
        "online_cpus": (0, 1),
        "packages": ((0, 1),),
        "cores": ((0,), (1,)),
        "numa_nodes": (Node(0, (0, 1), 8 << 30),),
    }
    return Machine(**(fields | changes))


def live_view(machine: Machine | None = None) -> View:
    view = View(machine or two_cpus(), "live")
    view.set_status({
        "version": "test", "pid": 1, "uptime_s": 90.0, "probes_enabled": True, "results": 0, "tasks": 3,
        "measuring": None, "lock_waits": 0,
        "budget": {"cpu": {"ratio": 0.01, "spent_s": 0.5, "balance_s": -0.1}},
    })  # fmt: skip
    return view


PAIR = Identity("cacheline_cas", Target((0, 1)), {"model": "thread"}, "package")


def visit(time_s: float, value: float) -> Visit:
    near = Estimate(value, value * 0.99, value, value * 1.02, value * 0.995, value * 1.005, value * 0.02)
    return Visit(time_s, 0.01, "ok", "", {"latency_ns": near}, batches_kept=100)


def moving_visits(start_s: float, count: int = 40) -> list[Visit]:
    """Visits of a pair that a hypervisor moves between 26 and 109 ns every few minutes."""
    return [
        visit(start_s + 60 * index, (26.0 if index // 5 % 2 else 109.0) * (1 + (index % 3) / 200))
        for index in range(count)
    ]


class Sources:
    """The service's side of the page, and of the API."""

    lifecycle_enabled = False

    def __init__(self, events: Sequence[dict[str, Any]] = (), history: Sequence[Visit] = ()) -> None:
        self.event_list = list(events)
        self.visits = list(history)

    def ready(self) -> str:
        return ""

    async def reload(self) -> None:
        return None

    async def events(self, limit: int) -> list[dict[str, Any]]:
        return self.event_list[:limit]

    async def history(self, result_id: str) -> list[Visit]:
        del result_id
        return self.visits

    async def results_at(self, time_s: float) -> list[Result]:
        del time_s
        return []

    def ask_for_report(self) -> dict[str, Any]:
        return {"state": "asked"}


def app_of(view: View, sources: Sources) -> Any:
    routes = [*Requests(view, sources, SystemClock()).routes(), *Page(view, sources).routes()]
    return http.make_app(view, sources, ["127.0.0.1"], routes)


class PageServer:
    """Serves a view from a thread; a context manager. `requests` counts what was answered."""

    def __init__(self, view: View, sources: Sources | None = None) -> None:
        self.view = view
        self.sources = sources or Sources()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        config = uvicorn.Config(
            app_of(view, self.sources), log_config=None, lifespan="off", ws="none", http="h11",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()
