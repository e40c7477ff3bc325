"""The claims in the terminal: verdict, ratio with its interval, and one plain sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

_MARKS = {
    "confirmed": ("confirmed", "green"),
    "refuted": ("refuted", "red"),
    "inconclusive": ("inconclusive", "yellow"),
    "not_applicable": ("not applicable", "dim"),
}


def print_report(claims: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """One paragraph a claim, wrapped to the terminal's width."""
    console = console or Console(highlight=False)
    for claim in claims:
        word, style = _MARKS[claim["verdict"]]
        head = Text.assemble((f"{word:15}", style), (claim["claim"], "bold"))
        if claim["ratio"] is not None:
            low, high = claim["interval"]
            head.append(f"  ×{claim['ratio']:.3g} ({low:.3g} – {high:.3g})")
        console.print(head)
        console.print(Padding(Text(claim["sentence"]), (0, 0, 0, 15)))
        if claim["verdict"] == "inconclusive" and claim["reason"]:
            console.print(Padding(Text(claim["reason"], "dim"), (0, 0, 0, 15)))
