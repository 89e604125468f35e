"""Dashboards that somebody has open: each a stream of the control process, read by curl as a browser reads it."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import httpx
from rig.condition import until

from signer.control.auth import DATABASE, TokenStore
from signer.control.events import MAX_STREAMS_OF_ONE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.servers import Setup

#: As many as the figure asks for.
DASHBOARDS: Final = 10
_CONTROL: Final = 2


class Readers:
    """People with a token each, who may open dashboards of one signer.

    Args:
        setup: the signer; it runs.
        folder: for what the streams send.
    """

    def __init__(self, setup: Setup, folder: Path) -> None:
        self._url = f"http://127.0.0.1:{setup.port + _CONTROL}"
        self._folder = folder
        folder.mkdir()
        people = -(-DASHBOARDS // MAX_STREAMS_OF_ONE)
        with closing(TokenStore(setup.config.parent / "state" / DATABASE)) as store:
            tokens = [
                store.create(f"reader{number}", ["view"], None, datetime.now(UTC)) for number in range(people)
            ]
        self._cookies = [self._log_in(token) for token in tokens]

    def _log_in(self, token: str) -> str:
        with httpx.Client(base_url=self._url, trust_env=False) as http:
            page = http.get("/login").text
            found = re.search(r'name="csrf" value="([^"]+)"', page)
            assert found is not None, page
            fields = {"csrf": found[1], "token": token, "next": "/dashboard"}
            answer = http.post("/login", data=fields, headers={"origin": self._url})
            assert answer.status_code == httpx.codes.SEE_OTHER, answer.text
            return "; ".join(f"{name}={value}" for name, value in http.cookies.items())

    @contextmanager
    def open(self) -> Iterator[None]:
        """Have all dashboards open until the end of the block; each was sent every part of the page by then."""
        files = [self._folder / str(number) for number in range(DASHBOARDS)]
        readers = [
            subprocess.Popen(
                [
                    *(
                        "setpriv",
                        "--pdeathsig",
                        "KILL",
                        "--",
                        "curl",
                        "--silent",
                        "--no-buffer",
                        "--output",
                        path,
                    ),
                    *(
                        "--cookie",
                        self._cookies[number % len(self._cookies)],
                        f"{self._url}/dashboard/events",
                    ),
                ]
            )
            for number, path in enumerate(files)
        ]
        try:
            until(
                lambda: all(path.exists() and b"event: frozen" in path.read_bytes() for path in files),
                f"{DASHBOARDS} dashboards are open",
            )
            yield
            assert all(reader.poll() is None for reader in readers), "a dashboard was closed"
        finally:
            for reader in readers:
                reader.kill()
                reader.wait()
            for path in files:
                path.unlink(missing_ok=True)
