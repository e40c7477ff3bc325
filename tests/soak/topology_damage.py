"""Discovery over many damaged trees: each must yield a machine or one clear error, in bounded time.

    topology_damage.py [--trees 20000] [--first-seed 0] [--limit-s 2.0]

Every machine of tests/machines is damaged over and over (tests/machines/damage.py). Of each result the
invariants are checked (tests/machines/invariants.py), and that JSON, text and picture can be made of it. Prints
a line of figures; exit status 1 with the seed of the first tree that failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "daemon"), str(TESTS)]

from machines.damage import damage  # noqa: E402
from machines.invariants import check_everything  # noqa: E402
from toposcope.errors import TopologyError  # noqa: E402


def machine_folders() -> list[Path]:
    """The roots of all machines of our own making."""
    return sorted(path.parent / "root" for path in (TESTS / "machines").glob("*/expected.json"))


def run(trees: int, first_seed: int, limit_s: float, scratch: Path) -> tuple[Counter[str], float]:
    """Outcomes, and the longest CPU time that one tree took (a hang that waits would show as no end). Raises AssertionError naming the seed."""
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    folders = machine_folders()
    for seed in range(first_seed, first_seed + trees):
        root = scratch / "root"
        shutil.copytree(folders[seed % len(folders)], root, symlinks=True)
        damage(root, seed)
        begin_s = time.process_time()
        try:
            machine = check_everything(root)
            outcomes["a machine with doubts" if machine.doubts else "a machine"] += 1
        except TopologyError:
            outcomes["a clear error"] += 1
        except Exception as error:
            raise AssertionError(
                f"seed {seed} ({folders[seed % len(folders)].parent.name}): {error!r}"
            ) from error
        slowest_s = max(slowest_s, time.process_time() - begin_s)
        assert slowest_s < limit_s, f"seed {seed} took {slowest_s:.1f} s"
        shutil.rmtree(root)
    return outcomes, slowest_s


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trees", type=int, default=20_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="topology_damage.") as scratch:
        outcomes, slowest_s = run(options.trees, options.first_seed, options.limit_s, Path(scratch))
    parts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{options.trees} trees: {parts}; slowest {slowest_s * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
