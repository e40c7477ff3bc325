"""Runs one of our kernels and an independent instrument in turns, and compares them pair by pair.

Ours runs just before and just after each run of the other. Where our two readings differ by more than a
quarter, the machine changed in between (a hypervisor moves its CPUs) and the turn is left out. What remains
gives the median of the ratios and their quartiles.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

DEFAULT_KERNELS = Path(__file__).resolve().parents[1] / "build" / "kernels" / "toposcope-kernels"
MOVED_RATIO = 1.25
PEER_LIMIT_S = 20

Reading = Callable[[], "float | None"]


def ours(kernels: Path, words: Sequence[str], measure: str) -> float | None:
    """The median of a measure from one visit of a kernel; None where it could not measure."""
    done = subprocess.run([str(kernels), *words], capture_output=True, check=True, text=True)
    line = json.loads(done.stdout)
    values = [value for group in line["samples"].get(measure, []) for value in group]
    return statistics.median(values) if line["status"] == "ok" and values else None


def text_of(command: Sequence[str]) -> str:
    """What an instrument says, on both its streams; "" where it does not end in time."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, check=False, text=True, timeout=PEER_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout + done.stderr


def compare(label: str, read_ours: Reading, read_peer: Reading, repeats: int) -> None:
    """Takes turns and prints one line of results."""
    ratios, moved, failed, own, others = [], 0, 0, [], []
    for _ in range(repeats):
        before, peer, after = read_ours(), read_peer(), read_ours()
        if before is None or after is None or not peer:
            failed += 1
            continue
        own.append((before + after) / 2)
        others.append(peer)
        if max(before, after) > MOVED_RATIO * min(before, after):
            moved += 1
        else:
            ratios.append(own[-1] / peer)
    if not ratios:
        print(f"{label}: no turn to compare (moved {moved}, failed {failed})", flush=True)
        return
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    print(
        f"{label}: ratio {middle:.2f} ({low:.2f} to {high:.2f}), ours {statistics.median(own):.4g},"
        f" peer {statistics.median(others):.4g}; turns {len(ratios)}, moved {moved}, failed {failed}",
        flush=True,
    )
