"""The laws of /v1/rotations: asked for once, by whom, answered as it is, refused with a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig.control_site import is_problem
from rig.fake_rotations import KEY_A, KEY_B

from signer.errors import JournalError
from signer.rotation.entry import Event
from signer.rotation.finding import Finding, Level
from signer.rotation.rotation import Purpose, SignedTransaction, State, VerifiedBlock

if TYPE_CHECKING:
    import httpx
    from rig.control_site import Site

PROMOTE = {"kind": "promote", "node": "b"}
WARNING = Finding("evidence", Level.WARNING, "nobody looked at b", "run signer nodes attest b")


def ask(site: Site, body: object = None, *, name: str = "alice", key: str | None = None) -> httpx.Response:
    """Ask for a rotation as `name`, with an idempotency key."""
    return site.ask(
        "/v1/rotations",
        method="POST",
        token=site.person(name),
        json=PROMOTE if body is None else body,
        headers=[] if key is None else [("idempotency-key", key)],
    )


def test_a_rotation_is_asked_for(site: Site) -> None:
    """202, where it is, and what was written down: the defaults too."""
    answer = ask(site, {"kind": "promote", "node": "b", "reason": "maintenance"})

    assert (answer.status_code, answer.headers["location"]) == (202, "/v1/rotations/1")
    shown = answer.json()
    assert (shown["id"], shown["state"], shown["live"]) == (1, "planned", True)
    assert (shown["kind"], shown["chain"], shown["node"], shown["to_key"]) == (
        "promote",
        "eos",
        "b",
        str(KEY_B),
    )
    assert (shown["requested_by"], shown["request_reason"]) == ("alice", "maintenance")
    assert shown["expected_s"] == 60
    request = site.rotations.rotations[1].request
    assert (request.may_return, request.emergency, request.accept_warnings) == (True, False, False)


def test_a_cycle_is_of_the_node_that_produces(site: Site) -> None:
    """By the producer's row, where the request names none."""
    assert ask(site, {"kind": "cycle"}).json()["node"] == "a"


def test_which_node_produces_may_be_unknown(site: Site) -> None:
    """Then the request has to name it."""
    site.rotations.chain_known = False
    is_problem(ask(site, {"kind": "cycle"}), 503, "chain")
    assert ask(site, {"kind": "cycle", "node": "a"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid"),
        ({"kind": "promote"}, 422, "invalid"),
        ({"kind": "other", "node": "b"}, 422, "invalid"),
        (PROMOTE | {"emergency": True}, 422, "invalid"),
        (PROMOTE | {"emergency": True, "reason": "dead", "unattended": True}, 422, "invalid"),
        (PROMOTE | {"key": "hush"}, 422, "invalid"),
        (PROMOTE | {"reason": "x" * 401}, 422, "invalid"),
        (PROMOTE | {"reason": "a\nb"}, 422, "invalid"),
        (PROMOTE | {"unknown": 1}, 422, "invalid"),
        (PROMOTE | {"node": "nobody"}, 404, "unknown-node"),
        (PROMOTE | {"node": "c"}, 404, "unknown-node"),
        (PROMOTE | {"chain": "nobody"}, 404, "unknown-chain"),
        (PROMOTE | {"chain": "bare"}, 409, "not-configured"),
    ],
)
def test_what_cannot_be_asked_for(body: dict[str, Any], status: int, code: str, site: Site) -> None:
    """A problem, nothing written, and nothing of the request repeated; a dry run says the same."""
    for answer in (
        ask(site, body),
        site.ask("/v1/rotations/dry-run", method="POST", token=site.person("alice"), json=body),
    ):
        is_problem(answer, status, code)
        assert "hush" not in answer.text
        assert "nobody" not in answer.text
    assert site.rotations.rotations == {}


def test_what_is_not_configured_is_named(site: Site) -> None:
    """Each key of the configuration that is missing."""
    answer = ask(site, {"kind": "promote", "node": "c", "chain": "bare"})

    detail = answer.json()["detail"]
    for words in ("chains.bare.producer", "chains.bare.api", 'role = "rotation"', 'role = "block"'):
        assert words in detail
    assert {"at": ["chains", "bare", "producer"], "kind": "missing"} in answer.json()["errors"]


def test_a_second_one_waits(site: Site) -> None:
    """At most one is live on a chain."""
    assert ask(site).status_code == 202
    is_problem(ask(site), 409, "live")


def test_the_same_request_again_is_the_same_rotation(site: Site) -> None:
    """Same person, same key, same body: 200 and the same number, also when it has ended."""
    first, again = ask(site, key="k"), ask(site, key="k")
    site.rotations.move(1, State.ABORTED, Event.ABORTED)
    later = ask(site, key="k")

    assert [each.status_code for each in (first, again, later)] == [202, 200, 200]
    assert {each.json()["id"] for each in (first, again, later)} == {1}
    assert {each.headers["location"] for each in (first, again)} == {"/v1/rotations/1"}
    assert later.json()["state"] == "aborted"


def test_an_idempotency_key_stands_for_one_request(site: Site) -> None:
    """Another body with it is refused; another person's key is another key."""
    assert ask(site, key="k").status_code == 202
    for other in (
        PROMOTE | {"node": "a"},
        PROMOTE | {"accept_warnings": True},
        PROMOTE | {"key": str(KEY_A)},
        PROMOTE | {"may_return": False},
        {"kind": "cycle"},
    ):
        is_problem(ask(site, other, key="k"), 422, "idempotency-key")
    site.rotations.move(1, State.ABORTED, Event.ABORTED)
    assert ask(site, key="k", name="bob").json()["id"] == 2


@pytest.mark.parametrize("key", ["a b", "x" * 256, "\t"])
def test_an_idempotency_key_has_a_form(key: str, site: Site) -> None:
    """Nothing is written with another."""
    is_problem(ask(site, key=key), 422, "invalid")
    assert site.rotations.rotations == {}


def test_a_dry_run_writes_nothing(site: Site) -> None:
    """It says what would happen and what is in the way."""
    site.rotations.findings = (WARNING,)

    answer = site.ask(
        "/v1/rotations/dry-run", method="POST", token=site.token("view"), json={"kind": "cycle"}
    ).json()

    assert (answer["node"], answer["to_key"], answer["from_keys"]) == ("a", str(KEY_B), [str(KEY_A)])
    assert answer["findings"] == [
        {"rule": "evidence", "level": "warning", "text": WARNING.text, "remedy": WARNING.remedy}
    ]
    assert answer["expected_s"] == 60
    assert site.rotations.rotations == {}


def test_a_rotation_is_shown_with_its_proofs_and_history(site: Site) -> None:
    """Every time in UTC, every number of the history in order."""
    ask(site)
    now = site.clock.now
    transaction = SignedTransaction(
        purpose=Purpose.REGISTER,
        packed=b"\1",
        signature="SIG_R1_x",
        signed_by=KEY_B,
        id="ab" * 32,
        head_number=99,
        expiration=now + timedelta(seconds=60),
        signed_at=now,
        pushed_at=now,
    )
    site.rotations.move(1, State.SIGNED, Event.SIGNED, transactions=(transaction,), from_keys=(KEY_A,))
    site.rotations.move(1, State.ACTIVE, Event.ACTIVE)
    block = VerifiedBlock(7, "cd" * 32, now, "SIG_R1_y")
    site.rotations.move(1, State.DONE, Event.DONE, verified=block, missed_slots=0, safe_to_stop="a")

    shown = site.ask("/v1/rotations/1", token=site.person("alice")).json()

    assert shown["transaction_id"] == "ab" * 32
    assert shown["pushed_at"] == shown["active_at"] == "2026-01-02T03:04:05Z"
    assert shown["from_key"] == str(KEY_A)
    assert shown["verified_block"] == {
        "num": 7,
        "id": "cd" * 32,
        "time": "2026-01-02T03:04:05Z",
        "producer_signature": "SIG_R1_y",
    }
    assert (shown["missed_slots"], shown["safe_to_stop"], shown["awaited"]) == (0, "a", "")
    assert [each["number"] for each in shown["history"]] == [1, 2, 3, 4]
    assert shown["history"][-1]["event"] == "done"
    assert "\1" not in str(shown)


def test_an_unknown_rotation_is_404(site: Site) -> None:
    """A number that is none is 422."""
    for path, method in (("", "GET"), ("/events", "GET"), ("/abort", "POST"), ("/approve", "POST")):
        token = site.person("alice")
        is_problem(site.ask(f"/v1/rotations/9{path}", method=method, token=token), 404, "unknown")
        for number in ("0", "-1", "x", str(2**63)):
            is_problem(site.ask(f"/v1/rotations/{number}{path}", method=method, token=token), 422, "invalid")


def test_rotations_are_listed_in_pages(site: Site) -> None:
    """Newest first; `next_before` leads to the page after."""
    for _ in range(3):
        ask(site)
        site.rotations.move(len(site.rotations.rotations), State.ABORTED, Event.ABORTED)

    first = site.ask("/v1/rotations?limit=2", token=site.person("bob")).json()
    second = site.ask(f"/v1/rotations?limit=2&before={first['next_before']}", token=site.person("bob")).json()

    assert [each["id"] for each in first["rotations"]] == [3, 2]
    assert [each["id"] for each in second["rotations"]] == [1]
    assert second["next_before"] is None
    is_problem(site.ask("/v1/rotations?limit=0", token=site.person("bob")), 422, "invalid")


def test_requester_and_approver_are_different_persons(site: Site) -> None:
    """403 for the same one, with every scope; another agrees, and may do so twice."""
    site.rotations.needs_approval = True
    ask(site)
    site.rotations.move(1, State.APPROVAL, Event.APPROVAL_AWAITED)

    same = site.ask("/v1/rotations/1/approve", method="POST", token=site.person("alice"))
    is_problem(same, 403, "same-person")
    assert site.rotations.rotations[1].approved_by is None
    for _ in range(2):
        other = site.ask("/v1/rotations/1/approve", method="POST", token=site.person("bob"))
        assert (other.status_code, other.json()["approved_by"]) == (200, "bob")
    assert [each.by for each in site.rotations.history[1]].count("bob") == 1


def test_a_rotation_that_waits_for_nobody_cannot_be_approved(site: Site) -> None:
    """409."""
    ask(site)
    is_problem(
        site.ask("/v1/rotations/1/approve", method="POST", token=site.person("bob")), 409, "no-approval"
    )


def test_a_rotation_is_ended(site: Site) -> None:
    """Asked twice, it stays as it is; somebody else's later wish finds that it has ended."""
    ask(site)
    for _ in range(2):
        answer = site.ask("/v1/rotations/1/abort", method="POST", token=site.person("alice"))
        assert (answer.status_code, answer.json()["state"]) == (200, "aborted")
    is_problem(site.ask("/v1/rotations/1/abort", method="POST", token=site.person("bob")), 409, "ended")


def test_what_is_registered_cannot_be_ended(site: Site) -> None:
    """409, with the way out."""
    ask(site)
    site.rotations.move(1, State.REGISTERED, Event.REGISTERED)
    answer = site.ask("/v1/rotations/1/abort", method="POST", token=site.person("alice"))
    is_problem(answer, 409, "too-late")
    assert "rotate back" in answer.json()["detail"]


def test_a_journal_that_fails_is_503_without_a_word_of_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the reason."""

    def fail(*_: object) -> None:
        raise JournalError("/secret/path: SQLITE_IOERR")

    monkeypatch.setattr(site.rotations, "list", fail)
    answer = site.ask("/v1/rotations", token=site.token())
    is_problem(answer, 503, "store")
    assert "secret" not in answer.text


def test_each_live_state_says_what_it_waits_for(site: Site) -> None:
    """And each other one waits for nothing."""
    ask(site)
    for state in State:
        rotation = site.rotations.move(1, state, Event.CHECKING)
        shown = site.ask("/v1/rotations/1", token=site.person("alice")).json()
        assert bool(shown["awaited"]) == rotation.live, state
