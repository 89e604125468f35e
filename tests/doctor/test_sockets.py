"""Listening sockets: every verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from doctor.verdicts import verdicts
from rig import two_nodes

from signer.doctor import sockets
from signer.doctor.facts import FileFact, ListenerFact, Site

CONFIG = two_nodes.config()
SITE = Site(1000, "signer", production=False)
FILE = FileFact(Path("/srv/signer/run/a.sock"), "socket", 0o660, 1000, "signer", 0o750)
UNIX = ListenerFact("unix:/srv/signer/run/a.sock", listens=True, file=FILE)
TCP = ListenerFact("tcp:127.0.0.1:8902", listens=True, file=None)


@pytest.mark.parametrize(
    ("fact", "running", "verdict", "word"),
    [
        (UNIX, True, "ok", "mode 0660, of signer"),
        (replace(UNIX, listens=False), True, "failure", "nobody listens"),
        (replace(UNIX, listens=None), True, "unknown", "run this as root"),
        (replace(UNIX, file=replace(FILE, uid=0, owner="root")), True, "failure", "chown signer /srv"),
        (replace(UNIX, file=replace(FILE, mode=0o666)), True, "failure", "chmod 0660 /srv"),
        (replace(UNIX, file=replace(FILE, mode=0o600)), True, "warning", "chmod 0660 /srv"),
        (replace(UNIX, file=replace(FILE, folder_mode=0o777)), True, "failure", "chmod go-w /srv/signer/run"),
        (replace(UNIX, listens=False, file=FileFact(FILE.path, problem="gone")), False, "unknown", "start"),
        (replace(UNIX, listens=True), False, "failure", "something else than this signer"),
    ],
)
def test_a_unix_socket(fact: ListenerFact, running: bool, verdict: str, word: str) -> None:  # noqa: FBT001
    found = list(sockets.check(CONFIG, [fact], {}, SITE, running=running))

    assert verdicts(found) == {("socket", "a"): verdict}
    assert word in found[0].text + found[0].remedy


@pytest.mark.parametrize(("listens", "verdict"), [(True, "ok"), (False, "failure")])
def test_a_port(listens: bool, verdict: str) -> None:  # noqa: FBT001
    found = sockets.check(CONFIG, [replace(TCP, listens=listens)], {}, SITE, running=True)

    assert verdicts(found) == {("socket", "b"): verdict}


def test_the_owner_that_the_configuration_names() -> None:
    """A socket for the node's user belongs to that user."""
    listeners = tuple(
        each.model_copy(update={"owner": "eosio"}) if each.address == UNIX.address else each
        for each in CONFIG.listeners
    )
    config = CONFIG.model_copy(update={"listeners": listeners})

    wrong = list(sockets.check(config, [UNIX], {"eosio": 2000}, SITE, running=True))
    right = sockets.check(
        config,
        [replace(UNIX, file=replace(FILE, uid=2000, owner="eosio"))],
        {"eosio": 2000},
        SITE,
        running=True,
    )

    assert wrong[0].verdict.value == "failure"
    assert "chown eosio" in wrong[0].remedy
    assert verdicts(right) == {("socket", "a"): "ok"}
