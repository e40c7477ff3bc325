"""`toposcope explain`: where a running process runs, what that costs by our measurements, what is better."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec
import psutil

from toposcope import audit, explain
from toposcope.advise.answer import to_document
from toposcope.advise.request import Sharing
from toposcope.cli import _evidence, _source
from toposcope.cli._output import format_option, print_json, text_columns
from toposcope.errors import ToposcopeError, UsageError
from toposcope.render.advice_text import folded
from toposcope.topology.processes import Process, read_memory_bytes_by_node, read_process
from toposcope.topology.sysfs import Root

_SNAPSHOTS: Final = 11
_NAMED_MAX: Final = 10


@click.command("explain")
@click.argument("process", metavar="PID|NAME")
@click.option("--watch-s", type=click.FloatRange(0.1, 60), default=1.0, show_default=True,
              help="How long to watch which CPUs its threads use.")  # fmt: skip
@click.option("--sharing", type=click.Choice(get_args(Sharing)), default="shared", show_default=True,
              help="What its threads have in common.")  # fmt: skip
@format_option()
@_source.url_option
@_source.config_option
def command(
    process: str,
    *,
    watch_s: float,
    sharing: Sharing,
    output_format: str,
    url: str | None,
    config_file: Path | None,
) -> None:
    """Say where a running process's threads and memory are, what that costs, and what would be better.

    It reads with your own rights and changes nothing; a daemon is asked only for what distances cost.
    """
    pid = find_pid(process)
    evidence = _evidence.here(url, config_file)
    root = Root("/")
    shots, watched_s = _watch(root, pid, watch_s)
    memory = read_memory_bytes_by_node(root, pid)
    unseen = [memory] if isinstance(memory, str) else []
    if evidence.node_costs is None and len(evidence.machine.numa_nodes) > 1:
        unseen.append("what memory costs per node: not measured")
    usage = audit.usage_of(shots, watched_s, None if isinstance(memory, str) else memory)
    found = explain.explain(shots[-1], usage, evidence, unseen, sharing)
    if output_format == "json":
        print_json(_document(found, watched_s))
    else:
        click.echo(folded(explain.text(found), text_columns()))


def find_pid(text: str) -> int:
    """The process that a number or a name means. Raises UsageError where there is none, or several."""
    if text.isascii() and text.isdigit():
        if len(text) > 9 or not psutil.pid_exists(int(text)):
            raise UsageError(f"there is no process {text[:20]}", "`pgrep -a NAME` lists processes by name")
        return int(text)
    found = [each.pid for each in psutil.process_iter() if _name_of(each) == text]
    if not found:
        hint = "names are the program's own, as in `ps -o comm`; or give its PID"
        raise UsageError(f"no process that you can see is called {text[:40]!r}", hint)
    if len(found) > 1:
        shown = ", ".join(map(str, found[:_NAMED_MAX])) + (", …" if len(found) > _NAMED_MAX else "")
        raise UsageError(f"{len(found)} processes are called {text[:40]!r}", f"name one by its PID: {shown}")
    return found[0]


def _name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""  # it ended, or it is hidden from us


def _watch(root: Root, pid: int, watch_s: float) -> tuple[list[Process], float]:
    """Snapshots over that time, and what it really was. Raises ToposcopeError where the process ends."""
    shots: list[Process] = []
    begin_s = time.monotonic()
    for index in range(_SNAPSHOTS):
        time.sleep(max(0.0, begin_s + index * watch_s / (_SNAPSHOTS - 1) - time.monotonic()))
        read_s = time.monotonic()
        shot = read_process(root, pid)
        if shot is None:
            raise ToposcopeError(f"process {pid} ended while it was watched, or it is hidden from you",
                                 "hidepid= and ProtectProc= hide the processes of others")  # fmt: skip
        shots.append(shot)
    return shots, read_s - begin_s


def _document(found: explain.Explanation, watched_s: float) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(found, str_keys=True)
    better = None if found.better is None else to_document(found.better)
    usage = document.pop("usage")
    return {
        "schema_version": 1,
        "watched_s": round(watched_s, 3),
        **document,
        "busy_threads": usage["busy_threads"],
        "cpus": list(found.usage.cpus),
        "memory_bytes_by_node": usage["memory_bytes_by_node"],
        "better": better,
    }
