"""Structured logs: one JSON object per line on standard error, with constant field names.

A message is a constant; what varies is in the fields below. Secrets have no field. Logging never blocks: a thread
writes, and when nobody reads standard error, lines are dropped and counted.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import queue
import signal
import threading
from datetime import UTC, datetime

_STDERR = 2
#: Every field that a record may carry besides at, level, process and event.
FIELDS = (
    "address",
    "api",
    "block",
    "caller",
    "chain",
    "change",
    "config",
    "count",
    "generation",
    "key",
    "lane",
    "listener",
    "node",
    "pid",
    "reason",
    "remedy",
    "rotation",
    "rule",
    "status",
    "token",
    "version",
)


#: Lines that wait for the thread. A line has some hundred bytes.
_MAX_WAITING = 10_000
#: At the end of the process the thread has this long, in s.
_END_S = 1.0


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


class _Background(logging.Handler):
    """Writes to standard error in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str | threading.Event | None] = queue.Queue(_MAX_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if self._dropped:
            line += f"\n{self.format(_dropped(record, self._dropped))}"
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1
        else:
            self._dropped = 0

    def _write(self) -> None:
        # Signals are the main thread's: where it holds one back, it must not be delivered here.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (line := self._lines.get()) is not None:
            if isinstance(line, threading.Event):
                line.set()
                continue
            data = f"{line}\n".encode()
            try:
                # Not through sys.stderr: who waits there holds its buffer, and the interpreter's end waits for that.
                while data:
                    data = data[os.write(_STDERR, data) :]
            except OSError:
                continue  # closed or full: there is no place left to say so

    def drain(self) -> None:
        """Wait until what was logged is written, unless nobody reads."""
        written = threading.Event()
        with contextlib.suppress(queue.Full):
            self._lines.put(written, timeout=_END_S)
            written.wait(_END_S)

    def _end(self) -> None:
        """Write what waits, unless nobody reads."""
        try:
            self._lines.put(None, timeout=_END_S)
        except queue.Full:
            return
        self._thread.join(_END_S)


def _dropped(record: logging.LogRecord, count: int) -> logging.LogRecord:
    line = logging.makeLogRecord({"name": record.name, "levelno": logging.ERROR, "levelname": "ERROR"})
    line.msg = "log lines dropped: nobody read standard error"
    line.__dict__["count"] = count
    return line


def drain() -> None:
    """Wait until what was logged is written, for a process that goes on as another program."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Background):
            handler.drain()


def configure(process: str) -> None:
    """Send all logs of this process to standard error as JSON lines.

    Args:
        process: `supervisor`, `signing` or `control`.
    """
    handler = _Background()
    handler.setFormatter(_JsonLines(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("uvicorn.access", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of every malformed request, without whose: signer.signing.connection does that, and not without end.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
