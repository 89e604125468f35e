"""A lane: one process, one PKCS#11 module, one logged-in session. It signs until its socket closes.

Vendor modules crash, hang and leak; in a process of its own a module takes nothing down with it, and a new process is
the last rung of every recovery. Run as `python -m hsm.lane --fd N`, N a SOCK_SEQPACKET socket. First packet in: JSON
with the token's URI, its PIN and the keys to open. First packet out: JSON, what was found. Then frames (hsm.frame).

The rungs when the module fails a signature: look the key up again and try once more (a handle dies when an object is
written again or the store was away); then say so. When no key is found any more, or the session fails three times in a
row, the lane ends and its owner starts another, with a new C_Initialize and a new login.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pkcs11 import Mechanism
from pkcs11.exceptions import PKCS11Error

from hsm import beginning, realtime
from hsm.curves import is_canonical, low_s
from hsm.errors import DeviceError, HsmError, KeyAbsentError, PinRefusedError, PinWithheldError
from hsm.fitness import audit_key
from hsm.frame import MAX_FRAME, Op, Outcome, pack_reply, unpack_request
from hsm.hardening import die_with_parent, harden, lock_memory, orphaned
from hsm.keys import describe, find_private
from hsm.module import Module
from hsm.pin import Pin
from hsm.translation import code_of
from hsm.uri import parse_uri

if TYPE_CHECKING:
    from pkcs11.types import Session

    from hsm.frame import Request
    from hsm.keys import SigningKey

#: Failures in a row after which the session is given up.
_GIVE_UP = 3
#: Longest first packet: a PIN and a few hundred keys.
_MAX_OPEN = 200_000
_SIGNATURE_BYTES = 64


@dataclass(slots=True)
class _Key:
    label: str
    id: bytes | None
    curve: str
    point: bytes
    handle: SigningKey | None = None


class Lane:
    """A logged-in session and its keys, behind a socket.

    Attributes:
        turn: whether this is a real-time process now; None if it never is.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.turn: realtime.Turn | None = None
        self._session: Session | None = None
        self._module: Module | None = None  # kept alive with its session
        self._keys: list[_Key] = []
        self._failures = 0

    # -- open ----------------------------------------------------------------------------------------

    def open(self, request: dict[str, Any]) -> dict[str, list[str]]:
        """Load the module, log in, look at every key. Returns what is wrong, by key index; nothing where all is well.

        Raises:
            HsmError: the token could not be opened.
        """
        uri = parse_uri(request["uri"])
        self._module = Module(uri.module_path or "")
        token = self._module.find_token(uri)
        self._session = self._module.open_session(token, Pin(request["pin"]))
        findings: dict[str, list[str]] = {}
        for index, asked in enumerate(request["keys"]):
            key_id = bytes.fromhex(asked["id"]) if asked["id"] else None
            key = _Key(asked["label"], key_id, asked["curve"], bytes.fromhex(asked["point"]))
            self._keys.append(key)
            found = audit_key(
                self._session, key.label, key.id, expected_curve=key.curve, expected_point=key.point
            )
            if found:
                findings[str(index)] = found
            else:
                key.handle = find_private(self._session, key.label, key.id)
        return findings

    # -- sign ----------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer requests until the socket closes or the session is lost."""
        # The owner may end while the token works, or with a reply that it has not read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while frame := self._sock.recv(MAX_FRAME):
                request = unpack_request(frame)
                if request.op != Op.SIGN:
                    continue  # a cancel that came after our answer
                reply, alive = self._sign(request)
                self._sock.send(reply)
                if not alive:
                    return
                if self.turn is not None:
                    self.turn.look()

    def _sign(self, request: Request) -> tuple[bytes, bool]:
        """Return the reply, and whether this lane can go on."""
        key = self._keys[request.key_index]
        tries = 0
        module_ns = 0
        while True:
            began_ns = time.monotonic_ns()
            if (
                began_ns >= request.deadline_ns
            ):  # to the last: giving up earlier saves nothing that anyone wants
                return _reply(Outcome.LATE, request, tries, module_ns), True
            try:
                rs = self._operate(key, request.digest)
            except HsmError as error:
                return self._failed(request, tries, module_ns, error)
            tries += 1
            module_ns += time.monotonic_ns() - began_ns
            rs = low_s(key.curve, rs)
            if not request.canonical or is_canonical(rs):
                return _reply(Outcome.SIGNED, request, tries, module_ns, rs), True
            if self._cancelled(request.request_id):
                return _reply(Outcome.CANCELLED, request, tries, module_ns), True

    def _operate(self, key: _Key, digest: bytes) -> bytes:
        """Return r || s, bytes, 64: one C_SignInit and one C_Sign, and one more pair after a failure.

        Raises:
            KeyAbsentError: the key is gone.
            DeviceError: the module failed twice.
        """
        if key.handle is not None:
            try:
                rs = key.handle.sign(digest, mechanism=Mechanism.ECDSA)
            except PKCS11Error:
                pass
            else:
                if len(rs) == _SIGNATURE_BYTES:
                    self._failures = 0
                    return rs
        assert self._session is not None  # noqa: S101 - open() came first
        key.handle = find_private(self._session, key.label, key.id)
        try:
            rs = key.handle.sign(digest, mechanism=Mechanism.ECDSA)
        except PKCS11Error as error:
            raise DeviceError(f"sign with {describe(key.label, key.id)}", code_of(error)) from None
        if len(rs) != _SIGNATURE_BYTES:
            raise DeviceError(f"sign with {describe(key.label, key.id)}", f"{len(rs)} bytes instead of 64")
        self._failures = 0
        return rs

    def _failed(self, request: Request, tries: int, module_ns: int, error: HsmError) -> tuple[bytes, bool]:
        self._failures += 1
        if isinstance(error, KeyAbsentError) and self._others_there(request.key_index):
            outcome = Outcome.KEY_FAILED
        elif isinstance(error, KeyAbsentError) or self._failures >= _GIVE_UP:
            outcome = Outcome.SESSION_LOST
        else:
            outcome = Outcome.OPERATION_FAILED
        reply = pack_reply(
            outcome,
            request.key_index,
            request.request_id,
            tries=tries,
            module_ns=module_ns,
            reason=str(error),
        )
        return reply, outcome is not Outcome.SESSION_LOST

    def _others_there(self, index: int) -> bool:
        """Whether another key is still found, so that it is this key and not the whole token that is gone."""
        assert self._session is not None  # noqa: S101 - open() came first
        for key in self._keys[:index] + self._keys[index + 1 :]:
            try:
                find_private(self._session, key.label, key.id)
            except HsmError:
                continue
            return True
        return False

    def _cancelled(self, request_id: int) -> bool:
        try:
            frame = self._sock.recv(MAX_FRAME, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not frame:
            return True  # the socket closed: serve() sees it next
        request = unpack_request(frame)
        return request.op == Op.CANCEL and request.request_id == request_id


def _reply(outcome: Outcome, request: Request, tries: int, module_ns: int, rs: bytes = b"") -> bytes:
    return pack_reply(outcome, request.key_index, request.request_id, tries=tries, module_ns=module_ns, rs=rs)


def _kind(error: HsmError) -> str:
    if isinstance(error, PinWithheldError):
        return "pin-withheld"
    return "pin-refused" if isinstance(error, PinRefusedError) else "away"


def _again(error: HsmError) -> bool:
    return isinstance(error, PinRefusedError) and error.again


def _tell(sock: socket.socket, answer: dict[str, Any]) -> None:
    """Say what became of the opening; whoever is gone meanwhile needs no answer."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.send(json.dumps(answer).encode())


def main() -> int:
    """Run a lane on the socket given by `--fd`."""
    parser = argparse.ArgumentParser(prog="hsm.lane")
    parser.add_argument("--fd", type=int, required=True)
    options = parser.parse_args()
    harden()
    lock_memory()
    die_with_parent()
    sock = socket.socket(fileno=options.fd)
    packet = sock.recv(_MAX_OPEN)
    if not packet or orphaned(sock):  # a login that nobody waits for could cost a token's last try
        return 0
    request = json.loads(packet)
    del packet
    lane = Lane(sock)
    beginning.done(beginning.OPENING_S)
    try:
        findings = lane.open(request)
    except HsmError as error:
        answer = {"ok": False, "kind": _kind(error), "again": _again(error), "message": str(error)}
        _tell(sock, answer)
        return 0
    if request.get("realtime"):
        realtime.bound()
        lane.turn = realtime.Turn(realtime.LANE)
    else:
        realtime.give_up()
    del request
    _tell(sock, {"ok": True, "findings": findings})
    lane.serve()
    if lane.turn is not None:
        lane.turn.leave()
    return 0


if __name__ == "__main__":
    sys.exit(main())
