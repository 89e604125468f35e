"""A node listener answers as real keosd does, but for the differences that differences.py lists with reasons.

Compared are status, content type, the envelope (code, message, error code, name and what, number and form
of details) and the shape of the value; each signature is verified. Texts for people and source lines are
not compared.
"""

from __future__ import annotations

import json
import operator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conformance.answers import compared, reduce, send
from conformance.cases import CASES, SIGN_DIGEST, Case
from conformance.differences import expected
from rig import wire

if TYPE_CHECKING:
    from conformance.conftest import Side

_RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("keosd_answers.json").read_text())

_EACH = pytest.mark.parametrize(
    ("case", "kind"),
    [(case, kind) for case in CASES for kind in case.over],
    ids=[f"{case.name} [{kind}]" for case in CASES for kind in case.over],
)

#: Every other path of keosd (wallet_api_plugin.cpp:89-118, keosd/main.cpp:111, beast_http_session.hpp:176),
#: with a body that keosd would accept. Sent to the signer only: they would change keosd.
_KEOSD_ONLY = (
    ("/v1/wallet/set_timeout", "900"),
    ("/v1/wallet/sign_transaction", '[{},["<K1>"],"00"]'),
    ("/v1/wallet/create", '"another"'),
    ("/v1/wallet/open", '"default"'),
    ("/v1/wallet/lock_all", ""),
    ("/v1/wallet/lock", '"default"'),
    ("/v1/wallet/unlock", '["default","PW5"]'),
    ("/v1/wallet/import_key", '["default","5K"]'),
    ("/v1/wallet/remove_key", '["default","PW5","<K1>"]'),
    ("/v1/wallet/create_key", '["default","R1"]'),
    ("/v1/wallet/list_wallets", ""),
    ("/v1/wallet/list_keys", '["default","PW5"]'),
    ("/v1/keosd/stop", ""),
    ("/v1/node/get_supported_apis", ""),
)


def _ask(side: Side, case: Case, kind: str) -> dict[str, Any]:
    return reduce(*send(case, side.addresses[kind], side.keys), side.keys)


@_EACH
def test_keosd_answers_as_recorded(keosd: Side, case: Case, kind: str) -> None:
    """keosd_answers.json is what real keosd says, in full and over every kind of listener."""
    assert _ask(keosd, case, kind) == _RECORDED[case.name]


@_EACH
def test_the_signer_answers_as_keosd(keosd: Side, signer: Side, case: Case, kind: str) -> None:
    """The same request, sent to both."""
    deliberate = expected(case.name, kind)
    theirs = compared(_ask(keosd, case, kind))

    ours = compared(_ask(signer, case, kind))

    assert ours == (theirs if deliberate is None else deliberate)
    assert deliberate != theirs, "the table of differences lists what is no difference"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize(
    "case",
    [
        Case(f"{method} {target}", body, target=target, method=method)
        for target, body in _KEOSD_ONLY
        for method in ("GET", "POST")
    ],
    ids=operator.attrgetter("name"),
)
def test_a_node_listener_is_no_wallet(keosd: Side, signer: Side, case: Case, kind: str) -> None:
    """A node needs two endpoints; all others of keosd are unknown here."""
    unknown = compared(_ask(keosd, replace(case, target="/v1/wallet/nothing"), kind))

    ours = compared(_ask(signer, case, kind))

    assert ours == unknown


def test_every_recorded_answer_belongs_to_a_case() -> None:
    """The record and the list of requests do not drift apart, and no name is used twice."""
    names = [case.name for case in CASES]

    assert sorted(names) == sorted(_RECORDED)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_huge_body_gets_no_signature(keosd: Side, signer: Side, kind: str) -> None:
    """Above its limit (2 MiB) keosd just closes; the signer's limit is lower, and it says so.

    64 KiB is 400 times a sign_digest request; nodeos logs nothing of a connection closed without an answer.
    """
    huge = Case("huge", " " * 3_000_000 + '["<D>","<K1>"]')

    theirs = _ask(keosd, huge, kind)
    ours = _ask(signer, huge, kind)

    assert theirs == {"closed": True}
    assert ours["status"] == 413
    assert ours["error"]["name"] == "signer_body_too_large_exception"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_one_connection_carries_what_the_server_lets_it(keosd: Side, signer: Side, kind: str) -> None:
    """Keosd keeps a connection open. The signer may close it, but then says so in the answer before.

    nodeos drops a connection whose answer says so and opens another; one that is closed without a word
    costs it the next signature (http_client.cpp:286-300).
    """
    for side, closes in ((keosd, False), (signer, True)):
        address = side.addresses[kind]
        body = f'["{"0" * 64}","{side.keys.k1}"]'.encode()
        request = wire.request(SIGN_DIGEST, host=address.host, body=body)
        with address.connect() as connection:
            connection.sendall(request)
            head = connection.recv(65536).lower()
        assert head.startswith(b"http/1.1 201 ")
        assert (b"\r\nconnection: close\r\n" in head) == closes
