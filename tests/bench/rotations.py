"""Production that moves again and again, on a chain of its own, while signatures are asked for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
from rig.chain import Chain
from rig.own_producer import OwnProducer
from rig.rotating_signer import RotatingSigner
from rig.tools import Tools
from rig.trial import Trial

from bench.alongside import alongside
from bench.client import Side

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_PRODUCER: Final = "ours"


class Rotating:
    """A signer with its chain and two nodes. Its producer is registered and not elected: a rotation takes seconds.

    Args:
        folder: short, because a unix socket's path is.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._chain = Chain(Tools.find(), folder / "chain")
        self._signer = RotatingSigner(Trial(folder / "trial"), _PRODUCER)
        self._next = "standby"
        self.done = 0

    @contextmanager
    def up(self) -> Iterator[None]:
        """Have all of it up until the end of the block."""
        with self._chain as chain:
            try:
                self._signer.quickstart([chain.boot.url])
                producer = OwnProducer(Tools.find(), chain, _PRODUCER)
                self._signer.allow(chain, chain.cleos)
                for node in ("primary", "standby"):
                    producer.join(node, self._signer.providers(node))
                producer.register(self._signer.keys("primary")[0])
                yield
            finally:
                self._signer.stop()

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return int(self._signer.description["pid"])

    def side(self) -> Side:
        """Return whom a client asks: R1, over TCP."""
        url = httpx.URL(self._signer.description["nodes"]["primary"]["url"])
        return Side("signer r1 tcp", "", url.port or 0, url.path, self._signer.keys("primary")[1])

    def moving(self) -> AbstractContextManager[None]:
        """Rotate, one promotion after the other, until the end of the block.

        Raises:
            AssertionError: a rotation did not end well.
        """
        return alongside(self._move)

    def _move(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._signer.rotate("--to-node", self._next, "--i-know")
            self._next = "primary" if self._next == "standby" else "standby"
            self.done += 1
