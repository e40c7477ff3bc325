"""Regret of the advice on real programs: how much worse is what was advised than the best that was tried?

    python bench/bench_regret.py --output FILE.json [--programs bfs,pool] [--rounds 10] [--skip-measuring]
    python bench/bench_regret.py --show FILE.json

First the host is measured into a store of its own (`toposcope report --measure`, `matrix --measure`, and
`recommend --measure` for a Python server: four minutes), as a user would. Then each program
(regret_programs.py) runs in every model that it has, under every placement that `tune` would try and on each
number of CPUs, round by round in random order with losers stopped early, as `tune` does; programs of a
fraction of a second run more rounds. The advised alternative is the model and placement of
`toposcope recommend`; where the advice is to leave it, its model without a placement. Regret is best rate /
advised rate - 1; the best is chosen by the same runs, so that noise alone makes some regret. Nothing else
should run meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import regret_programs
from toposcope import launch
from toposcope.advise.answer import Recommendation
from toposcope.advise.facts import Evidence
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.cli import _evidence
from toposcope.launch import Start
from toposcope.measure.tuning import Tuning, signed_rank_interval
from toposcope.topology.cpulist import format_cpulist
from toposcope.trials import parse_metric, run_once, trials_of

_DEADLINE_S = 60.0
_RATE = parse_metric(r"^rate=([0-9.e+]+)")


@dataclass(frozen=True)
class Program:
    """What a user would ask about it, and the models in which it can run."""

    name: str
    title: str
    request: Request
    models: tuple[str, ...]
    rounds_factor: int = 1


PROGRAMS = (
    Program("echo", "Python echo server in threads, 50 connections",
            Request(1, bound="io", runtime="python", model="threads"), ("threads",), 2),
    Program("echo", "asyncio echo server, 50 connections",
            Request(1, bound="io", runtime="python", model="coroutines"), ("coroutines",), 2),
    Program("bfs", "parallel BFS, one graph", Request(2), ("threads", "processes"), 4),
    Program("pagerank", "PageRank, three sources", Request(2, sharing="isolated"),
            ("threads", "processes"), 4),
    Program("pool", "Python pool, computing", Request(2, sharing="isolated", runtime="python"),
            ("threads", "processes")),
    Program("pigz", "pigz -p 2", Request(2, sharing="isolated", model="threads"), ("threads",)),
    Program("redis", "redis, SET and GET", Request(1, bound="io"), ("coroutines", "threads")),
    Program("pgbench", "PostgreSQL, pgbench -S, 8 clients", Request(2, bound="io", model="processes"),
            ("processes",)),
)  # fmt: skip


@dataclass(frozen=True)
class Alternative:
    """One model under one placement."""

    model: str
    start: Start

    @property
    def name(self) -> str:
        """Model and CPUs."""
        where = "unchanged" if self.start.cpus is None else f"CPUs {format_cpulist(sorted(self.start.cpus))}"
        return f"{self.model}, {where}"


def alternatives(program: Program, evidence: Evidence, own_cpus: frozenset[int]) -> list[Alternative]:
    """Every model under every distinct set of CPUs; environment and memory policy as they are."""
    starts: dict[frozenset[int], Start] = {own_cpus: launch.UNCHANGED}
    requests = [
        replace(program.request, workers=workers) for workers in range(1, program.request.workers + 1)
    ]
    for request in [*requests, *(replace(requests[0], cpus=(cpu,)) for cpu in sorted(own_cpus))]:
        for trial in trials_of(request, evidence, {}, own_cpus):
            if trial.start.cpus is not None:
                starts.setdefault(frozenset(trial.start.cpus), Start(trial.start.cpus))
    return [Alternative(model, start) for model in program.models for start in starts.values()]


def advised(program: Program, answer: Recommendation, own_cpus: frozenset[int]) -> str:
    """The name of the alternative that was advised."""
    placement = answer.placements[0]
    model = placement.model if placement.model in program.models else program.models[0]
    is_placed = answer.advice == "place" and frozenset(placement.cpus) != own_cpus
    return Alternative(model, Start(placement.cpus) if is_placed else launch.UNCHANGED).name


async def tried(program: Program, found: list[Alternative], rounds: int) -> Tuning:
    tuning = Tuning(
        [one.name for one in found], rounds=rounds, seed=random.randrange(1 << 32), higher_is_better=True
    )
    by_name = {one.name: one for one in found}
    script = str(Path(regret_programs.__file__))
    for one in found[:: len(found) // len(program.models)]:  # warm up: once in each model
        await run_once(
            [sys.executable, script, program.name, one.model], one.start, _RATE, _DEADLINE_S, print
        )
    while order := tuning.next_round():
        for name in order:
            command = [sys.executable, script, program.name, by_name[name].model]
            tuning.record(name, await run_once(command, by_name[name].start, _RATE, _DEADLINE_S, print))
    return tuning


def judged(program: Program, answer: Recommendation, tuning: Tuning, name: str) -> dict[str, Any]:
    values = {standing.name: standing.values for standing in tuning.verdict().standings}
    best = max(values, key=lambda one: statistics.median(values[one]))
    regret = statistics.median(values[best]) / statistics.median(values[name]) - 1
    pairs = [math.log(one / other) for one, other in zip(values[best], values[name], strict=False)]
    _, low, high = signed_rank_interval(pairs, 0.05)
    return {
        "program": program.title, "advice": answer.advice, "why": answer.placements[0].reasons[0],
        "model": answer.placements[0].model, "confidence": answer.placements[0].confidence,
        "advised": name, "best": best, "regret_ratio": regret,
        "interval": [None if bound is None else math.exp(bound) - 1 for bound in (low, high)],
        "rates": values,
    }  # fmt: skip


def measure_host() -> None:
    server = ("recommend", "--workers", "1", "--bound", "io", "--runtime", "python", "--model")
    for command in (("report",), ("matrix",), (*server, "threads"), (*server, "coroutines")):
        words = (*command, "--measure", "--format", "json")
        subprocess.run([sys.executable, "-m", "toposcope", *words], stdout=subprocess.DEVNULL, check=True)


def show(document: dict[str, Any]) -> None:
    print(
        "| program | advice | advised | best of all tried | regret (95 % interval) |\n|---|---|---|---|---|"
    )
    for row in document["rows"]:
        low, high = row["interval"]
        interval = "" if low is None else f" ({low:+.1%} to {high:+.1%})"
        best = f"{row['best']} of {len(row['rates'])}"
        regret = f"{row['regret_ratio']:.1%}{interval}"
        print(f"| {row['program']} | {row['advice']} | {row['advised']} | {best} | {regret} |")
    print(f"\nplacement {document['placement']}; {document['rounds']} rounds")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.skip_measuring:
        measure_host()
    evidence = _evidence.here(None, None)
    own_cpus = frozenset(os.sched_getaffinity(0))
    document: dict[str, Any] = {"placement": evidence.placement, "rounds": arguments.rounds, "rows": []}
    document["one_cpu_gains"] = [
        [one.model, one.interpreter, one.ratio, one.low, one.high] for one in evidence.one_cpu_gains
    ]
    document["claims"] = [[one.claim, one.verdict, one.ratio] for one in evidence.claims]
    for program in PROGRAMS:
        if arguments.programs and program.name not in arguments.programs.split(","):
            continue
        if lacking := regret_programs.missing(program.name):
            print(f"{program.title}: left out, {lacking} is not installed", file=sys.stderr)
            continue
        answer = recommend(program.request, evidence)
        rounds = program.rounds_factor * arguments.rounds
        tuning = asyncio.run(tried(program, alternatives(program, evidence, own_cpus), rounds))
        document["rows"].append(judged(program, answer, tuning, advised(program, answer, own_cpus)))
        Path(arguments.output).write_text(json.dumps(document, indent=1))
    show(document)
    worst = max((row["regret_ratio"] for row in document["rows"] if row["advice"] == "place"), default=0.0)
    return 0 if worst <= 0.05 else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", default="regret.json")
    parser.add_argument("--programs", default="")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--skip-measuring", action="store_true", help="take what the user's own store holds")
    parser.add_argument("--show", metavar="FILE", help="print the table of an earlier run")
    arguments = parser.parse_args()
    if arguments.show:
        show(json.loads(Path(arguments.show).read_text()))
        return 0
    if arguments.skip_measuring:
        return run(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
