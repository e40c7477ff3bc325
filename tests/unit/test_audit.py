"""The audit: readers of /proc that take anything, findings that need a reason, and limits."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advise_machines import two_sockets
from toposcope import audit
from toposcope.audit import BusyThread, Usage
from toposcope.auditing import Auditor
from toposcope.clock import SystemClock
from toposcope.judgements import Judgements
from toposcope.topology.processes import (
    Process,
    Thread,
    parse_numa_maps,
    parse_stat,
    read_memory_bytes_by_node,
    read_process,
)
from toposcope.topology.sysfs import Root
from toposcope.view import View

PROJECT = Path(__file__).resolve().parents[2]
MACHINE = two_sockets()  # 16 CPUs: packages 0-7 and 8-15, L3 domains of 4 CPUs (2 cores), a node a package
GIB = 1 << 30
STAT = "{pid} (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 3 0 9 9 9 " + "0 " * 14 + "{cpu} 0 0\n"


def usage(*cpus: int, memory: dict[int, int] | None = None) -> Usage:
    threads = tuple(BusyThread(index, "t", 0.9, (cpu,)) for index, cpu in enumerate(cpus))
    return Usage(7, "prog", threads, {cpu: 5 * cpus.count(cpu) for cpu in sorted(set(cpus))}, memory)


def checks(used: Usage) -> list[str]:
    return [finding.check for finding in audit.judge(used, MACHINE)]


# ---------------------------------------------------------------------------------- judging


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        ((0, 8), ["straddles_packages"]),
        ((0, 4), ["straddles_l3_domains"]),
        ((0, 2), []),
        ((0,), []),
        ((0, 2, 4), []),  # three threads don't fit into two cores of one L3 domain
        ((0, 2, 4, 6, 8), []),  # nor five into four cores of one package
        ((0, 0, 0, 2), []),
    ],
)
def test_only_what_would_fit_straddles(cpus: tuple[int, ...], expected: list[str]) -> None:
    assert checks(usage(*cpus)) == expected


def test_a_short_visit_elsewhere_is_no_habit() -> None:
    threads = (BusyThread(1, "t", 1, (0,)), BusyThread(2, "t", 1, (2, 8)))
    assert checks(Usage(7, "p", threads, {0: 10, 2: 9, 8: 1})) == []
    assert checks(Usage(7, "p", threads, {0: 10, 2: 5, 8: 5})) == ["straddles_packages"]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ({0: GIB}, []),
        ({1: GIB}, ["memory_far"]),
        ({0: 6 * GIB, 1: 4 * GIB}, []),
        ({1: 1 << 20}, []),
        ({}, []),
        (None, []),
    ],
)
def test_memory_is_far_where_most_of_it_is(memory: dict[int, int] | None, expected: list[str]) -> None:
    assert checks(usage(0, 2, memory=memory)) == expected


def test_a_finding_says_what_it_saw_and_what_to_do() -> None:
    (finding,) = audit.judge(usage(0, 8), MACHINE)
    assert (
        finding.sentence == "2 busy threads ran in 2 packages on CPUs 0,8, and would fit into one of 4 cores"
    )
    assert "toposcope explain 7" in finding.hint


def test_busy_is_what_used_time_between_the_snapshots() -> None:
    def shot(cpu: int, busy_s: float) -> Process:
        threads = (Thread(1, "main", 3, 100.0), Thread(2, "work", cpu, busy_s))
        return Process(1, "p", threads, (0, 1), None)

    found = audit.usage_of([shot(9, 5.0), shot(0, 5.2), shot(8, 5.4)], 0.5)
    assert [(thread.tid, thread.cpus) for thread in found.busy_threads] == [(2, (0, 8))]
    assert found.busy_threads[0].busy_ratio == pytest.approx(0.8)
    assert found.seen_on == {0: 1, 8: 1}


# ---------------------------------------------------------------------------------- reading


@pytest.fixture
def root(tmp_path: Path) -> Root:
    folder = tmp_path / "proc" / "7"
    for tid, cpu in ((7, 3), (8, 12)):
        (folder / "task" / str(tid)).mkdir(parents=True)
        (folder / "task" / str(tid) / "stat").write_text(STAT.format(pid=tid, cpu=cpu))
    (folder / "stat").write_text(STAT.format(pid=7, cpu=3))
    (folder / "status").write_text("Name:\ta\nVmRSS:\t  2048 kB\nCpus_allowed_list:\t0-3,12\n")
    (folder / "numa_maps").write_text(
        "7f00 default anon=3 N0=2 N1=1 kernelpagesize_kB=4\n7f01 bind:1 file=/a\\040N0=9 N1=1 kernelpagesize_kB=2048\n"
    )
    return Root(tmp_path)


def test_a_process_is_read_with_its_odd_name(root: Root) -> None:
    process = read_process(root, 7)
    assert process is not None
    assert (process.name, process.allowed_cpus, process.resident_bytes) == (
        "a (b) c",
        (0, 1, 2, 3, 12),
        2 << 20,
    )
    assert [(thread.tid, thread.cpu, thread.cpu_s) for thread in process.threads] == [
        (7, 3, 3.0),
        (8, 12, 3.0),
    ]
    assert read_process(root, 9) is None


def test_pages_count_in_their_own_size(root: Root) -> None:
    assert read_memory_bytes_by_node(root, 7) == {0: 8192, 1: 4096 + (2 << 20)}
    assert "no numa_maps" in str(read_memory_bytes_by_node(root, 9))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_is_forbidden_is_said(root: Root) -> None:
    (root.path / "proc/7/numa_maps").chmod(0)
    assert read_memory_bytes_by_node(root, 7) == "memory per node: Permission denied"


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    parse_stat(text)
    assert all(size >= 0 for size in parse_numa_maps(text).values())


def test_we_ourselves_are_read_as_psutil_reads_us() -> None:
    process = read_process(Root("/"), os.getpid())
    assert process is not None
    assert process.allowed_cpus == tuple(sorted(psutil.Process().cpu_affinity()))
    assert len(process.threads) == psutil.Process().num_threads()


# ---------------------------------------------------------------------------------- the daemon's part


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()


def look(processes_max: int) -> dict[str, Any]:
    auditor = Auditor(Root("/"), SystemClock(), processes_max)
    return asyncio.run(auditor.look(MACHINE, _at_once))


def test_a_look_is_bounded_and_leaves_ourselves_out() -> None:
    stop = threading.Event()
    spinning = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    spinning.start()
    try:
        found = look(2)
    finally:
        stop.set()
        spinning.join()
    assert found["processes_looked_at"] <= 2
    assert set(found["counts"]) == set(audit.CHECKS)
    assert os.getpid() not in [finding["pid"] for finding in found["findings"]]


def test_findings_reach_the_metrics_and_other_judgements_stay() -> None:
    view = View(MACHINE, "f")
    view.set_judgements(Judgements(drifted={"l3": 2}))
    view.set_audit({"enabled": True, "counts": {"memory_far": 3}, "findings": []})
    assert view.judgements.audit_findings == {"memory_far": 3}
    assert view.judgements.drifted == {"l3": 2}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_drop_in_costs_exposure_but_not_much(tmp_path: Path) -> None:
    units = tmp_path / "etc" / "systemd" / "system"
    drop_ins = units / "toposcope.service.d"
    drop_ins.mkdir(parents=True)
    shutil.copy(PROJECT / "systemd" / "toposcope.service", units)
    without = _exposure(tmp_path)
    shutil.copy(PROJECT / "systemd" / "drop-ins" / "audit.conf", drop_ins)
    assert without < _exposure(tmp_path) < without + 1


def _exposure(root: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--root={root}", "--no-pager", "toposcope.service"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return float(done.stdout.rsplit(": ", 1)[1].split()[0])
