"""Detection and false alarms of `measure/drift.py`, on simulated and replayed series; numpy for the noise.

bench_drift.py false [--host-days 30000] [--groups 10] [--part 0/1] [--noise 0.04:0.5 ...]
                                                false events a host-year, for each variation:autocorrelation
bench_drift.py gate [--runs 400]                share of series that are taken for steady, by their variation
bench_drift.py steps [--runs 1000] [--groups 8] [--noise ...] [--learnt 14 28]
                                                share of steps found within n visits, by size
bench_drift.py traps                            ramps, spikes, moving vCPUs, heavy tails, heavier noise
bench_drift.py replay FILE...                   recorded visits (tests/traces/*.json): steps, spikes
                                                and ramps put into their own noise

`--daily`: one visit a day instead of 24. A host's `--groups` series share the false events that it may have.
Deterministic: `--part 1/4` is the second quarter of the hosts, so that parts may run one after the other;
`--seed` draws others.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "daemon"), str(ROOT / "probes")]

from generators.traces import read_trace  # noqa: E402
from toposcope.measure import modes  # noqa: E402
from toposcope.measure.drift import DAILY, GROUPS_MIN, HOURLY, Detector, Rate, Visit, detect  # noqa: E402

VISITS_A_DAY = 24
DAYS = 300
SIZES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.50, -0.10, -0.20, -0.50)
VISITS_AN_HOUR = 6  # `cacheline_cas` and `cacheline_handover` are due every 600 s
MIN_VISITS = 40  # of a recorded result, to know its noise
WITHIN = (3, 6, VISITS_A_DAY)
Series = np.ndarray


def noise(rng: np.random.Generator, count: int, spread: float, autocorrelation: float) -> Series:
    """A stationary AR(1) process with the given standard deviation."""
    innovations = rng.normal(0, spread * np.sqrt(1 - autocorrelation**2), count)
    values = np.empty(count)
    values[0] = rng.normal(0, spread)
    for index in range(1, count):
        values[index] = autocorrelation * values[index - 1] + innovations[index]
    return values


def heavy_noise(rng: np.random.Generator, count: int, spread: float) -> Series:
    """Student's distribution with five degrees of freedom, of the given standard deviation."""
    return rng.standard_t(5, count) * spread / np.sqrt(5 / 3)


def visits(values: Series, first: int = 0) -> list[Visit]:
    estimates = (40 * np.exp(values)).tolist()
    return [Visit(3600.0 * index, value, 0.02) for index, value in enumerate(estimates, first)]


def false(host_days: int, groups: int, part: str, kinds: list[str], rate: Rate, seed: int) -> None:
    number, parts = map(int, part.split("/"))
    hosts = range(number, -(-host_days // DAYS), parts)
    count = DAYS * rate.visits_a_year // 365
    for kind in kinds:
        spread, autocorrelation = map(float, kind.split(":"))
        events, states = 0, dict.fromkeys(("stable", "learning", "noisy"), 0)
        for host in hosts:
            rng = np.random.default_rng([seed, host, int(spread * 1000), int(autocorrelation * 100)])
            for _ in range(groups):
                found = detect(visits(noise(rng, count, spread, autocorrelation)), groups, rate)
                events += len(found.events)
                states[found.state] += 1
        days = len(hosts) * DAYS
        print(f"variation {spread:.1%}, autocorrelation {autocorrelation}: {events} in {days} host-days "
              f"of {groups} groups: {events / days * 365:.2f} a host-year; at the end {states}",
              flush=True)  # fmt: skip


def gate(runs: int, rate: Rate, seed: int) -> None:
    """Of series that differ by so much the shares that are steady and noisy, as time goes by."""
    looks = [round(rate.baseline * share) for share in (0.5, 1.0, 1.5, 2.0, 4.0)]
    for spread in (0.035, 0.04, 0.045, 0.05, 0.055, 0.06):
        for autocorrelation in (0.0, 0.5):
            rng = np.random.default_rng([seed, int(spread * 10_000), int(autocorrelation * 100)])
            stable, noisy = dict.fromkeys(looks, 0), dict.fromkeys(looks, 0)
            ever = 0
            for _ in range(runs):
                detector, was_stable = Detector(rate=rate), False
                for index, visit in enumerate(visits(noise(rng, looks[-1], spread, autocorrelation)), 1):
                    detector.add(visit)
                    was_stable |= detector.state == "stable"
                    if index in stable:
                        stable[index] += detector.state == "stable"
                        noisy[index] += detector.state == "noisy"
                ever += was_stable
            shares = " | ".join(f"{stable[n] / runs:.1%} / {noisy[n] / runs:.1%}" for n in looks)
            print(f"| {spread:.2%} | {autocorrelation} | {shares} | {ever / runs:.1%} |", flush=True)


def found_within(detector: Detector, later: list[Visit]) -> int:
    """After how many visits the event came; 999 where none did."""
    return next((count for count, visit in enumerate(later, 1) if detector.add(visit) is not None), 999)


def steps(runs: int, groups: int, learnt: list[int], kinds: list[str], rate: Rate, seed: int) -> None:
    for learnt_days in learnt:
        for kind in kinds:
            spread, autocorrelation = map(float, kind.split(":"))
            steady, shares = _shares(runs, groups, learnt_days, (spread, autocorrelation), rate, seed)
            for size in SIZES:
                found = " / ".join(f"{share:.2%}" for share in shares[size])
                series = f"{learnt_days} | {spread:.1%} | {autocorrelation} | {steady:.1%}"
                print(f"| {series} | {size:+.0%} | {found} |", flush=True)


def _shares(
    runs: int, groups: int, learnt_days: int, kind: tuple[float, float], rate: Rate, seed: int
) -> tuple[float, dict[float, Series]]:
    """The share of series that are steady; of these, by size, the shares found within 3, 6 and 24 visits.

    The noise is the same for all sizes.
    """
    shares = {size: np.zeros(len(WITHIN)) for size in SIZES}
    rng = np.random.default_rng([seed, learnt_days, int(kind[0] * 1000), int(kind[1] * 100)])
    at = learnt_days * rate.visits_a_year // 365
    steady = 0
    for _ in range(runs):
        values = noise(rng, at + WITHIN[-1], *kind)
        before = Detector(groups=groups, rate=rate)
        for visit in visits(values[:at]):
            before.add(visit)
        if before.state != "stable":
            continue
        steady += 1
        for size in SIZES:
            after = visits(values[at:] + np.log1p(size), at)
            first = found_within(Detector(before.memory(), groups, rate), after)
            shares[size] += [first <= limit for limit in WITHIN]
    return steady / runs, {size: found / max(1, steady) for size, found in shares.items()}


def traps(runs: int = 20) -> None:
    count = 90 * VISITS_A_DAY
    rng = np.random.default_rng(1)

    def report(name: str, series: Callable[[], Series]) -> None:
        found = [detect(visits(series())) for _ in range(runs)]
        events = sum(len(each.events) for each in found) / runs
        calm = sum(each.state == "stable" for each in found) / runs
        print(f"| {name} | {events:.2f} | {1 - calm:.0%} |", flush=True)

    hours = np.arange(count)
    after = hours >= count // 3
    cases: dict[str, Callable[[np.random.Generator], Series]] = {
        "one-off spikes of +100 %, 1 in 200": lambda r: np.log(2) * (r.random(count) < 0.005),
        "one-off spikes of +50 %, 1 in 100": lambda r: np.log(1.5) * (r.random(count) < 0.01),
        "ramp of 1 % a day for 30 days": lambda _: 0.01 * np.clip((hours - count // 3) / 24, 0, 30),
        "ramp of 20 % within a day": lambda _: np.log(1.2) * np.clip((hours - count // 3) / 24, 0, 1),
        "vCPUs moving all the time (9, 26, 109)": lambda r: np.log(r.choice((9, 26, 109), count)),
        "vCPUs moving in 1 of 10 visits (9, 26)": lambda r: np.log(26 / 9) * (r.random(count) < 0.1),
        "vCPUs that begin to move after 30 days": lambda r: np.log(r.choice((1, 3, 12), count)) * after,
        "2 % that become 4 % after 30 days": lambda r: after * r.normal(0, 0.035, count),
        "4 %, by day 3 % slower than by night": lambda r: (
            r.normal(0, 0.035, count) + 0.015 * np.sign(np.sin(hours * math.tau / 24))
        ),
    }
    for name, change in cases.items():
        report(name, lambda change=change: noise(rng, count, 0.02, 0.5) + change(rng))  # type: ignore[misc]
    report("4 %, Student's distribution (5 degrees)", lambda: heavy_noise(rng, count, 0.04))
    for spread in (0.05, 0.06, 0.08, 0.16):
        report(f"variation {spread:.0%}", lambda spread=spread: noise(rng, count, spread, 0.5))  # type: ignore[misc]
        stepped = np.log(1.5) * after
        report(f"variation {spread:.0%}, +50 % after 30 days",
               lambda spread=spread, stepped=stepped: noise(rng, count, spread, 0.5) + stepped)  # type: ignore[misc]  # fmt: skip


def replay(path: Path, runs: int) -> None:
    """Recorded visits: their noise inside their main mode, and steps that are put into it.

    They were made seconds apart; an hour apart they are independent. As in the daemon, an hour is a median.
    """
    trace = read_trace(path)
    for each in trace.results:
        seen = [modes.Observation(visit.time_s, visit.measures[each.measure])
                for visit in each.visits if visit.verdict == "ok"]  # fmt: skip
        if len(seen) < MIN_VISITS:
            continue
        name = f"{each.identity.probe}, {each.identity.relation}, {each.identity.variant['model']}"
        logs = np.log([observation.value for observation in seen])
        if len(modes.find(seen).modes) > 1:
            _replay_modes(name, logs, runs)
        _replay_noise(name, logs, runs)


def _replay_modes(name: str, logs: Series, runs: int) -> None:
    """The recorded visits as they are, again and again: vCPUs that move."""
    rng = np.random.default_rng(3)
    found = [detect(visits(hours(rng, logs, 60 * VISITS_A_DAY))) for _ in range(runs // 10)]
    events = sum(len(each.events) for each in found)
    stable = sum(each.state == "stable" for each in found)
    print(f"{name}, as recorded: {events} events in {len(found)} times 60 days; {stable} stable at the end")


def hours(rng: np.random.Generator, logs: Series, count: int) -> Series:
    """Hours as the daemon sees them: each the median of the visits that are due in it."""
    return np.median(rng.choice(logs, (count, VISITS_AN_HOUR)), axis=1)


def _replay_noise(name: str, logs: Series, runs: int) -> None:
    calm = logs[np.abs(logs - statistics.median(logs)) < math.log(1.2)]
    if len(calm) < MIN_VISITS:
        return
    calm = calm - calm.mean()
    rng = np.random.default_rng(4)
    at = 14 * VISITS_A_DAY
    found = dict.fromkeys(SIZES, 0)
    quiet = noisy = 0
    for _ in range(runs):
        values = hours(rng, calm, at + VISITS_A_DAY)
        before = Detector()
        quiet += sum(before.add(visit) is not None for visit in visits(values[:at]))
        if before.state != "stable":
            noisy += 1
            continue
        for size in SIZES:
            after = visits(values[at:] + np.log1p(size), at)
            found[size] += found_within(Detector(before.memory()), after) <= WITHIN[0]
    shares = ", ".join(f"{size:+.0%} {count / max(1, runs - noisy):.0%}" for size, count in found.items())
    print(f"{name}: {len(calm)} visits that differ by {calm.std():.1%}; noisy in {noisy} of {runs} runs; in "
          f"the others within 3 visits {shares}; {quiet} events in {runs} times 14 quiet days")  # fmt: skip


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("mode", choices=("false", "gate", "steps", "traps", "replay"))
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--host-days", type=int, default=30_000)
    parser.add_argument("--groups", type=int)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--noise", nargs="+")
    parser.add_argument("--learnt", nargs="+", type=int, default=[14, 28])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--daily", action="store_true")
    args = parser.parse_args()
    rate = DAILY if args.daily else HOURLY
    if args.mode == "false":
        kinds = args.noise or ["0.04:0.5", "0.04:0.0"]
        false(args.host_days, args.groups or 10, args.part, kinds, rate, args.seed)
    elif args.mode == "gate":
        gate(args.runs, rate, args.seed)
    elif args.mode == "steps":
        kinds = args.noise or ["0.01:0.5", "0.02:0.5", "0.03:0.5", "0.04:0.0", "0.04:0.25", "0.04:0.5"]
        steps(args.runs, args.groups or GROUPS_MIN, args.learnt, kinds, rate, args.seed)
    elif args.mode == "traps":
        traps()
    else:
        for path in args.files:
            replay(path, args.runs)


if __name__ == "__main__":
    main()
