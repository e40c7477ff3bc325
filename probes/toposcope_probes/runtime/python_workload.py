"""Two graph workloads in Python: breadth-first search, whose workers share, and PageRank, where none does.

    python3 python_workload.py cpus=0,1,2,3 work=bfs|pagerank model=thread|process_fork

One worker on each CPU, pinned, over a Kronecker graph of 2^13 vertices (Graph500's generator, its
probabilities rounded to 1/256). All workers wait until they are let go together; a sample is the time from
then until the last one is done, in turns with the same by a plain loop in the main thread.

    bfs        one search by all workers, level by level (cooperative). Threads share parents and frontier
               and meet at a barrier after each level. Processes own every N-th vertex each, and send what
               they find of the others' through pipes, which is the meeting as well.
    pagerank   each worker ranks by three sources for itself, over a graph of its own (isolated)

`edges_per_s` counts an edge within what was reached once (bfs), or every arc that was followed by any worker
(pagerank). `speedup_ratio` is by the plain loop. Results are checked, outside the timed part: the search by
Graph500's rules (a parent is a neighbour, one level nearer to the source; as many reached as by the plain
search), the ranks by their sum and by being the plain loop's. Sources: graph500.org, specification 2.0; Page,
Brin, Motwani, Winograd, 1999.

Coroutines are not among the models: in one thread they would do the plain loop's work in its time.
"""

from __future__ import annotations

import array
import os
import random
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from typing import Any, Protocol

    from toposcope_probes.runtime import harness

    Graph = list[list[int]]  # neighbours of each vertex, both ways

    class Job(Protocol):
        """A workload: `edges` of one run by all workers, who do the plain loop's work `repeats` times."""

        edges: int
        repeats: int
        together: Callable[[], Any]

        def plain(self) -> object: ...  # noqa: D102
        def check(self, found: Any, /) -> None: ...  # noqa: ANN401, D102
else:  # run as a file: the neighbour in its own folder
    import harness

_SCALE, _EDGES_A_VERTEX = 13, 8
_QUADRANTS = bytes([0] * 146 + [1] * 49 + [2] * 49 + [3] * 12)  # 0.57, 0.19, 0.19, 0.05 of 256
_DAMPING, _ITERATIONS, _SOURCES = 0.85, 2, 3
_ROUNDS_MIN, _ROUNDS_MAX, _BUDGET_SHARE = 5, 60, 1.5
_NOT_REACHED = -1


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the work and the model that were asked for."""
    work, model = request.variant["work"], request.variant["model"]
    if work not in ("bfs", "pagerank") or model not in ("thread", "process_fork"):
        raise harness.Failure(f"no work {work} or no model {model}")
    graph = kronecker(random.Random(1))
    source = max(range(len(graph)), key=lambda vertex: len(graph[vertex]))
    make: Callable[..., Job] = _Search if work == "bfs" else _Ranks
    job = make(graph, source, request.cpus, in_processes=model == "process_fork")
    job.check(job.together())
    rates: list[float] = []
    ratios: list[float] = []
    for _ in request.rounds(_ROUNDS_MIN, _ROUNDS_MAX, _BUDGET_SHARE):
        alone_ns = _timed(job.plain)
        begin_ns = time.perf_counter_ns()
        found = job.together()
        together_ns = time.perf_counter_ns() - begin_ns
        job.check(found)
        rates.append(job.edges * 1e9 / together_ns)
        ratios.append(alone_ns * job.repeats / together_ns)
    facts = {
        "workers": len(request.cpus),
        "vertices": len(graph),
        "start_method": "fork" if model == "process_fork" else None,
    }
    return harness.Outcome({"edges_per_s": rates, "speedup_ratio": ratios}, facts)


def kronecker(chooser: random.Random) -> Graph:
    """A graph of 2^_SCALE vertices with shuffled names; no loops, no edge twice."""
    count = 1 << _SCALE
    names = list(range(count))
    chooser.shuffle(names)
    neighbours: list[set[int]] = [set() for _ in names]
    for _ in range(count * _EDGES_A_VERTEX):
        one = other = 0
        for octet in chooser.getrandbits(8 * _SCALE).to_bytes(_SCALE, "little"):
            quadrant = _QUADRANTS[octet]
            one = 2 * one + (quadrant >> 1)
            other = 2 * other + (quadrant & 1)
        if one != other:
            neighbours[names[one]].add(names[other])
            neighbours[names[other]].add(names[one])
    return [sorted(found) for found in neighbours]


def _timed(action: Callable[[], object]) -> int:
    begin_ns = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - begin_ns


# -- Workers that wait to be let go --------------------------------------------------------------------


class _Threads:
    """A thread for each CPU that runs `work(index)` whenever all are let go."""

    def __init__(self, cpus: tuple[int, ...], work: Callable[[int], None]) -> None:
        self._work = work
        self._gate = threading.Barrier(len(cpus) + 1)
        for index, cpu in enumerate(cpus):
            threading.Thread(target=self._run, args=(index, cpu), daemon=True).start()

    def _run(self, index: int, cpu: int) -> None:
        harness.pin(cpu)
        while True:
            self._gate.wait()
            self._work(index)
            self._gate.wait()

    def let_go(self) -> None:
        """Returns when all are done."""
        self._gate.wait()
        self._gate.wait()


class _Processes:
    """A process for each CPU that sends what `work(index)` returns whenever it is let go."""

    def __init__(self, cpus: tuple[int, ...], work: Callable[[int], bytes]) -> None:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        self._ends: list[Connection] = []
        for index, cpu in enumerate(cpus):
            near, far = context.Pipe()
            context.Process(target=_run_in_process, args=(os.getpid(), cpu, far, work, index)).start()
            self._ends.append(near)

    def let_go(self) -> list[bytes]:
        """What each returned, when all are done."""
        for end in self._ends:
            end.send_bytes(b"go")
        return [end.recv_bytes() for end in self._ends]


def _run_in_process(
    parent_pid: int, cpu: int, end: Connection, work: Callable[[int], bytes], index: int
) -> None:
    harness.become_worker(parent_pid)
    harness.pin(cpu)
    while True:
        end.recv_bytes()
        end.send_bytes(work(index))


# -- Breadth-first search ------------------------------------------------------------------------------


class _Search:
    """One search from `source` by all workers together; `together` gives the parents."""

    def __init__(self, graph: Graph, source: int, cpus: tuple[int, ...], *, in_processes: bool) -> None:
        self._graph, self._source, self._count = graph, source, len(cpus)
        self.repeats = 1
        self._reached = [vertex for vertex, parent in enumerate(self.plain()) if parent != _NOT_REACHED]
        self.edges = sum(len(graph[vertex]) for vertex in self._reached) // 2
        self.together: Callable[[], list[int]] = self._by_processes if in_processes else self._by_threads
        if in_processes:
            self._pipes = _pipes_between(self._count)
            self._processes = _Processes(cpus, self._search_own)
        else:
            self._barrier = threading.Barrier(self._count)
            self._threads = _Threads(cpus, self._search_slice)

    def plain(self) -> list[int]:
        """The parents by one worker alone."""
        parents = [_NOT_REACHED] * len(self._graph)
        parents[self._source] = self._source
        frontier = [self._source]
        while frontier:
            frontier = _expand(self._graph, frontier, parents)
        return parents

    def check(self, parents: list[int]) -> None:
        """Graph500's rules; raises Failure."""
        levels = {self._source: 0}
        for vertex in self._reached:
            path = [vertex]
            while path[-1] not in levels and len(path) <= len(parents):
                path.append(parents[path[-1]])
            nearer = path.pop()
            if nearer not in levels:
                raise harness.Failure("the search found parents that don't lead to the source")
            while path:
                farther = path.pop()
                if nearer not in self._graph[farther]:
                    raise harness.Failure(f"the search found a parent {nearer} that is no neighbour")
                levels[farther] = levels[nearer] + 1
                nearer = farther
        if sum(parent != _NOT_REACHED for parent in parents) != len(self._reached):
            raise harness.Failure("the search reached other vertices than the plain one")
        if any(abs(levels[one] - levels[other]) > 1 for one in self._reached for other in self._graph[one]):
            raise harness.Failure("the search's tree is not one of shortest paths")

    # Threads: everything is shared.

    def _by_threads(self) -> list[int]:
        self._parents = [_NOT_REACHED] * len(self._graph)
        self._parents[self._source] = self._source
        self._found: list[list[int]] = [[] for _ in range(self._count)]
        self._frontier = [self._source]
        self._threads.let_go()
        return self._parents

    def _search_slice(self, index: int) -> None:
        """Two workers that win the same vertex at once both go on from it: twice the work, no harm."""
        while self._frontier:
            own = self._frontier[index :: self._count]
            self._found[index] = _expand(self._graph, own, self._parents)
            if self._barrier.wait() == 0:
                self._frontier = [vertex for found in self._found for vertex in found]
            self._barrier.wait()

    # Processes: vertex v belongs to worker v modulo N.

    def _by_processes(self) -> list[int]:
        parents = [_NOT_REACHED] * len(self._graph)
        for index, sent in enumerate(self._processes.let_go()):
            parents[index :: self._count] = array.array("i", sent).tolist()
        return parents

    def _search_own(self, index: int) -> bytes:
        count, pipes = self._count, self._pipes[index]
        parents = [_NOT_REACHED] * len(self._graph)
        frontier: list[int] = []
        if self._source % count == index:
            parents[self._source] = self._source
            frontier = [self._source]
        while True:
            is_idle = not frontier
            boxes: list[list[int]] = [[] for _ in range(count)]
            for vertex in frontier:
                for neighbour in self._graph[vertex]:
                    boxes[neighbour % count] += (neighbour, vertex)
            frontier = _take(boxes[index], parents)
            are_all_idle = is_idle
            for peer, pipe in sorted(pipes.items()):
                is_peer_idle, found = _exchange(pipe, boxes[peer], is_idle, sends_first=index < peer)
                are_all_idle = are_all_idle and is_peer_idle
                frontier += _take(found, parents)
            if are_all_idle:
                return array.array("i", parents[index::count]).tobytes()


def _expand(graph: Graph, frontier: list[int], parents: list[int]) -> list[int]:
    """The vertices next to the frontier that nobody had reached, with their parents noted."""
    found = []
    for vertex in frontier:
        for neighbour in graph[vertex]:
            if parents[neighbour] == _NOT_REACHED:
                parents[neighbour] = vertex
                found.append(neighbour)
    return found


def _take(pairs: list[int], parents: list[int]) -> list[int]:
    """The same for vertices that were found by anyone: vertex, parent, vertex, parent, …"""
    found = []
    for at in range(0, len(pairs), 2):
        vertex = pairs[at]
        if parents[vertex] == _NOT_REACHED:
            parents[vertex] = pairs[at + 1]
            found.append(vertex)
    return found


def _pipes_between(count: int) -> list[dict[int, Connection]]:
    """For each worker its end of a pipe to every other one."""
    import multiprocessing

    pipes: list[dict[int, Connection]] = [{} for _ in range(count)]
    for one in range(count):
        for other in range(one):
            pipes[one][other], pipes[other][one] = multiprocessing.Pipe()
    return pipes


def _exchange(
    pipe: Connection, pairs: list[int], is_idle: bool, *, sends_first: bool
) -> tuple[bool, list[int]]:
    """Send a peer its vertices and receive ours. One of the two sends first: a pipe holds only so much."""
    message = bytes([is_idle]) + array.array("i", pairs).tobytes()
    if sends_first:
        pipe.send_bytes(message)
    answer = pipe.recv_bytes()
    if not sends_first:
        pipe.send_bytes(message)
    return bool(answer[0]), array.array("i", answer[1:]).tolist()


# -- PageRank ------------------------------------------------------------------------------------------


class _Ranks:
    """Every worker ranks by the same three sources; `together` gives the ranks of each worker."""

    def __init__(self, graph: Graph, source: int, cpus: tuple[int, ...], *, in_processes: bool) -> None:
        self._graph = graph
        self._sources = [(source + step) % len(graph) for step in range(_SOURCES)]
        self._wanted = self.plain()
        self.repeats = len(cpus)
        self.edges = sum(map(len, graph)) * _ITERATIONS * _SOURCES * len(cpus)
        self.together = self._by_processes if in_processes else self._by_threads
        if in_processes:
            self._processes = _Processes(cpus, lambda _: self.plain().tobytes())
        else:
            self._copies = [[list(found) for found in graph] for _ in cpus]
            self._found = [self._wanted] * len(cpus)
            self._threads = _Threads(cpus, self._rank_own)

    def plain(self) -> array.array[float]:
        """The ranks of one worker."""
        return _ranks(self._graph, self._sources)

    def check(self, found: list[array.array[float]]) -> None:
        """Raises Failure where ranks don't add up to 1, or a worker has others than the plain loop."""
        if abs(sum(self._wanted) - _SOURCES) > 1e-9 or any(ranks != self._wanted for ranks in found):
            raise harness.Failure("the ranks are wrong")

    def _by_threads(self) -> list[array.array[float]]:
        self._threads.let_go()
        return self._found

    def _rank_own(self, index: int) -> None:
        self._found[index] = _ranks(self._copies[index], self._sources)

    def _by_processes(self) -> list[array.array[float]]:
        return [array.array("d", sent) for sent in self._processes.let_go()]


def _ranks(graph: Graph, sources: list[int]) -> array.array[float]:
    """The ranks by each source, one vector behind the other, by power iteration from the source on."""
    found = array.array("d")
    for source in sources:
        ranks = [0.0] * len(graph)
        ranks[source] = 1.0
        for _ in range(_ITERATIONS):
            ranks = _next_ranks(graph, ranks, source)
        found.extend(ranks)
    return found


def _next_ranks(graph: Graph, ranks: list[float], source: int) -> list[float]:
    """One step: what a vertex has goes to its neighbours, or back to the source where there are none."""
    found = [0.0] * len(graph)
    found[source] = 1 - _DAMPING
    for vertex, neighbours in enumerate(graph):
        if not neighbours:
            found[source] += _DAMPING * ranks[vertex]
            continue
        share = _DAMPING * ranks[vertex] / len(neighbours)
        for neighbour in neighbours:
            found[neighbour] += share
    return found


if __name__ == "__main__":
    harness.main("python_workload", {"work": "bfs", "model": "thread"}, measure)
