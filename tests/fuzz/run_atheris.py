"""Fuzz one target of targets.py with atheris (libFuzzer with Python's branches as its guide).

run_atheris.py TARGET [libFuzzer's arguments: -max_total_time=600 -seed=1 CORPUS…]
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS.parent / "daemon"), str(_TESTS.parent / "probes"), str(_TESTS)]
# An editable install's finder goes first and hands modules to a loader that can't be instrumented.
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__.lower()]

# What is guided by: our own code and YAML's, not the rest of Python.
with atheris.instrument_imports(include=["toposcope", "toposcope_probes", "yaml"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """See the module's docstring."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
