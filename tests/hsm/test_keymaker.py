"""A process of its own looks for a token, makes a key and destroys it; the PIN comes over its socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rig.hsm_home import Home


def _ask(home: Home, **request: str) -> dict[str, Any]:
    """Start the process on this home, send a request and return the answer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hsm.keymaker", "--fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env=home.environment,
            )
        ours.send(json.dumps({"uri": home.uri, **request}).encode())
        answer: dict[str, Any] = json.loads(ours.recv(65536))
        assert process.wait(30) == 0
    return answer


def test_a_key_is_made_and_destroyed(home: Home) -> None:
    """As `signer-hsm` would: the key is fit, and gone afterwards."""
    pin = home.pin_file.read_text().strip()
    assert _ask(home) == {"ok": True}

    made = _ask(home, pin=pin, label="account-1", curve="secp256k1")
    assert made["ok"]
    listed = json.loads(home.on_token("list", "--json").stdout)
    assert [(key["label"], key["id"]) for key in listed] == [("account-1", made["id"])]

    other = _ask(home, pin=pin, label="account-1", id=made["id"], point="02" + "11" * 32)
    assert not other["ok"]
    assert "not the expected key" in other["message"]
    gone = _ask(home, pin=pin, label="account-1", id=made["id"], point=made["point"])
    assert gone == made
    assert json.loads(home.on_token("list", "--json").stdout) == []


def test_what_fails_says_why_and_not_the_pin(home: Home) -> None:
    refused = _ask(home, pin="0000-wrong", label="x", curve="secp256k1")
    absent = _ask(home, uri=home.uri.replace("primary", "nobody"))

    assert not refused["ok"]
    assert "CKR_PIN_INCORRECT" in refused["message"]
    assert "0000-wrong" not in refused["message"]
    assert not absent["ok"]
    assert "no token matches" in absent["message"]
