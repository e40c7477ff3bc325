"""What psutil and py-cpuinfo say of this machine, as one JSON line; run as a program of its own.

py-cpuinfo takes a second and starts programs of its own, so the daemon never imports it: it runs this once
per start, as a child (`python -m toposcope.peer_facts`), and compares (topology/cross_check).
"""

from __future__ import annotations

import sys

import cpuinfo
import msgspec
import psutil


def main() -> None:
    """Print the facts; a peer that fails leaves its part empty, and says why on stderr."""
    facts = {
        "psutil": {
            "logical_count": psutil.cpu_count(),
            "physical_count": psutil.cpu_count(logical=False),
            "allowed": psutil.Process().cpu_affinity(),
        },
        "cpuinfo": {},
    }
    try:
        info = cpuinfo.get_cpu_info()
        facts["cpuinfo"] = {"count": info.get("count"), "brand_raw": info.get("brand_raw")}
    except Exception as error:  # noqa: BLE001 - a peer's mistake, whatever it is, is not ours
        sys.stderr.write(f"py-cpuinfo failed: {error}\n")
    sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")


if __name__ == "__main__":
    main()
