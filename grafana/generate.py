"""Writes grafana/dashboards/*.json: `python grafana/generate.py`. A test fails where they are not fresh."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from builder import daemon, fleet, host  # noqa: E402
from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402


def documents() -> dict[str, str]:
    """File name → JSON text of every dashboard."""
    encode = JSONEncoder(indent=2, sort_keys=True).encode
    made = {"host": host.dashboard(), "fleet": fleet.dashboard(), "daemon": daemon.dashboard()}
    return {f"{name}.json": encode(dashboard) + "\n" for name, dashboard in made.items()}


if __name__ == "__main__":
    for name, text in documents().items():
        (HERE / "dashboards" / name).write_text(text)
