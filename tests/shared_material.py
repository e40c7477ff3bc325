"""Where the test material beside the project lies; tests that need it skip with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def shared_path(*parts: str) -> Path:
    """The path of shared test material; skips the calling test where it is absent."""
    path = _SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"test material {'/'.join(parts)} is not beside this checkout")
    return path
