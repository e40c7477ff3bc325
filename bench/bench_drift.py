"""Detection and false alarms of `measure/drift.py`, on simulated series; deterministic, numpy for the noise.

bench_drift.py false [--host-days 30000] [--groups 10] [--seed 0]
                                                          false events a host-year, worst admitted noise
bench_drift.py steps                                      share of steps found within n visits, by size
bench_drift.py traps                                      ramps, spikes, moving vCPUs, heavier noise
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "daemon"))

from toposcope.measure.drift import Detector, Visit, detect  # noqa: E402

VISITS_A_DAY = 24
DAYS = 300


def noise(rng: np.random.Generator, count: int, spread: float, autocorrelation: float) -> np.ndarray:
    """A stationary AR(1) process with the given standard deviation."""
    innovations = rng.normal(0, spread * np.sqrt(1 - autocorrelation**2), count)
    values = np.empty(count)
    values[0] = rng.normal(0, spread)
    for index in range(1, count):
        values[index] = autocorrelation * values[index - 1] + innovations[index]
    return values


def visits(values: np.ndarray) -> list[Visit]:
    return [Visit(3600.0 * index, value, 0.02) for index, value in enumerate((40 * np.exp(values)).tolist())]


def false(host_days: int, groups: int, seed: int) -> None:
    hosts = -(-host_days // DAYS)
    for spread in (0.04, 0.02):
        for autocorrelation in (0.5, 0.0):
            rng = np.random.default_rng([seed, int(spread * 1000), int(autocorrelation * 100)])
            events = noisy = 0
            for _ in range(hosts * groups):
                found = detect(visits(noise(rng, DAYS * VISITS_A_DAY, spread, autocorrelation)))
                events += len(found.events)
                noisy += found.state == "noisy"
            years = hosts * DAYS / 365
            print(f"variation {spread:.0%}, autocorrelation {autocorrelation}: {events} events in "
                  f"{hosts * DAYS} host-days of {groups} groups: {events / years:.2f} a host-year; "
                  f"{noisy} of {hosts * groups} series noisy at the end", flush=True)  # fmt: skip


def found_after(values: np.ndarray, at: int, within: int) -> list[int]:
    """After how many visits since `at` events came, within so many."""
    detector = Detector()
    found = []
    for index, visit in enumerate(visits(values)[: at + within]):
        if detector.add(visit) is not None and index >= at:
            found.append(index - at + 1)
    return found


def steps(runs: int = 400) -> None:
    at = 240
    for spread, autocorrelation in ((0.01, 0.5), (0.02, 0.5), (0.04, 0.0), (0.04, 0.25), (0.04, 0.5)):
        for size in (0.05, 0.10, 0.15, 0.20, 0.50, -0.20):
            seed = [int(spread * 1000), int(autocorrelation * 100), int(size * 100) + 100]
            rng = np.random.default_rng(seed)
            shares = np.zeros(3)
            for _ in range(runs):
                values = noise(rng, at + VISITS_A_DAY, spread, autocorrelation)
                values[at:] += np.log1p(size)
                first = min(found_after(values, at, VISITS_A_DAY), default=999)
                shares += [first <= 3, first <= 6, first <= VISITS_A_DAY]
            found = " ".join(f"{share:.1%}" for share in shares / runs)
            print(f"variation {spread:.0%}, autocorrelation {autocorrelation}, step {size:+.0%}: "
                  f"found within 3, 6, 24 visits: {found}", flush=True)  # fmt: skip


def traps(runs: int = 20) -> None:
    count = 90 * VISITS_A_DAY
    rng = np.random.default_rng(1)

    def events(change: np.ndarray, spread: float = 0.02) -> tuple[float, float]:
        found = [detect(visits(noise(rng, count, spread, 0.5) + change(rng))) for _ in range(runs)]
        return sum(len(each.events) for each in found) / runs, sum(e.state != "stable" for e in found) / runs

    hours = np.arange(count)
    after = hours >= count // 3
    cases = {
        "one-off spikes of +100 %, 1 in 200": lambda r: np.log(2) * (r.random(count) < 0.005),
        "one-off spikes of +50 %, 1 in 100": lambda r: np.log(1.5) * (r.random(count) < 0.01),
        "ramp of 1 % a day for 30 days": lambda _: 0.01 * np.clip((hours - count // 3) / 24, 0, 30),
        "ramp of 20 % within a day": lambda _: np.log(1.2) * np.clip((hours - count // 3) / 24, 0, 1),
        "vCPUs moving all the time (9, 26, 109)": lambda r: np.log(r.choice((9, 26, 109), count)),
        "vCPUs moving in 1 of 10 visits (9, 26)": lambda r: np.log(26 / 9) * (r.random(count) < 0.1),
        "vCPUs that begin to move after 30 days": lambda r: np.log(r.choice((1, 3, 12), count)) * after,
    }
    for name, change in cases.items():
        mean, not_stable = events(change)
        print(f"{name}: {mean:.2f} events in 90 days, {not_stable:.0%} not stable at the end", flush=True)
    for spread in (0.06, 0.08, 0.16):
        mean, not_stable = events(lambda _: np.zeros(count), spread)
        print(f"variation {spread:.0%}: {mean:.2f} events in 90 days, {not_stable:.0%} not stable at the end")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("mode", choices=("false", "steps", "traps"))
    parser.add_argument("--host-days", type=int, default=30_000)
    parser.add_argument("--groups", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.mode == "false":
        false(args.host_days, args.groups, args.seed)
    elif args.mode == "steps":
        steps()
    else:
        traps()


if __name__ == "__main__":
    main()
