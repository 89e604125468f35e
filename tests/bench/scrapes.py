"""Prometheus beside a signer: it reads the metrics once a second, from the control listener."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import httpx

from bench.alongside import alongside
from signer.control.auth import DATABASE, TokenStore

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from bench.servers import Setup

#: More often than anybody scrapes: Prometheus' own default is 60 s.
_EVERY_S: Final = 1.0
_CONTROL: Final = 2


class Scraper:
    """Reads a signer's metrics.

    Args:
        setup: the signer; it runs.

    Attributes:
        took_ms: how long each scrape took.
    """

    def __init__(self, setup: Setup) -> None:
        self._url = f"http://127.0.0.1:{setup.port + _CONTROL}/metrics"
        with closing(TokenStore(setup.config.parent / "state" / DATABASE)) as store:
            token = store.create("prometheus", ["view"], None, datetime.now(UTC))
        self._headers = {"authorization": f"Bearer {token}"}
        self.took_ms: list[float] = []

    def scraping(self) -> AbstractContextManager[None]:
        """Scrape until the end of the block.

        Raises:
            httpx.HTTPError: a scrape failed.
        """
        return alongside(self._scrape)

    def _scrape(self, stop: threading.Event) -> None:
        with httpx.Client(headers=self._headers, trust_env=False) as http:
            while True:
                began = time.monotonic()
                http.get(self._url).raise_for_status()
                self.took_ms.append((time.monotonic() - began) * 1000)
                if stop.wait(_EVERY_S):
                    return
