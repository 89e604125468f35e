"""The life of one signature: what each rule and each result of the race makes of it."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, cast

import pytest
from rig.memory_token import MemoryRace, PrivateKey

from hsm.race import Ending, Result
from signer.antelope.keys import Curve, Digest
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.signing import keyring
from signer.signing.connection import Call, Listener
from signer.signing.envelope import FaultError
from signer.signing.freeze import FreezeMarkers
from signer.signing.guard import Guard
from signer.signing.keyring import Keyring, TokenRing
from signer.signing.repeats import Repeats
from signer.signing.service import NodeTerms, Service

if TYPE_CHECKING:
    from pathlib import Path

    from hsm.race import Race
    from signer.signing.service import Decision

_TIMEOUT_MS, _MARGIN_MS = 5_000.0, 500.0


class World:
    """A service for node `primary` over one token: K1 and R1 block keys, one of another node, one probe."""

    def __init__(self, folder: Path) -> None:
        plan = [(Curve.K1, "block", "primary"), (Curve.R1, "block", "primary")]
        plan += [(Curve.R1, "block", "standby"), (Curve.R1, "probe", ""), (Curve.R1, "rotation", "")]
        self.private = [PrivateKey(curve) for curve, _, _ in plan]
        self.race = MemoryRace(self.private)
        self.entries = [
            keyring.build(key.public, role=role, node=node, token="box", label="x", index=index)
            for index, (key, (_, role, node)) in enumerate(zip(self.private, plan, strict=True))
        ]
        for entry in self.entries:
            entry.state, entry.reason = "active", ""
        self.markers = FreezeMarkers(folder)
        self.log: list[str | Decision] = []
        ring = TokenRing("box", software=True, race=cast("Race", self.race), keys=self.entries)
        terms = {name: NodeTerms(_TIMEOUT_MS, _MARGIN_MS) for name in ("primary", "standby", "")}
        self.service = Service(Keyring([ring]), Guard(self.markers), terms, self.log.append)
        listener = Listener("node", "primary", "unix:/run/p", frozenset({0}), 8, 2048, 2048, 1.0)
        self.call = Call(listener, "uid 0 pid 7", permitted=True, began_ns=time.monotonic_ns())

    def ask(self, index: int, digest: bytes | None = None, *, key: str = "") -> str | FaultError:
        """Ask for a signature; return what is answered. The log has the answer before its record."""
        text = key or str(self.private[index].public)
        body = json.dumps([(digest or os.urandom(32)).hex(), text]).encode()
        answers: list[str | FaultError] = []

        def end(outcome: str | FaultError) -> None:
            answers.append(outcome)
            self.log.append("answered")

        self.service.sign_digest(self.call, body, end)
        (answer,) = answers
        return answer

    def refusal(self, index: int, *, key: str = "") -> FaultError:
        """Ask for a signature that is not given; assert that no signature left."""
        answer = self.ask(index, key=key)
        assert isinstance(answer, FaultError)
        assert self.decision.signature == ""
        return answer

    @property
    def decision(self) -> Decision:
        """The last record."""
        last = self.log[-1]
        assert not isinstance(last, str)
        return last


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new one, with nothing frozen."""
    return World(tmp_path / "frozen")


@pytest.mark.parametrize("index", [0, 1])
def test_a_signature_recovers_to_the_key_and_is_recorded_after_the_answer(world: World, index: int) -> None:
    digest = os.urandom(32)
    answer = world.ask(index, digest)
    assert isinstance(answer, str)
    assert recover(Digest(digest), Signature.parse(answer)) == world.private[index].public
    assert world.log[0] == "answered"
    decision = world.decision
    assert (decision.verdict, decision.rule, decision.signature) == ("signed", "", answer)
    assert (decision.key, decision.digest) == (str(world.private[index].public), digest.hex())
    assert (decision.node, decision.caller, decision.lane, decision.tries) == ("primary", "uid 0 pid 7", 3, 2)
    assert (world.entries[index].signatures, world.service.in_flight) == (1, 0)


def test_two_that_ask_at_once_get_one_signature(world: World) -> None:
    """The other one asks while the first is with the token, and its signature leaves first."""
    digest = os.urandom(32)
    other: list[str | FaultError] = []

    def ask_meanwhile(wanted: bytes) -> Result:
        other.append(world.ask(1, digest))
        return Result(Ending.SIGNED, world.private[1].sign(wanted), lane=3, tries=1)

    world.service.guard = Guard(world.markers, repeats=Repeats())
    world.race.script = [ask_meanwhile]
    assert [world.ask(1, digest)] == other
    verdicts = [entry.verdict for entry in world.log if not isinstance(entry, str)]
    assert verdicts == ["signed", "repeated"]
    assert (world.entries[1].signatures, world.service.guard.repeated) == (1, 1)


def test_the_race_gets_the_curve_the_listener_and_the_nodes_deadline(world: World) -> None:
    for index in (0, 1):
        world.ask(index)
    deadline_ns = world.call.began_ns + int((_TIMEOUT_MS - _MARGIN_MS) * 1_000_000)
    assert world.race.asked == [
        (0, True, deadline_ns, "unix:/run/p", False),
        (1, False, deadline_ns, "unix:/run/p", False),
    ]


@pytest.mark.parametrize(
    ("result", "rule", "verdict"),
    [
        (Result(Ending.LATE, tries=9), "late", "late"),
        (Result(Ending.CROWDED), "crowded", "failed"),
        (Result(Ending.NO_LANE), "unavailable", "failed"),
        (Result(Ending.FAILED, reason="CKR_DEVICE_ERROR"), "failed", "failed"),
        (Result(Ending.KEY_FAILED, reason="gone"), "failed", "failed"),
        (Result(Ending.SIGNED, bytes(64)), "unverified", "failed"),
        (Result(Ending.SIGNED, b"short"), "unverified", "failed"),
    ],
)
def test_what_is_no_signature_is_answered_and_recorded(
    world: World, result: Result, rule: str, verdict: str
) -> None:
    world.race.script = [result]
    error = world.refusal(1)
    assert (error.rule, error.fault.status) == (rule, 500)
    assert str(world.private[1].public) in error.message
    assert (world.decision.rule, world.decision.verdict) == (rule, verdict)
    assert isinstance(world.ask(1), str) == (result.ending is not Ending.KEY_FAILED)


def test_a_signature_by_another_key_never_leaves(world: World) -> None:
    stranger = PrivateKey(Curve.K1)
    world.race.script = [lambda digest: Result(Ending.SIGNED, stranger.sign(digest, canonical=True))]
    assert world.refusal(0).rule == "unverified"


def test_a_signature_over_another_digest_never_leaves(world: World) -> None:
    world.race.script = [lambda _: Result(Ending.SIGNED, world.private[1].sign(os.urandom(32)))]
    assert world.refusal(1).rule == "unverified"


def test_a_signature_that_comes_after_the_deadline_never_leaves(world: World) -> None:
    world.call.began_ns -= int(_TIMEOUT_MS * 1_000_000)
    assert world.refusal(1).rule == "late"
    assert world.entries[1].signatures == 0


def test_a_key_that_failed_is_quarantined_and_the_others_are_not(world: World) -> None:
    world.race.script = [Result(Ending.KEY_FAILED, reason="key 'x' is not on token box")]
    world.refusal(1)
    error = world.refusal(1)
    assert error.rule == "quarantined"
    assert "key 'x' is not on token box" in error.message
    assert isinstance(world.ask(0), str)


def test_a_freeze_during_the_signature_stops_it(world: World) -> None:
    world.race.before_answer = lambda: world.markers.set("node", "primary", "uid 0", "drill")
    error = world.refusal(1)
    assert error.rule == "frozen"
    assert len(world.race.asked) == 1
    assert world.entries[1].signatures == 0


def test_a_frozen_key_is_not_even_asked_for(world: World) -> None:
    world.markers.set("key", str(world.private[1].public), "uid 0", "drill")
    assert "drill" in world.refusal(1).message
    assert world.race.asked == []
    assert isinstance(world.ask(0), str)


@pytest.mark.parametrize("state", ["quarantined", "unavailable"])
def test_a_key_in_trouble_says_why(world: World, state: str) -> None:
    world.entries[1].state, world.entries[1].reason = state, "for a reason"
    error = world.refusal(1)
    assert error.rule == state
    assert "for a reason" in error.message
    assert world.race.asked == []


@pytest.mark.parametrize(
    ("index", "rule"), [(2, "wrong-node"), (3, "wrong-role"), (4, "wrong-role")], ids=str
)
def test_a_key_signs_for_its_node_and_its_role_only(world: World, index: int, rule: str) -> None:
    error = world.refusal(index)
    assert error.rule == rule
    assert "uid 0 pid 7" in error.message
    assert (world.decision.key, world.decision.role) == (world.entries[index].name, world.entries[index].role)
    assert world.race.asked == []


def test_an_unknown_key_gets_keosds_answer(world: World) -> None:
    error = world.refusal(0, key=str(PrivateKey(Curve.K1).public))
    assert (error.fault.code, error.fault.name) == (3120004, "wallet_missing_pub_key_exception")


def test_a_caller_who_is_not_permitted_learns_nothing_of_any_key(world: World) -> None:
    world.call.permitted = False
    errors = {world.refusal(index).message for index in (0, 2, 3)}
    assert len(errors) == 1
    assert "rule peer" in errors.pop()
    assert world.race.asked == []


def test_a_rehearsal_signs_with_a_probe_key_and_leaves_no_trace(world: World) -> None:
    world.call.rehearsal = True
    assert isinstance(world.ask(3), str)
    assert world.log == ["answered"]
    assert world.race.asked[0][-1] is True


def test_a_rehearsal_never_signs_with_another_key(world: World) -> None:
    world.call.rehearsal = True
    for index in (0, 1, 2, 4):
        answer = world.ask(index)
        assert isinstance(answer, FaultError)
        assert answer.rule == "wrong-role"
    assert world.race.asked == []


def test_a_fault_of_our_own_ends_one_request_and_tells_nothing(world: World) -> None:
    def broken(_: bytes) -> Result:
        raise ZeroDivisionError("a secret")

    world.race.script = [broken]
    error = world.refusal(1)
    assert (error.rule, "a secret" in error.message) == ("internal", False)
    assert world.service.in_flight == 0
    assert isinstance(world.ask(1), str)


def test_every_spelling_of_a_key_is_one_key(world: World) -> None:
    legacy = world.private[0].public.legacy
    assert legacy is not None
    assert isinstance(world.ask(0, key=legacy), str)
    assert world.decision.key == str(world.private[0].public)
