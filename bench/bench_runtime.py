"""The Python probes against independent checks, and whole reports against each other, on this machine.

    python bench/bench_runtime.py checks [ROUNDS] [--lmbench DIR] [--limit-s S]
                                                                    in turns with others (runtime_checks.py)
    python bench/bench_runtime.py reports [COUNT] [--keep FOLDER]   how long each takes; do verdicts differ?
    python bench/bench_runtime.py planted [COUNT]                   how often planted effects are seen as such

Every check runs in a process of its own, pinned to the same CPUs as the probe, in turn with it, so that both
see the same machine; compared are medians over the rounds. What a fork costs follows from the size of the
process, so all Python processes import the same (a sitecustomize imports pyperf, which its workers have).
pyperf has to be installed; DIR holds lmbench's lat_proc; no round begins after S seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import toposcope_probes
from paired import DEFAULT_KERNELS, ours, text_of
from runtime_checks import CHECKS, CPUS, ON_TWO_CPUS, Check
from toposcope.measure.visit import estimates
from toposcope.measure.wire import decode

_CHECK_S_MAX = 30
# Else lmbench looks at its clock for seconds before each figure; ENOUGH is an interval in µs (lib_timing.c).
LMBENCH_ENVIRONMENT = {"ENOUGH": "100000", "LOOP_O": "0", "TIMING_O": "0"}
_REPORT_S_MAX = 300
RUNTIME = Path(toposcope_probes.__file__).parent / "runtime"
PLANTED = Path(__file__).parents[1] / "tests" / "probes" / "test_python_planted.py"


def environment() -> dict[str, str]:
    """For every Python process: the same imports, hence the same size."""
    folder = Path(tempfile.gettempdir()) / "toposcope-equal-size"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text("import pyperf._cli, pyperf._runner, pyperf._timeit\n")
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def probe_figure(probe: str, variant: str, measure: str) -> float:
    command = [
        sys.executable,
        str(RUNTIME / f"{probe}.py"),
        f"cpus={','.join(map(str, CPUS))}",
        "budget_ms=100",
        *variant.split(),
    ]
    done = subprocess.run(command, capture_output=True, check=True, env=environment(), timeout=_CHECK_S_MAX)
    line = decode(done.stdout)
    spec = toposcope_probes.find(probe)
    assert spec is not None
    assert line.status == "ok", line.reason
    return estimates(spec, line.samples)[measure].estimate


def check_figure(check: Check, on_one_cpu: bool) -> float:
    if isinstance(check, tuple):
        return pyperf_figure(*check)
    command = [sys.executable, "-c", check]
    if on_one_cpu:
        command = ["taskset", "-c", str(CPUS[0]), *command]
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, env=environment(), timeout=_CHECK_S_MAX
    )
    return float(done.stdout)


def pyperf_figure(setup: str, statement: str, loops: int) -> float:
    """Median of pyperf's values, ns, one worker process pinned to the first CPU."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "values.json"
        options = (
            f"-p 1 -n 20 -w 2 -l {loops} --affinity={CPUS[0]} --inherit-environ=PYTHONPATH -q -o {output}"
        )
        subprocess.run(
            [sys.executable, "-m", "pyperf", "timeit", *options.split(), "-s", setup, statement],
            capture_output=True, check=True, env=environment(), timeout=_CHECK_S_MAX,
        )  # fmt: skip
        (benchmark,) = json.loads(output.read_text())["benchmarks"]
        return statistics.median(benchmark["runs"][-1]["values"]) * 1e9


def lmbench_turns(folder: Path) -> list[tuple[str, Callable[[], float], Callable[[], float]]]:
    """fork and exec of the kernel `spawn` against lat_proc, both on the first CPU."""

    def kernel(measure: str) -> float:
        figure = ours(DEFAULT_KERNELS, ["spawn", f"cpus={CPUS[0]}", "model=process"], measure)
        assert figure is not None
        return figure

    def peer(word: str) -> float:
        command = ["taskset", "-c", str(CPUS[0]), str(folder / "lat_proc"), "-N", "3", word]
        text = text_of(command, LMBENCH_ENVIRONMENT)
        found = re.search(r"([\d.]+) microseconds", text)
        assert found is not None, text
        return 1e3 * float(found.group(1))

    return [
        ("fork and wait, in C (lmbench)", lambda: kernel("create_ns"), lambda: peer("fork")),
        ("program started, in C (lmbench)", lambda: kernel("exec_ns"), lambda: peer("exec")),
    ]


def compare(rounds: int, lmbench: Path | None, limit_s: float, only: str) -> None:
    turns: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        (
            name,
            lambda p=probe, v=variant, m=measure: probe_figure(p, v, m),
            lambda c=check, p=probe, d=divisor: check_figure(c, p not in ON_TWO_CPUS) / d,
        )
        for (probe, variant, measure), checks in CHECKS.items()
        for name, check, divisor in checks
    ]
    turns += lmbench_turns(lmbench) if lmbench else []
    turns = [turn for turn in turns if only in turn[0]]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in turns}
    begin_s = time.monotonic()
    for turn in range(rounds):
        if time.monotonic() - begin_s > limit_s:
            break
        for name, read_ours, read_check in turns:
            if turn % 2:
                check = read_check()
                found[name].append((read_ours(), check))
            else:
                found[name].append((read_ours(), read_check()))
        print(f"round {turn + 1}: {time.monotonic() - begin_s:.0f} s", flush=True)
    print("| what | rounds | probe, median (range) | check, median (range) | probe / check |")
    print("|---|---|---|---|---|")
    for name, pairs in found.items():
        own, others = ([pair[side] for pair in pairs] for side in (0, 1))
        ratio = statistics.median(own) / statistics.median(others)
        print(f"| {name} | {len(pairs)} | {figures(own)} | {figures(others)} | {ratio:.2f} |")


def figures(values: list[float]) -> str:
    form = ",.0f" if min(values) > 10 else ".2f"
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def reports(count: int, keep: Path | None) -> None:
    """Make so many reports, each with a store of its own, and hold their verdicts against each other.

    Their documents are written to the folder `keep`.
    """
    verdicts: dict[str, list[str]] = {}
    for number in range(count):
        with tempfile.TemporaryDirectory() as state:
            begin_s = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "toposcope", "report", "--measure", "--format", "json"],
                capture_output=True, check=True, env={**os.environ, "XDG_STATE_HOME": state},
                text=True, timeout=_REPORT_S_MAX,
            )  # fmt: skip
            duration_s = time.monotonic() - begin_s
        print(f"report {number + 1}: {duration_s:.0f} s", flush=True)
        if keep is not None:
            (keep / f"report-{number + 1}.json").write_text(done.stdout)
        for claim in json.loads(done.stdout):
            low, high = claim["interval"] or (float("nan"), float("nan"))
            ratio = f" {claim['ratio']:.3g} ({low:.3g} to {high:.3g})" if claim["interval"] else ""
            verdicts.setdefault(claim["claim"], []).append(claim["verdict"] + ratio)
            print("   ", claim["claim"], claim["verdict"], claim["reason"])
            for name, case in claim["numbers"].get("cases", {}).items():
                print("       ", name, case["verdict"], case["ratio"], case["interval"], case.get("pairs"))
            if "flips" in claim["numbers"]:
                print("        flips:", json.dumps(claim["numbers"]["flips"]))
    print("| claim |", " | ".join(f"report {number + 1}" for number in range(count)), "|")
    print("|---" * (count + 1) + "|")
    for name, each in verdicts.items():
        print(f"| `{name}` |", " | ".join(each), "|")
    contradicted = [name for name, each in verdicts.items() if len({text.split()[0] for text in each}) > 1]
    print("verdicts that differ:", ", ".join(contradicted) or "none")


def planted(count: int) -> None:
    """Run the tests of planted effects so often; how often each passed. A second attempt counts anew."""
    passed: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for number in range(count):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rAR", "-p", "no:cacheprovider", str(PLANTED)],
            capture_output=True, check=False, text=True, cwd=PLANTED.parents[2],
        )  # fmt: skip
        for word, name in re.findall(r"^(PASSED|FAILED|RERUN) \S+::(\S+)", done.stdout, re.MULTILINE):
            seen[name] += 1
            passed[name] += word == "PASSED"
        load = os.getloadavg()[0]
        told = ", ".join(f"{name} {passed[name]}/{seen[name]}" for name in seen)
        print(f"run {number + 1}, load {load:.1f}: {told}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="the Python probes against others, reports against reports")
    parser.add_argument("what", choices=("checks", "reports", "planted"))
    parser.add_argument("count", type=int, nargs="?", default=3)
    parser.add_argument("--lmbench", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="", help="the checks with this in their name")
    parser.add_argument("--limit-s", type=float, default=3600.0)
    options = parser.parse_args()
    if options.what == "checks":
        compare(options.count, options.lmbench, options.limit_s, options.only)
    elif options.what == "reports":
        reports(options.count, options.keep)
    else:
        planted(options.count)


if __name__ == "__main__":
    main()
