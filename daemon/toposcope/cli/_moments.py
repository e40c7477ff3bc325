"""Moments as people write them: `2026-11-20`, `2026-11-20T14:30+01:00`, `now`, `7d` or `36h` ago."""

from __future__ import annotations

import datetime
import re
from typing import Final

_AGE: Final = re.compile(r"-?(\d{1,5}(?:\.\d{1,3})?)([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_moment(text: str, now_s: float) -> float | None:
    """Seconds since the epoch, or None where the text is no moment.

    A date or time without an offset is local; a date alone means its first second.
    """
    text = text.strip()
    if text == "now":
        return now_s
    if age := _AGE.fullmatch(text):
        return now_s - float(age[1]) * _SECONDS[age[2]]
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
