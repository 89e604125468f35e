"""The frames between a signing process and a lane, one per SOCK_SEQPACKET packet.

Fixed sizes and no text on the way of a signature: packing and unpacking take under a microsecond.
The only variable part is the reason at the end of a failed reply.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

#: op, canonical, key index, request id, deadline (CLOCK_MONOTONIC, ns), digest.
_REQUEST = struct.Struct("<BBHIQ32s")
#: outcome, key index, request id, tries, nanoseconds inside the module, r || s.
_REPLY = struct.Struct("<BxHIIQ64s")

#: The longest frame either side sends, in bytes: a reply with its reason.
MAX_FRAME = 4096
_MAX_REASON = MAX_FRAME - _REPLY.size


class Op(enum.IntEnum):
    """What a lane is asked to do."""

    SIGN = 1
    CANCEL = 2


class Outcome(enum.IntEnum):
    """How a request ended in the lane."""

    SIGNED = 1
    #: The deadline passed before an acceptable signature was found.
    LATE = 2
    #: Another lane was first.
    CANCELLED = 3
    #: The key cannot sign here; the session still works for others.
    KEY_FAILED = 4
    #: The session is gone. The lane ends after this reply and a new process takes its place.
    SESSION_LOST = 5
    #: This operation failed, also when tried again; the next one may not.
    OPERATION_FAILED = 6


class Request(NamedTuple):
    """A request to a lane. `digest` is bytes, 32; `deadline_ns` is CLOCK_MONOTONIC in ns."""

    op: int
    canonical: bool
    key_index: int
    request_id: int
    deadline_ns: int
    digest: bytes


class Reply(NamedTuple):
    """A lane's reply. `rs` is r || s, bytes, 64, with low s; `module_ns` counts C_SignInit and C_Sign only."""

    outcome: int
    key_index: int
    request_id: int
    tries: int
    module_ns: int
    rs: bytes
    reason: str


def pack_sign(key_index: int, request_id: int, deadline_ns: int, digest: bytes, *, canonical: bool) -> bytes:
    """Return the frame that asks for a signature of `digest` (bytes, 32)."""
    return _REQUEST.pack(Op.SIGN, canonical, key_index, request_id, deadline_ns, digest)


def pack_cancel(request_id: int) -> bytes:
    """Return the frame that ends the search for request `request_id`."""
    return _REQUEST.pack(Op.CANCEL, False, 0, request_id, 0, b"")


def unpack_request(frame: bytes) -> Request:
    """Return the request in `frame`.

    Raises:
        struct.error: the frame has another size. Only our own processes write here, so it is a bug.
    """
    op, canonical, key_index, request_id, deadline_ns, digest = _REQUEST.unpack(frame)
    return Request(op, bool(canonical), key_index, request_id, deadline_ns, digest)


def pack_reply(
    outcome: Outcome,
    key_index: int,
    request_id: int,
    *,
    tries: int = 0,
    module_ns: int = 0,
    rs: bytes = b"",
    reason: str = "",
) -> bytes:
    """Return the frame that answers request `request_id`."""
    head = _REPLY.pack(outcome, key_index, request_id, tries, module_ns, rs)
    return head + reason.encode("utf-8", "replace")[:_MAX_REASON]


def unpack_reply(frame: bytes) -> Reply:
    """Return the reply in `frame`.

    Raises:
        struct.error: the frame is shorter than a reply.
    """
    outcome, key_index, request_id, tries, module_ns, rs = _REPLY.unpack_from(frame)
    reason = frame[_REPLY.size :].decode("utf-8", "replace")
    return Reply(outcome, key_index, request_id, tries, module_ns, rs, reason)
