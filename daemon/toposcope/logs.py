"""Log lines on stderr: readable text (with journald's priorities where it listens), or JSON."""

from __future__ import annotations

import logging
import os
import sys
import traceback

import msgspec

from toposcope.config import Log

# sd-daemon(3): "<N>" in front of a line is its syslog priority.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Text(logging.Formatter):
    def __init__(self, for_journal: bool) -> None:
        super().__init__("%(message)s" if for_journal else "%(asctime)s %(levelname)s %(message)s")
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._for_journal:
            return text
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.splitlines())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time_s": record.created, "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return msgspec.json.encode(line).decode()


def set_up(settings: Log) -> None:
    """Send all log records of the process to stderr in the configured form; may be called again."""
    handler = logging.StreamHandler(sys.stderr)
    journal = bool(os.environ.get("JOURNAL_STREAM"))
    handler.setFormatter(_Json() if settings.format == "json" else _Text(journal))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    # uvicorn warns of each request that is none: a line for whoever sends garbage, as fast as they send it.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
