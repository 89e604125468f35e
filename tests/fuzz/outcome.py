"""What no answer and no log may hold, whatever was asked: a trace, a secret, a fault of the signer."""

from __future__ import annotations

import logging
from typing import Final

#: Stands wherever an input has a secret: a PIN, a private key, a token.
SECRET: Final = "hush-31415926-hush"  # noqa: S105 - what is looked for
_TRACES: Final = ('File "', "Traceback", "site-packages", "Error: ")


def check_answer(content: bytes, *, echo: bool = False) -> None:
    """Check the bytes of an answer; `echo`: the secret was sent where a name belongs, and its sender may read it."""
    text = content.decode("utf-8", "replace")
    assert not any(trace in text for trace in _TRACES), text
    assert echo or SECRET not in text, text
    assert "signer_internal_exception" not in text, text


class LogWatch(logging.Handler):
    """Fails over a trace or a secret in a log, at its next `check`."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._found = ""
        for name in ("", "signer", "signer.signing", "uvicorn", "uvicorn.error", "asyncio"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        root = logging.getLogger()
        root.addHandler(self)
        logging.getLogger("httptools").setLevel(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line with all of its fields."""
        if self._found:
            return
        text = repr(record.__dict__)
        if record.exc_info:
            self._found = logging.Formatter().format(record)
        elif SECRET in text or record.levelno >= logging.ERROR:
            self._found = text

    def check(self) -> None:
        """Fail if there was one."""
        assert not self._found, self._found
