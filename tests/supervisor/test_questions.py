"""What the control process may ask of the supervisor, and what becomes of it: over the real channel, on real tokens."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest
import uvloop
from rig.signer_here import signer_here

from signer.antelope.keys import Digest, PublicKey
from signer.antelope.recovery import recover
from signer.errors import AdminError, RefusedError, SigningError
from signer.signing import checkpoint
from signer.signing.audit_reader import verify
from signer.signing.service import Decision

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rig.site import Site

    from signer.antelope.signature import Signature
    from signer.signing.audit import Checkpoint


def run(scenario: Awaitable[None]) -> None:
    """Run a scenario in an event loop as the supervisor's."""

    async def main() -> None:
        await scenario

    uvloop.run(main())


def key(site: Site, label: str, store: str = "primary") -> PublicKey:
    """Return a configured key."""
    return PublicKey.parse(site.key(label, store))


async def sign(site: Site, label: str) -> Signature:
    """Ask for a signature as a node."""
    return await asyncio.to_thread(site.sign, label)


def audit(site: Site) -> list[dict[str, Any]]:
    """Return the entries of the audit log, which has to hold, without checkpoints and their signatures."""
    assert verify(site.state / "audit" / "audit.jsonl").ok
    return [
        each
        for each in site.audit()
        if each["kind"] != "checkpoint" and each.get("caller") != "audit checkpoint"
    ]


def test_a_probe_proves_a_block_key_and_is_no_signature_of_a_node(whole: Site) -> None:
    whole.tokens["primary"].home.destroy("r1-2")

    async def scenario() -> None:
        async with signer_here(whole) as here:
            ask = here.control.supervisor
            assert await ask.probe(key(whole, "r1-1"), "alice") == ""
            assert await ask.probe(key(whole, "k1-1", "standby"), "alice") == ""
            await ask.freeze("node", "standby", "alice", "drill")
            refused = {
                key(whole, "rotation-r1", "control"): "is not in a block token",
                key(whole, "probe-r1"): "is a probe key, not a block key",
                key(whole, "r1-2"): "is quarantined: key 'r1-2' is not on token primary",
                key(whole, "r1-1", "standby"): "is frozen: drill",
            }
            for each, reason in refused.items():
                assert reason in await ask.probe(each, "alice")
            status = await here.above.status()
            assert status["counters"]["probes"] == {"signed": 2, "refused": 4}
            assert status["counters"]["verdicts"] == {}
            assert {each["signatures"] for each in status["keys"]} == {0}
            assert await ask.last_issued(key(whole, "r1-1")) is None
            os.kill(status["signing_pid"], signal.SIGSTOP)
            assert await ask.probe(key(whole, "r1-1"), "alice") == "the signing process does not answer"

    run(scenario())
    probes = [entry for entry in audit(whole) if entry.get("act") == "probe"]
    assert {entry["by"] for entry in probes} == {"control: alice"}
    assert [entry["detail"].endswith(": signed and verified") for entry in probes] == [True] * 2 + [False] * 5
    assert not [entry for entry in audit(whole) if entry["kind"] == "decision"]


def test_what_was_issued_is_known_also_after_a_restart(whole: Site) -> None:
    """And a key that signed in the last hour is not lost by a reload after it."""
    given: list[str] = []

    async def signs() -> None:
        async with signer_here(whole) as here:
            given.append(str(await sign(whole, "k1-1")))
            given.append(str(await sign(whole, "r1-1")))
            await here.wait(
                lambda status: sum(each["signatures"] for each in status["keys"]) == 2, "both are counted"
            )
            found = await here.control.supervisor.issued(given[0])
            assert found is not None
            assert (found.key, found.node) == (key(whole, "k1-1"), "primary")

    async def remembers() -> None:
        async with signer_here(whole) as here:
            ask = here.control.supervisor
            found = await ask.issued(given[1])
            assert found is not None
            assert (found.signature, found.key, found.node) == (given[1], key(whole, "r1-1"), "primary")
            assert await ask.last_issued(key(whole, "r1-1")) == found
            assert await ask.issued(given[1][:-1]) is None
            shown = {each["public_key"]: each for each in (await ask.status())["keys"]}[str(found.key)]
            assert (shown["signatures"], shown["last_signature_at"]) == (0, found.at.timestamp())
            whole.keys = [each for each in whole.keys if each.public_key != str(found.key)]
            whole.write()
            with pytest.raises(AdminError, match="signed in the last hour"):
                await here.above.reload("the test")

    run(signs())
    run(remembers())


def test_the_control_process_signs_unless_the_key_is_frozen_or_the_token_hangs(whole: Site) -> None:
    whole.tables = ["[lanes]", "stuck_after_ms = 200"]
    labels = ("rotation-r1", "rotation-k1", "audit-r1")
    digest = Digest(os.urandom(32))
    given: list[str] = []

    async def scenario() -> None:
        async with signer_here(whole) as here:
            keys, ask = here.control.keys, here.control.supervisor
            assert {state.state for state in keys.states().values()} == {"active"}
            for label in labels:
                each = key(whole, label, "control")
                signature = await keys.sign(
                    each, digest, "rotation 17", role="audit" if label == "audit-r1" else "rotation"
                )
                assert recover(digest, signature) == each
                found = await ask.issued(str(signature))
                assert found is not None
                assert (found.key, found.node) == (each, "")
                given.append(str(signature))
            frozen, other = key(whole, labels[0], "control"), key(whole, labels[1], "control")
            assert await ask.freeze("key", str(frozen), "alice", "drill")
            assert keys.states()[frozen] == ("rotation", "frozen", "drill")
            with pytest.raises(RefusedError, match="is frozen: drill") as refused:
                await keys.sign(frozen, digest, "rotation 18", role="rotation")
            assert refused.value.rule == "frozen"
            await keys.sign(other, digest, "rotation 18", role="rotation")
            assert await ask.unfreeze("key", str(frozen), "alice", "it was a drill") == (True, True)
            assert await ask.unfreeze("key", str(frozen), "alice", "") == (False, True)
            await ask.freeze("all", "", "alice", "all of them")
            with pytest.raises(RefusedError):
                await keys.sign(other, digest, "rotation 19", role="rotation")
            await ask.unfreeze("all", "", "alice", "")
            status = await here.wait(
                lambda status: len(status["tokens"]["control"]["lanes"]) == 2, "both lanes are open"
            )
            for lane in status["tokens"]["control"]["lanes"]:
                os.kill(lane["pid"], signal.SIGSTOP)
            with pytest.raises(SigningError, match="silent for more than 200 ms"):
                await keys.sign(other, digest, "rotation 20", role="rotation")
            with pytest.raises(SigningError, match="is unavailable: token control"):
                await keys.sign(other, digest, "rotation 20", role="rotation")
            await here.wait(lambda _: keys.states()[other].state == "active", "other lanes are open")
            await keys.sign(other, digest, "rotation 20", role="rotation")

    run(scenario())
    entries = audit(whole)
    decisions = [entry for entry in entries if entry["kind"] == "decision"]
    assert [(entry["caller"], entry["verdict"], entry["rule"]) for entry in decisions] == [
        *[("rotation 17", "signed", None)] * 3,
        ("rotation 18", "refused", "frozen"),
        ("rotation 18", "signed", None),
        ("rotation 19", "refused", "frozen"),
        ("rotation 20", "failed", "failed"),
        ("rotation 20", "failed", "failed"),
        ("rotation 20", "signed", None),
    ]
    assert [entry["signature"] for entry in decisions[:3]] == given
    assert {(entry["role"], entry["digest"]) for entry in decisions[:2]} == {("rotation", digest.hex())}
    freezes = [(entry["act"], entry["by"]) for entry in entries if entry.get("act") in ("freeze", "unfreeze")]
    assert freezes == [("freeze", "control: alice"), ("unfreeze", "control: alice")] * 2


def test_the_control_process_can_write_nothing_in_the_name_of_the_signer(whole: Site) -> None:
    async def scenario() -> None:
        async with signer_here(whole) as here:
            ask = here.control.supervisor
            await ask.act("rotation-approve", "alice", "rotation 17")
            for name in ("freeze", "log-damaged", "lost", "probe"):
                with pytest.raises(AdminError, match="an act of the signer itself"):
                    await ask.act(name, "alice", "")
            with pytest.raises(AdminError, match="wrong form"):
                await ask.act("", "alice", "")
            with pytest.raises(AdminError, match="not among the configured keys"):
                await ask.freeze(
                    "key", str(PublicKey.from_ec_point(key(whole, "k1-1").curve, _G)), "alice", ""
                )
            with pytest.raises(AdminError, match="no node"):
                await ask.freeze("node", "../all", "alice", "")
            stranger = Decision(
                at=1.0,
                node="primary",
                caller="uid 0",
                key=whole.key("r1-1"),
                role="block",
                digest="00" * 32,
                verdict="signed",
                rule="",
                signature="SIG_R1_",
                lane=1,
                tries=1,
                micros=1,
                detail="",
            )
            ask.decision(stranger)
            assert await ask.issued("SIG_R1_") is None

    run(scenario())
    entries = audit(whole)
    assert [entry["detail"] for entry in entries if entry.get("act") == "rotation-approve"] == ["rotation 17"]
    assert not [entry for entry in entries if entry["kind"] == "decision"]


def test_the_control_process_can_write_no_checkpoint_that_the_log_contradicts(whole: Site) -> None:
    """It has the audit key. From a wrong one on, nobody could verify the log."""

    async def scenario() -> None:
        async with signer_here(whole) as here:
            ask = here.control.supervisor

            async def given(
                label: str, role: Literal["rotation", "audit"], seq: int, line_hash: str
            ) -> Checkpoint:
                by = key(whole, label, "control")
                bare = checkpoint.unsigned("2026-11-27T12:00:00.000000Z", seq, line_hash, "me", by)
                signature = await here.control.keys.sign(by, checkpoint.digest(bare), "drill", role=role)
                return replace(bare, signature=str(signature))

            seq, line_hash = await ask.audit_head()
            with pytest.raises(AdminError, match=f"line {seq} with that hash was not given"):
                await ask.checkpoint(await given("audit-r1", "audit", seq, "ab" * 32))
            with pytest.raises(AdminError, match="was not given"):
                await ask.checkpoint(await given("audit-r1", "audit", seq + 1, line_hash))
            with pytest.raises(AdminError, match="is no audit key of this signer"):
                await ask.checkpoint(await given("rotation-r1", "rotation", seq, line_hash))
            assert await ask.checkpoint(await given("audit-r1", "audit", seq, line_hash)) > seq

    run(scenario())
    audit(whole)


#: secp256k1's generator: a public key of nobody here.
_G = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
