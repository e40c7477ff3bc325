"""The table of probes in docs/probes.md: `python -m toposcope_probes.document docs/probes.md` renews it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from toposcope_probes import load_all
from toposcope_probes.contract import ProbeSpec

BEGIN: Final = "<!-- probes: made by `python -m toposcope_probes.document docs/probes.md` -->\n"
END: Final = "<!-- end of probes -->\n"


def table() -> str:
    """All probes as a Markdown table, a line each."""
    head = ("probe", "target", "measures: estimator", "variants", "period", "visit, ms")
    return _line(head) + "|" + "---|" * len(head) + "\n" + "".join(map(_row, load_all()))


def renewed(page: str) -> str:
    """The page with the table of today. Raises ValueError where it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no block from {BEGIN.strip()} to {END.strip()}")
    return before + begin + table() + end + after


def _row(spec: ProbeSpec) -> str:
    measures = "<br>".join(f"`{m.name}`: {m.estimator.value}" for m in spec.measures)
    variants = "<br>".join(f"`{key}`: {', '.join(values)}" for key, values in spec.variants.items())
    period = "on request" if spec.on_request_only else _duration(spec.interval_s)
    hurts = " †" if spec.saturates else ""
    link = f"[`{spec.name}`](#{spec.name}){hurts}"
    return _line((link, spec.target.value, measures, variants, period, f"{spec.visit_ms:g}"))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _duration(seconds: float) -> str:
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds % length_s == 0:
            return f"{seconds / length_s:g} {unit}"
    return f"{seconds:g} s"


if __name__ == "__main__":
    (name,) = sys.argv[1:]
    Path(name).write_text(renewed(Path(name).read_text("utf-8")), "utf-8")
