"""A process that looks for a token, or makes or destroys one key in it, and ends: vendor modules stay out of others.

Run as `python -m hsm.keymaker --fd N`, N a SOCK_SEQPACKET socket. First packet in: JSON with the token's URI, its PIN
and what to do. First packet out: JSON, what became of it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
from typing import TYPE_CHECKING, Any

from hsm import beginning, realtime
from hsm.errors import HsmError
from hsm.hardening import die_with_parent, harden, lock_memory, orphaned
from hsm.keys import destroy_key, generate_key
from hsm.module import Module
from hsm.pin import Pin
from hsm.uri import parse_uri

if TYPE_CHECKING:
    from pkcs11.types import Session

#: A PIN, a URI and a label.
_MAX_REQUEST = 16_384


def perform(request: dict[str, Any]) -> dict[str, Any]:
    """Log in, do what is asked for, log out. Returns the key's public point and CKA_ID, in hex.

    Args:
        request: `uri`, to see that the token is there; with `pin` and `label`, `curve` to generate, or `id` and
            `point` (hex, compressed) to destroy.

    Raises:
        HsmError: nothing was done, or the message says what was.
    """
    uri = parse_uri(request["uri"])
    module = Module(uri.module_path)
    try:
        if "pin" not in request:
            module.find_token(uri)
            return {}
        with module.session(uri, Pin(request["pin"]), write=True) as session:
            return _change(session, request)
    finally:
        module.finalize()


def _change(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    if "curve" in request:
        record = generate_key(session, request["label"], request["curve"])
    else:
        key_id = bytes.fromhex(request["id"]) if request["id"] else None
        point = bytes.fromhex(request["point"])
        record = destroy_key(session, request["label"], key_id, expected_point=point)
    return {"point": record.point.compressed.hex() if record.point else "", "id": record.id.hex()}


def main() -> int:
    """Serve the one request on the socket given by `--fd`."""
    parser = argparse.ArgumentParser(prog="hsm.keymaker")
    parser.add_argument("--fd", type=int, required=True)
    options = parser.parse_args()
    harden()
    realtime.give_up()
    lock_memory()
    die_with_parent()
    sock = socket.socket(fileno=options.fd)
    packet = sock.recv(_MAX_REQUEST)
    if not packet or orphaned(sock):  # a key that nobody waits for would be known to nobody
        return 0
    request = json.loads(packet)
    del packet
    beginning.done(beginning.OPENING_S)
    try:
        answer = {"ok": True, **perform(request)}
    except HsmError as error:
        answer = {"ok": False, "message": str(error)}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # whoever is gone needs no answer
        sock.send(json.dumps(answer).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
