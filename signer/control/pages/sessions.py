"""Who is logged in with a browser. In memory: the sessions of a control process end with it.

A session stands for a token and holds no copy of it, only its fingerprint: whoever uses a session is looked up in the
store of tokens again, so that a revoked token ends its sessions with the next request. Pure: the caller brings a
monotonic clock, in s.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: A browser that nobody used for this long is logged out, in s. What a page shows by itself is no use.
IDLE_S: Final = 3600.0
#: And each after this time: a shift, in s.
LONGEST_S: Final = 12 * 3600.0
#: Beyond them the one longest unused is ended.
MAX_SESSIONS: Final = 256
#: Nobody guesses 256 bits.
_ID_BYTES: Final = 32


@dataclass(slots=True)
class Session:
    """One browser of one person.

    Attributes:
        fingerprint: of the token it stands for (signer.control.auth.fingerprint).
        began_s: when somebody logged in.
        used_s: when somebody last asked for something.
        csrf: what each form of it carries.
    """

    fingerprint: bytes
    began_s: float
    used_s: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(_ID_BYTES), repr=False)


class Sessions:
    """All of them.

    Args:
        clock: s of a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By the hash of its id: how long a look-up takes says nothing about an id.
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, fingerprint: bytes) -> str:
        """Begin a session and return its id, which only the browser keeps."""
        session_id, now_s = secrets.token_urlsafe(_ID_BYTES), self._clock()
        self._open[_hash(session_id)] = Session(fingerprint, now_s, now_s)
        while len(self._open) > MAX_SESSIONS:
            self._open.popitem(last=False)
        return session_id

    def use(self, session_id: str) -> Session | None:
        """Return a session that somebody uses now, None if it is over or never was."""
        key = _hash(session_id)
        session = self._open.get(key)
        if session is None:
            return None
        if not self.alive(session):
            del self._open[key]
            return None
        session.used_s = self._clock()
        self._open.move_to_end(key)
        return session

    def alive(self, session: Session) -> bool:
        """Tell whether a session may still be used, which is not to use it."""
        now_s = self._clock()
        fresh = now_s - session.used_s < IDLE_S and now_s - session.began_s < LONGEST_S
        return fresh and any(each is session for each in self._open.values())

    def end(self, session_id: str) -> None:
        """End a session; one that is over stays so."""
        self._open.pop(_hash(session_id), None)


def _hash(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape")).digest()
