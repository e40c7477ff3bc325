"""Advice in the terminal: first what to do, then why, then what it rests on; folded to the terminal's width.

Commands are on lines of their own and never folded, so that they can be copied.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from toposcope.advise.answer import Placement, Recommendation
from toposcope.topology.cpulist import format_cpulist
from toposcope.units import format_ns

_LEAVE: Final = "leave it as it is"
_SHOWN_COMMANDS: Final = ("taskset", "numactl")
_COMMAND: Final = "    "  # no other line begins so: a reason's indentation is less


def folded(text: str, width: int) -> str:
    """Each line folded at words to that many columns, its indentation kept."""
    lines: list[str] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        hanging = " " * (indent + 2)
        lines += textwrap.wrap(
            line, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        ) or [""]  # fmt: skip
    return "\n".join(lines)


def advice_text(answer: Recommendation, width: int) -> str:
    """The whole answer for people, `width` columns wide but for the commands."""
    first = answer.placements[0]
    parts = [*_what_to_do(answer, first), "", "why:", *_bullets(first.reasons)]
    if answer.advice == "leave":
        parts += ["", f"were it to be placed all the same: {_title(first)}", *_commands(first)]
    for rank, other in enumerate(answer.placements[1:], 2):
        parts += ["", f"number {rank}: {_title(other)}", *_commands(other)]
        parts += _bullets(tuple(reason for reason in other.reasons if reason not in first.reasons))
    parts += ["", "evidence:"]
    for used in first.evidence:
        detail = f", {used.detail}" if used.detail else ""
        parts.append(f"  {used.what}: {used.basis}{_age(used.age_s)}{detail}")
    parts += ["not considered:", *(f"  {note}" for note in answer.not_considered)]
    parts.append(f"mode: {answer.mode}; source: {answer.source}")
    return "\n".join(part if part.startswith(_COMMAND) else folded(part, width) for part in parts)


def _what_to_do(answer: Recommendation, first: Placement) -> Iterator[str]:
    if answer.advice == "leave":
        yield f"leave: start it without any placement, as {_as_model(first)}"
        return
    yield f"place: {_title(first)}"
    yield from _commands(first)


def _title(placement: Placement) -> str:
    cost = "" if placement.cost_ns is None else f", {format_ns(placement.cost_ns)} between workers"
    count = "1 worker" if placement.workers == 1 else f"{placement.workers} workers"
    cpus = f"CPU{'s' if len(placement.cpus) > 1 else ''} {format_cpulist(sorted(placement.cpus))}"
    return (
        f"{count} on {cpus} as {_as_model(placement)}{cost}; {_gain(placement)}, "
        f"confidence {placement.confidence:.0%}"
    )


def _as_model(placement: Placement) -> str:
    return placement.model.replace("_", " ")


def _commands(placement: Placement) -> Iterator[str]:
    for name in _SHOWN_COMMANDS:
        yield from (f"{_COMMAND}{line}" for line in placement.commands[name].splitlines())


def _bullets(reasons: tuple[str, ...]) -> list[str]:
    return [f"  - {reason.removeprefix(f'{_LEAVE}: ')}" for reason in reasons]


def _gain(placement: Placement) -> str:
    if placement.expected_gain_ratio is None or placement.interval is None:
        return "gain not measured"
    low, high = placement.interval
    return f"{placement.expected_gain_ratio:.2f} times as good as the default ({low:.2f} to {high:.2f})"


def _age(age_s: float | None) -> str:
    return "" if age_s is None else f", {age_s / 3600:.1f} h old"
