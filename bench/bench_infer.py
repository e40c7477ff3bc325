"""How often `infer` is right, how well it knows that, how long it takes.

    bench_infer.py errors [--machines 2000] [--first 0] [--large | --kinds | --descendants DIR]
                                                           error rate and calibration on generated machines:
                                                           of any steps; large ones; of the kinds that are
                                                           built; parts of published ones with other steps
    bench_infer.py perturb DIR [--part 0/1]                each constant 20 % smaller and larger: published
                                                           machines, also stressed, and generated ones
    bench_infer.py fit DIR [--machines 2500]               the coefficients of `certainty`: generated machines
                                                           that `errors` never sees, and the published ones
    bench_infer.py splits DIR [--splits 10]                published machines: fit on a half, score the other
    bench_infer.py speed                                   wall time and peak memory of the command, by CPUs

DIR is the folder with expected.json and score_infer.py. Everything but `speed` is deterministic.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "daemon"), str(ROOT / "probes")]

from generators.descendants import Published, descendant  # noqa: E402
from generators.judge import faults  # noqa: E402
from generators.measured import Groups, Noise, Sample, kind_sample, measure, sample  # noqa: E402
from generators.shapes import nested  # noqa: E402
from toposcope.matrix import Matrix, format_csv, read_matrix  # noqa: E402
from toposcope.topology.infer import certainty, cuts, infer, outliers, quality  # noqa: E402
from toposcope.topology.infer.cuts import candidate_cuts  # noqa: E402
from toposcope.topology.infer.linkage import join_order  # noqa: E402
from toposcope.topology.infer.outliers import without_outliers  # noqa: E402

FIRST_FIT_SEED = 100_000  # `fit` never sees the machines that `errors` counts
SPLIT_MACHINES = 1000
FIRST_PERTURB_SEED = 400_000
PUBLISHED_WEIGHT = 3  # they are few, and real
Features = list[tuple[float, float, float, bool]]
Want = dict[str, dict[str, list[list[int]]]]
Copy = tuple[Matrix, Want]


# All that was chosen by hand or fitted; LEAST_LATENCY_NS is physics, FLAT_RATIO the published rule.
CONSTANTS: tuple[tuple[ModuleType, str], ...] = (
    (certainty, "OFFSET"), (certainty, "PER_SEPARATION"), (certainty, "PER_STEP"),
    (certainty, "OUTLIER_SHARE"), (certainty, "FEW_PAIRS"), (certainty, "NARROWEST_BAND"),
    (certainty, "LEAST_CERTAINTY"), (cuts, "MIN_STEP_RATIO"), (cuts, "MAX_CANDIDATES"),
    (cuts, "MIN_MOVED_SHARE"), (cuts, "LATE_GROWTH"), (cuts, "DOMINANCE"), (cuts, "HOME_SHARE"),
    (cuts, "THREADS_STEP_RATIO"),
    (outliers, "MIN_EXCESS_RATIO"), (outliers, "MAX_SHARE"), (quality, "MIN_KNOWN_SHARE_OF_CPU"),
    (quality, "MIN_KNOWN_SHARE"), (quality, "ON_GRID_SHARE"), (quality, "ON_GRID_TOLERANCE"),
)  # fmt: skip
PERTURB_MACHINES = 25


def perturb(folder: Path, part: str) -> None:
    """How much slack the constants have; of ratios what is above 1 is moved, of shares near 1 what lacks."""
    scorer, copies = _published(folder)
    published = [(f"{name}:{index}", copy) for name, each in copies.items()
                 for index, copy in enumerate(each[:2])]  # fmt: skip
    generated = [make(seed) for make in (sample, kind_sample)
                 for seed in range(FIRST_PERTURB_SEED, FIRST_PERTURB_SEED + PERTURB_MACHINES)]  # fmt: skip

    def score(name: str) -> None:
        missed = [copy_name for copy_name, copy in published if not _is_exact(scorer, *copy)]
        wrong = sum(bool(faults(infer(machine.matrix), machine)) for machine in generated)
        print(f"| {name} | {len(missed)} of {len(published)} {' '.join(missed)} | "
              f"{wrong} of {len(generated)} |", flush=True)  # fmt: skip

    number, parts = map(int, part.split("/"))
    if number == 0:
        score("as they are")
    for module, name in CONSTANTS[number::parts]:
        before = getattr(module, name)
        for factor in (0.8, 1.2):
            setattr(module, name, _scaled(before, factor))
            score(f"{name} {factor:.1f}")
        setattr(module, name, before)


def _scaled(value: float | tuple[float, ...], factor: float) -> float | tuple[float, ...]:
    if isinstance(value, tuple):
        return tuple(min(1.0, each * factor) for each in value)
    if isinstance(value, int):
        return round(value * factor)
    if 0.8 < value < 1:
        return 1 - (1 - value) * factor
    return 1 + (value - 1) * factor if 1 < value < 2 else value * factor


def _parents(folder: Path) -> list[Published]:
    """The published machines that make sense."""
    expected = json.loads((folder / "expected.json").read_text())
    return [
        Published(name, read_matrix(folder / f"{name}.csv"), {**want["required"], **want["optional"]})
        for name, want in expected.items()
        if "unusable" not in want["acceptable_verdicts"]
    ]


def _drawn(seeds: Iterable[int], args: argparse.Namespace) -> Iterable[Sample]:
    if args.descendants is not None:
        parents = _parents(args.descendants)
        return (descendant(parents[seed % len(parents)], seed) for seed in seeds)
    if args.kinds:
        return map(kind_sample, seeds)
    return (sample(seed, large=args.large) for seed in seeds)


def errors(machines: Iterable[Sample]) -> None:
    wrong: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    bins: dict[int, list[bool]] = {}
    for machine in machines:
        inference = infer(machine.matrix)
        found = faults(inference, machine)
        for group in (machine.shape.family, _size(machine)):
            seen[group] += 1
            wrong[group] += bool(found)
        bins.setdefault(min(9, int(inference.confidence * 10)), []).append(not found)
        if found:
            print(f"{machine.name} ({len(machine.matrix.cpus)} CPUs): {'; '.join(found)}; said "
                  f"{inference.verdict} with {inference.confidence:.2f}")  # fmt: skip
    total = sum(map(len, bins.values()))
    failed = sum(right.count(False) for right in bins.values())
    print(f"wrong: {failed} of {total} ({failed / total:.2%})")
    for group in sorted(seen):
        print(f"  {group:20} {wrong[group]:4} of {seen[group]:4}")
    print("confidence given: share that was right")
    for low, right in sorted(bins.items()):
        print(f"  {low / 10:.1f}-{low / 10 + 0.1:.1f}: {sum(right) / len(right):.3f} of {len(right)}")


def _size(machine: Sample) -> str:
    cpus = len(machine.matrix.cpus)
    for low, high in ((2, 6), (7, 16), (17, 32), (33, 64), (65, 128), (129, 512)):
        if cpus <= high:
            return f"{low:4}-{high:4} CPUs"
    return " 513-1024 CPUs"


def features(matrix: Matrix, truths: Iterable[Groups]) -> Features:
    """(separation, step, surprise, is it a true level) of every cut that is judged, all of them in place."""
    known = set(truths)
    values = matrix.symmetric()
    if any(value is not None and value <= 0 for row in values for value in row):
        return []
    logs, _ = without_outliers([[None if v is None else math.log(v) for v in row] for row in values])
    cuts = candidate_cuts(join_order(logs), len(logs))
    rows = []
    clock = quality.Clock(quality.grain_ns(matrix), quality.tick_ns(values))
    for judged in certainty.judge(cuts, logs, clock):
        if judged.cut.covers_machine:
            groups: dict[int, set[int]] = {}
            for cpu, label in zip(matrix.cpus, judged.cut.labels, strict=True):
                groups.setdefault(label, set()).add(cpu)
            true = frozenset(map(frozenset, groups.values())) in known
            rows.append((judged.separation, judged.cut.step, judged.surprise, true))
    return rows


def fit_logistic(rows: Features) -> tuple[float, float, float]:
    """Maximum likelihood by Newton's method, with a weak prior against certainty (ridge 0.01)."""
    x = np.array([(1.0, min(separation, 4.0), min(step, 1.5)) for separation, step, _, _ in rows])
    against = np.array([surprise for _, _, surprise, _ in rows])
    y = np.array([true for *_, true in rows], dtype=float)
    weights = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(against - x @ weights))
        gradient = x.T @ (y - p) - 0.01 * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 0.01 * np.eye(3)
        weights += np.linalg.solve(hessian, gradient)
    return float(weights[0]), float(weights[1]), float(weights[2])


def _generated_features(machines: int) -> Features:
    rows: Features = []
    for seed in range(FIRST_FIT_SEED, FIRST_FIT_SEED + machines):
        machine = sample(seed)
        rows += features(machine.matrix, [*machine.required.values(), *machine.optional.values()])
    return rows


def fit(folder: Path, machines: int) -> None:
    scorer, copies = _published(folder)
    published = [row for name in copies for row in _published_features(scorer, copies[name])]
    rows = _generated_features(machines) + published * PUBLISHED_WEIGHT
    offset, per_separation, per_step = fit_logistic(rows)
    print(f"{len(rows)} cuts, {sum(true for *_, true in rows)} of them levels")
    print(f"OFFSET, PER_SEPARATION, PER_STEP = {offset:.1f}, {per_separation:.1f}, {per_step:.1f}")


def splits(folder: Path, number: int) -> None:
    """Coefficients from generated machines and half of the published ones; exactness on the other half."""
    scorer, copies = _published(folder)
    names = sorted(copies)
    generated = _generated_features(SPLIT_MACHINES)
    for split in range(number):
        shuffled = Random(split).sample(names, len(names))
        half = len(names) // 2
        rows = [row for name in shuffled[:half] for row in _published_features(scorer, copies[name])]
        weights = fit_logistic(generated + rows * 2 * PUBLISHED_WEIGHT)
        certainty.OFFSET, certainty.PER_SEPARATION, certainty.PER_STEP = weights
        right = sum(_is_exact(scorer, *copy) for name in shuffled[half:] for copy in copies[name])
        total = sum(len(copies[name]) for name in shuffled[half:])
        print(f"split {split}: {right} of {total} exact on the half not seen; "
              f"coefficients {', '.join(f'{c:.1f}' for c in weights)}")  # fmt: skip


def _published(folder: Path) -> tuple[ModuleType, dict[str, list[Copy]]]:
    """The scorer, and of each published machine the matrix as it is and five stressed copies."""
    scorer = _load(folder / "score_infer.py")
    expected = json.loads((folder / "expected.json").read_text())
    copies: dict[str, list[Copy]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, want in expected.items():
            if "unusable" in want["acceptable_verdicts"]:
                continue
            path = folder / f"{name}.csv"
            copies[name] = [(read_matrix(path), want)]
            for seed in range(1, 6):
                copy, renamed = scorer.spoil(path, want, seed, Path(scratch))
                copies[name].append((read_matrix(copy), renamed))
    return scorer, copies


def _published_features(scorer: ModuleType, copies: list[Copy]) -> Features:
    rows: Features = []
    for matrix, want in copies:
        truths = [*want["required"].values(), *want["optional"].values()]
        rows += features(matrix, [scorer.as_partition(groups) for groups in truths])
    return rows


def _is_exact(scorer: ModuleType, matrix: Matrix, want: Want) -> bool:
    inference = infer(matrix)
    levels = [{"name": level.name, "latency_ns_median": level.latency_ns_median,
               "groups": [list(group) for group in level.groups]} for level in inference.levels]  # fmt: skip
    answer = {"verdict": inference.verdict, "levels": levels, "reasons": list(inference.reasons)}
    found, extras = scorer.judge(answer, sorted(matrix.cpus), want, 0)
    return not found and not extras


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def speed() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for cpus in (4, 64, 128, 256, 512, 1024):
            path = Path(scratch) / f"{cpus}.csv"
            path.write_text(format_csv(_large(cpus).matrix))
            best = min(_run(path) for _ in range(3))
            peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"{cpus:5} CPUs: {best:.2f} s, peak memory of the largest child so far {peak_mib:.0f} MiB")


def _run(path: Path) -> float:
    command = [sys.executable, "-m", "toposcope", "infer", str(path), "--format", "json"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={"PYTHONPATH": ":".join(sys.path[:3])})
    return time.perf_counter() - start


def _large(cpus: int) -> Sample:
    """A nested machine of exactly so many CPUs, measured in full with 2 % noise."""
    noise = Noise(0.02, 0.01, False, 0.0, "full", 0.01, 0.02, 0)
    rng = Random(cpus)
    shape = nested(rng, cpus)
    while shape.cpu_count != cpus:
        shape = nested(rng, cpus)
    return measure(shape, noise, rng, name=f"{cpus}")


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    modes = parser.add_subparsers(dest="mode", required=True)
    for mode, option, default in (("errors", "--machines", 2000), ("fit", "--machines", 2500),
                                  ("splits", "--splits", 10)):  # fmt: skip
        modes.add_parser(mode).add_argument(option, type=int, default=default)
    modes.choices["errors"].add_argument("--first", type=int, default=0)
    which = modes.choices["errors"].add_mutually_exclusive_group()
    which.add_argument("--large", action="store_true", help="129 to 1,024 CPUs")
    which.add_argument("--kinds", action="store_true", help="of the kinds that are built")
    which.add_argument("--descendants", type=Path, metavar="DIR", help="of the published machines")
    modes.add_parser("perturb").add_argument("--part", default="0/1")
    for mode in ("fit", "splits", "perturb"):
        modes.choices[mode].add_argument("folder", type=Path)
    modes.add_parser("speed")
    args = parser.parse_args()
    if args.mode == "errors":
        errors(_drawn(range(args.first, args.first + args.machines), args))
    elif args.mode == "perturb":
        perturb(args.folder, args.part)
    elif args.mode == "fit":
        fit(args.folder, args.machines)
    elif args.mode == "splits":
        splits(args.folder, args.splits)
    else:
        speed()


if __name__ == "__main__":
    main()
