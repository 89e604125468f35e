"""A connection that is kept in a storm outlives a reload and an upgrade, and signs there."""

from __future__ import annotations

import json
import secrets
import socket
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest
from rig.condition import until

if TYPE_CHECKING:
    from rig.site import Site

#: More than a listener may have within a tenth of a second, also on a slow machine.
_STORM = 2000
_TARGET = "/v1/wallet/sign_digest"


def _ask(client: HTTPConnection, key: str) -> bool:
    """Have a digest signed; return whether the connection stays."""
    client.request(
        "POST", _TARGET, json.dumps([secrets.token_hex(32), key]), {"Content-Type": "application/json"}
    )
    answer = client.getresponse()
    assert answer.status == 201, answer.read()
    assert answer.read()
    return not answer.will_close


def _kept(site: Site) -> HTTPConnection:
    """Return a connection to the primary's TCP listener that a storm of others has it keep."""
    port, key = site.ports["primary"], site.key("r1-1")
    client = HTTPConnection("127.0.0.1", port, timeout=30.0)

    def keep() -> bool:
        for _ in range(_STORM):
            socket.create_connection(("127.0.0.1", port)).close()
        return _ask(client, key)

    until(keep, "the storm is seen")
    return client


@pytest.mark.parametrize("how", ["reload", "upgrade"])
def test_a_kept_connection_signs_in_the_next_generation_too(site: Site, how: str) -> None:
    site.start()
    before = site.status()["signing_pid"]
    with closing(_kept(site)) as client:
        held = client.sock
        done = site.command(how)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        assert site.status()["signing_pid"] != before
        assert client.sock is held
        # There was a storm a moment ago; when that is a second ago, an answer is the last.
        until(lambda: not _ask(client, site.key("r1-1")), "the storm is over")
        assert site.status()["problems"] == []
    assert not site.events("a kept connection is lost")


def test_a_stop_ends_a_kept_connection(site: Site) -> None:
    site.start()
    with closing(_kept(site)) as client:
        assert client.sock is not None
        site.stop()
        assert client.sock.recv(1) == b""
