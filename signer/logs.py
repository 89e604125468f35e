"""Structured logs: one JSON object per line on standard error, with constant field names.

A message is a constant; what varies is in the fields below. Secrets have no field.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

#: Every field that a record may carry besides at, level, process and event.
FIELDS = (
    "caller",
    "config",
    "generation",
    "key",
    "lane",
    "listener",
    "node",
    "pid",
    "reason",
    "remedy",
    "rule",
    "status",
    "token",
    "version",
)


class _JsonLines(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "event": record.getMessage(),
        }
        for name in FIELDS:
            if name in record.__dict__:
                line[name] = record.__dict__[name]
        if record.exc_info and record.exc_info[1] is not None:
            # Type and place only: an exception's text may quote what a caller sent.
            line["reason"] = _place(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"


def configure(process: str) -> None:
    """Send all logs of this process to standard error as JSON lines.

    Args:
        process: `supervisor`, `signing` or `control`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("uvicorn.error", "uvicorn.access", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
