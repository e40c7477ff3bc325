"""The claims in the terminal: verdict, ratio with its interval, and one plain sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from toposcope.claims import TIME_WAS_UP
from toposcope.render.terminal import show

_INDENT: Final = 15
_MARKS: Final = {
    "confirmed": ("confirmed", "green"),
    "refuted": ("refuted", "red"),
    "inconclusive": ("inconclusive", "yellow"),
    "not_applicable": ("not applicable", "dim"),
}


def print_report(claims: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """One paragraph a claim, wrapped to the terminal's width."""
    show(*(line for claim in claims for line in _lines(claim)), console=console)


def _lines(claim: dict[str, Any]) -> Iterator[RenderableType]:
    word, style = _MARKS[claim["verdict"]]
    head = Text.assemble((f"{word:{_INDENT}}", style), (claim["claim"], "bold"))
    if claim["ratio"] is not None:
        low, high = claim["interval"]
        head.append(f"  ×{claim['ratio']:.3g} ({low:.3g} – {high:.3g})")
    yield head
    yield Padding(Text(claim["sentence"]), (0, 0, 0, _INDENT))
    if claim["verdict"] == "inconclusive" or TIME_WAS_UP in claim["reason"]:
        yield Padding(Text(claim["reason"], "dim"), (0, 0, 0, _INDENT))
    for interpreter, told in claim["numbers"].get("flips", {}).items():
        said = Text.assemble((f"{interpreter}: ", "dim"), " ".join(told.get("says", ())))
        yield Padding(said, (0, 0, 0, _INDENT))
