"""What a nodeos lists is judged against the signer's configuration: one test for each finding."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from rig import two_nodes

from signer.config import TcpAddress
from signer.rotation import listing
from signer.rotation.evidence import EvidenceKind
from signer.rotation.finding import Finding, Level
from signer.rotation.nodeos_options import parse

if TYPE_CHECKING:
    from signer.rotation.listing import Listing

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TCP = "http://127.0.0.1:8901/v1/wallet/sign_digest"
UNIX = "unix:///srv/signer/run/a.sock"
PRIVATE = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3"
#: A provider for each key of node a, and what else it needs.
GOOD = [f"signature-provider = {key}=KEOSD:{TCP}" for key in two_nodes.A]
REST = ["producer-name = bravo", "keosd-provider-timeout = 7"]
OURS, THEIRS = two_nodes.finalizer_key(1), two_nodes.finalizer_key(2)
FINALIZERS = {"node_a": f'finalizer_key = "{OURS}"', "node_b": f'finalizer_key = "{THEIRS}"'}


def judged(*lines: str, **config: str) -> Listing:
    """The judgement of a config.ini with these lines, for node a."""
    return listing.judge(
        two_nodes.config(**config), "a", parse([], "\n".join(lines)), at=NOW, detail="the file", by="ann"
    )


def kinds(found: Listing) -> list[EvidenceKind]:
    assert [each.key for each in found.evidence] == list(two_nodes.A)
    return [each.kind for each in found.evidence]


def the_one(found: Listing, rule: str) -> Finding:
    (finding,) = (each for each in found.findings if each.rule == rule)
    assert finding.level is Level.WARNING
    assert finding.text
    assert finding.remedy
    return finding


def test_a_node_that_lists_its_keys_has_evidence_of_each_and_no_finding() -> None:
    found = judged(*GOOD, *REST)

    assert kinds(found) == [EvidenceKind.FILE] * 3
    assert {(each.node, each.at, each.detail, each.by) for each in found.evidence} == {
        ("a", NOW, "the file", "ann")
    }
    assert found.findings == ()


def test_the_unix_socket_of_the_node_counts_too() -> None:
    found = judged(*(line.replace(TCP, UNIX) for line in GOOD), *REST)

    assert kinds(found) == [EvidenceKind.FILE] * 3
    assert found.findings == ()


def test_a_listener_on_every_address_is_reached_by_any() -> None:
    config = two_nodes.config()
    any_address = TcpAddress.parse("0.0.0.0:8901")
    listener = config.listeners[0].model_copy(update={"tcp": any_address})
    everywhere = config.model_copy(update={"listeners": (listener, *config.listeners[1:])})
    ini = "\n".join([*(line.replace("127.0.0.1", "10.0.0.7") for line in GOOD), *REST])

    found = listing.judge(everywhere, "a", parse([], ini), at=NOW, detail="", by="")

    assert found.findings == ()


def test_a_key_in_the_memory_of_nodeos_is_found_and_its_private_key_is_not_shown() -> None:
    line = f"signature-provider = {two_nodes.A[0]}=KEY:{PRIVATE}"
    found = judged(line, *GOOD[1:], *REST)

    assert kinds(found) == [EvidenceKind.UNLISTED, EvidenceKind.FILE, EvidenceKind.FILE]
    assert "line 1 of config.ini" in the_one(found, "key-in-memory").text
    assert PRIVATE not in repr(found)


def test_a_key_that_is_listed_well_and_in_memory_too_does_not_count() -> None:
    found = judged(*GOOD, f"signature-provider = {two_nodes.A[0]}=KEY:{PRIVATE}", *REST)

    assert kinds(found)[0] is EvidenceKind.UNLISTED
    assert "listed 2 times" in the_one(found, "listed-twice").text


@pytest.mark.parametrize(
    ("url", "rule", "words"),
    [
        ("http://localhost:8901/v1/wallet/sign_digest", "url", "names no IP address"),
        ("http://127.0.0.1:8902/v1/wallet/sign_digest", "other-listener", "listener of node b"),
        ("http://127.0.0.2:8901/v1/wallet/sign_digest", "url", "no listener of this signer"),
        ("http://127.0.0.1/v1/wallet/sign_digest", "url", "no listener of this signer"),
        ("http://127.0.0.1:8901", "url", "does not end in /v1/wallet/sign_digest"),
        ("http://127.0.0.1:8901/v1/wallet/sign_digest?x", "url", "does not end in /v1/wallet/sign_digest"),
        ("https://127.0.0.1:8901/v1/wallet/sign_digest", "url", "not http://ADDRESS:PORT"),
        ("http://me:secret@127.0.0.1:8901/v1/wallet/sign_digest", "url", "not http://ADDRESS:PORT"),
        ("http://127.0.0.1:port/v1/wallet/sign_digest", "url", "names no IP address"),
        (f"{UNIX}/v1/wallet/sign_digest", "url", "spins for ever"),
        (f"{UNIX}/", "url", "spins for ever"),
        ("unix:///srv/signer/run/b.sock", "url", "no socket of this signer"),
        ("unix:///srv/signer/run/admin.sock", "url", "no socket of this signer"),
        (PRIVATE, "url", "names no IP address"),
    ],
)
def test_a_url_that_does_not_reach_the_nodes_listener_is_no_evidence(url: str, rule: str, words: str) -> None:
    found = judged(GOOD[0].replace(TCP, url), *GOOD[1:], *REST)

    assert kinds(found) == [EvidenceKind.UNLISTED, EvidenceKind.FILE, EvidenceKind.FILE]
    assert words in the_one(found, rule).text
    unlisted = the_one(found, "unlisted-keys")
    assert "1 of this node's 3 keys" in unlisted.text
    assert "`signer nodes config a`" in unlisted.remedy
    assert "secret" not in repr(found)
    assert PRIVATE not in repr(found)


def test_a_key_of_another_node_is_found() -> None:
    found = judged(*GOOD, f"signature-provider = {two_nodes.B[1]}=KEOSD:{TCP}", *REST)

    assert kinds(found) == [EvidenceKind.FILE] * 3
    assert "a key of node b" in the_one(found, "other-key").text


def test_a_key_of_another_role_is_found() -> None:
    found = judged(*GOOD, f"signature-provider = {two_nodes.ROTATION}=KEOSD:{TCP}", *REST)

    assert "the rotation key" in the_one(found, "other-key").text


def test_a_key_that_this_signer_does_not_have_is_found_where_it_is_asked_for_it() -> None:
    unknown = two_nodes.public_key(99)
    found = judged(*GOOD, f"signature-provider = {unknown}=KEOSD:{TCP}", *REST)

    assert str(unknown) in the_one(found, "unknown-key").text


def test_a_key_of_another_signer_is_its_own_business() -> None:
    other = (
        f"signature-provider = {two_nodes.public_key(99)}=KEOSD:http://127.0.0.1:9999/v1/wallet/sign_digest"
    )

    assert judged(*GOOD, other, *REST).findings == ()


def test_a_quoted_line_is_malformed_and_its_key_not_listed() -> None:
    quoted = GOOD[0].replace("= ", '= "') + '"'
    found = judged(quoted, *GOOD[1:], *REST)

    assert kinds(found)[0] is EvidenceKind.UNLISTED
    assert "without quotes" in the_one(found, "malformed").text


def test_keys_of_the_ring_that_are_not_listed_are_found() -> None:
    found = judged(GOOD[0], *REST)

    assert kinds(found) == [EvidenceKind.FILE, EvidenceKind.UNLISTED, EvidenceKind.UNLISTED]
    text = the_one(found, "unlisted-keys").text
    assert "2 of this node's 3 keys" in text
    assert str(two_nodes.A[2]) in text


@pytest.mark.parametrize(
    ("line", "words"), [("", "5 ms"), ("keosd-provider-timeout = x", "no readable number")]
)
def test_another_timeout_than_the_configured_one_is_found(line: str, words: str) -> None:
    text = the_one(judged(*GOOD, REST[0], line), "timeout").text

    assert words in text
    assert "reckons with 7 ms" in text


def test_a_nodeos_without_the_producers_name_produces_with_no_key() -> None:
    found = judged(*GOOD, REST[1], "producer-name = somebody")

    assert kinds(found) == [EvidenceKind.UNLISTED] * 3
    assert "producer-name bravo" in the_one(found, "producer-name").text


def test_a_nodeos_that_lists_its_finalizer_key_is_in_order() -> None:
    found = judged(*GOOD, *REST, f"signature-provider = {OURS}=KEY:PVT_BLS_secret", **FINALIZERS)

    assert found.findings == ()


def test_a_missing_finalizer_key_and_that_of_another_node_are_found() -> None:
    found = judged(*GOOD, *REST, f"signature-provider = {THEIRS}=KEY:PVT_BLS_secret", **FINALIZERS)

    texts = [each.text for each in found.findings if each.rule == "finalizer-key"]
    assert f"does not list nodes.a.finalizer_key {OURS}" in texts[0]
    assert "of node b is listed here too (line 6 of config.ini)" in texts[1]
    assert "secret" not in repr(found)
