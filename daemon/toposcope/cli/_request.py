"""The options that say what is to run, as `recommend`, `run` and `tune` share them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click

from toposcope.advise import request as requests
from toposcope.advise.candidates import candidates
from toposcope.advise.communication import MAX_TEXT_BYTES, parse_communication
from toposcope.advise.facts import Evidence
from toposcope.advise.layout import layout_of
from toposcope.advise.request import Request
from toposcope.errors import UsageError
from toposcope.topology.cpulist import parse_cpulist

_SIZES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _choice(name: str, choices: object, default: str, text: str) -> Callable[[Any], Any]:
    return click.option(
        name, type=click.Choice(get_args(choices)), default=default, show_default=True, help=text
    )


def _workers(*, required: bool) -> Callable[[Any], Any]:
    text = "How many workers there are" + ("." if required else ". [default: one for each core]")
    return click.option("--workers", type=int, required=required, metavar="N", help=text)


_OPTIONS: Final = (
    click.option("--exact", is_flag=True, help="Just N workers, a CPU each, the best set found."),
    _choice("--sharing", requests.Sharing, "shared", "What the workers have in common."),
    _choice("--bound", requests.Bound, "cpu", "What they mostly wait for."),
    _choice("--runtime", requests.Runtime, "native", "What runs them."),
    _choice("--model", requests.Model, "auto", "What it is made of, where that is settled."),
    _choice("--smt", requests.Smt, "auto", "Whether two workers may share a core."),
    _choice("--objective", requests.Objective, "throughput",
            "Latency: rather fewer workers than two on a core."),
    click.option("--exclusive", is_flag=True, help="Leave out CPUs that are busy now."),
    click.option(
        "--memory-per-worker", metavar="SIZE", help="What each worker needs, for example 512M or 2G."
    ),
    click.option("--communication", "communication_file", type=click.Path(path_type=Path), metavar="FILE",
                 help="Who talks to whom: CSV lines source,target,weight, or JSON."),
    click.option("--cpus", metavar="LIST", help="Choose from these CPUs only, for example 0-7,16."),
    click.option("--avoid-cpus", metavar="LIST", help="Choose none of these CPUs."),
    click.option("--nodes", metavar="LIST", help="Choose from these NUMA nodes only."),
)  # fmt: skip


def request_options(*, workers_required: bool) -> Callable[[_Command], _Command]:
    """All options of a request; `request_of` and `request_here` take what they hand over."""

    def decorate(command: _Command) -> _Command:
        for option in reversed((_workers(required=workers_required), *_OPTIONS)):
            command = option(command)
        return command

    return decorate


def request_here(evidence: Evidence, *, workers: int | None, **options: Any) -> Request:  # noqa: ANN401 - as request_of
    """As `request_of`; without a number of workers one for each core that may be used. Raises UsageError."""
    if workers is not None:
        return request_of(workers=workers, **options)
    if options["communication_file"] is not None:
        raise UsageError("--communication says nothing of how many workers there are", "add --workers N")
    alone = request_of(workers=1, **options)
    layout = layout_of(evidence.machine, candidates(alone, evidence).cpus)
    return replace(alone, workers=len(set(layout.cores)))


def request_of(
    *, memory_per_worker: str | None, communication_file: Path | None, cpus: str | None,
    avoid_cpus: str | None, nodes: str | None, **plain: Any,  # noqa: ANN401 - strings and flags that Request checks
) -> Request:  # fmt: skip
    """The request that the options make. Raises UsageError."""
    return Request(
        memory_bytes_per_worker=None if memory_per_worker is None else parse_size(memory_per_worker),
        communication=() if communication_file is None else _communication(communication_file),
        cpus=None if cpus is None else _list("--cpus", cpus),
        avoid_cpus=() if avoid_cpus is None else _list("--avoid-cpus", avoid_cpus),
        nodes=None if nodes is None else _list("--nodes", nodes),
        **plain,
    )


def parse_size(size: str) -> int:
    """`512M`, `2GiB` or `1000` in bytes; units are powers of 1024. Raises UsageError."""
    match = re.fullmatch(
        r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(?:i?b)?", size.strip(), re.ASCII | re.IGNORECASE
    )
    if match is None:
        raise UsageError(f"{size[:40]!r} is not a size", "for example 512M or 2G")
    return int(float(match.group(1)) * _SIZES[match.group(2).lower()])


def _list(option: str, cpus: str) -> tuple[int, ...]:
    try:
        found = parse_cpulist(cpus)
    except ValueError as error:
        raise UsageError(f"{option} {cpus[:40]!r}: {error}", "a list is written like 0-7,16") from error
    if not found:
        raise UsageError(f"{option} is an empty list", "name at least one, or leave the option out")
    return found


def _communication(path: Path) -> tuple[requests.Edge, ...]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
        return parse_communication(content.decode(), name=str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a CSV or JSON file") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: byte {error.start} is not UTF-8 text", "name a CSV or JSON file"
        ) from error
