"""Runs one of our kernels and an independent instrument in turns, and compares them pair by pair.

Ours runs just before and just after each run of the other. Where our two readings differ by more than a
quarter, the machine changed in between (a hypervisor moves its CPUs) and the turn is left out. What remains
gives the median of the ratios with its 95 % interval, one row of a Markdown table.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from toposcope.measure.estimate import median_interval

DEFAULT_KERNELS = Path(__file__).resolve().parents[1] / "build" / "kernels" / "toposcope-kernels"
HEADER = (
    "| what | unit | ours | other | median ratio | 95 % interval | turns / moved / failed | target | met |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
MOVED_RATIO = 1.25
PEER_LIMIT_S = 20

Reading = Callable[[], "float | None"]


def ours(kernels: Path, words: Sequence[str], measure: str) -> float | None:
    """The median of a measure from one visit of a kernel; None where it could not measure."""
    done = subprocess.run([str(kernels), *words], capture_output=True, check=True, text=True)
    line = json.loads(done.stdout)
    values = [value for group in line["samples"].get(measure, []) for value in group]
    return statistics.median(values) if line["status"] == "ok" and values else None


def text_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """What an instrument says, on both its streams; "" where it does not end in time."""
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            check=False,
            text=True,
            timeout=PEER_LIMIT_S,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout + done.stderr


def compare(
    label: str, unit: str, scale: float, read_ours: Reading, read_peer: Reading, repeats: int, target: float
) -> None:
    """Takes turns and prints a row; `scale` makes what is read into `unit`, `target` is a relative error."""
    ratios: list[float] = []
    own: list[float] = []
    others: list[float] = []
    moved = failed = 0
    for _ in range(repeats):
        before, peer, after = read_ours(), read_peer(), read_ours()
        if before is None or after is None or not peer:
            failed += 1
            continue
        own.append(scale * (before + after) / 2)
        others.append(scale * peer)
        if max(before, after) > MOVED_RATIO * min(before, after):
            moved += 1
        else:
            ratios.append(own[-1] / others[-1])
    counts = f"{len(ratios)} / {moved} / {failed}"
    if not ratios:
        print(f"| {label} | {unit} | | | no turn to compare | | {counts} | {target:.0%} | no |", flush=True)
        return
    middle, (low, high) = statistics.median(ratios), median_interval(sorted(ratios))
    values = f"{statistics.median(own):.4g} | {statistics.median(others):.4g} | {middle:.2f}"
    met = "yes" if abs(middle - 1) <= target else "no"
    print(
        f"| {label} | {unit} | {values} | {low:.2f} to {high:.2f} | {counts} | {target:.0%} | {met} |",
        flush=True,
    )
