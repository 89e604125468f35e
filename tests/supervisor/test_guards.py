"""The guards of a producer in a whole signer: over its listeners, its tokens, restarts and reloads."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from rig.condition import until, until_here
from rig.scrape import of_admin
from rig.signer_here import signer_here
from rig.site import Load

from signer.antelope.keys import Digest
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.chain.sighting import Sighting
from signer.errors import AdminRefusedError
from signer.signing.audit_reader import verify
from signer.signing.lease import Claim, Lease
from signer.signing.producers import LEASE

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rig.site import Site

ENFORCED = ["[guards]", 'lease = "enforce"']
#: So long a window that a slow machine is still in it.
LIMITED = ["[guards]", 'rate = "enforce"', "rate_limit = 24", "rate_window_s = 120"]
SEEN = Sighting("local", "bp", 1e9, 9, 1e9, 1, False, 21, (), None, None, None, (), 0, None, None)
#: Longer than a slot, so that a lease that moved may be used.
SLOT_S = 0.5


def holder(site: Site) -> str | None:
    """Return who holds the lease, as the status says."""
    found: str | None = site.status()["guards"]["local"]["holder"]
    return found


def alarms(site: Site) -> dict[str, str]:
    """Return the alarms in force by name, with their texts."""
    return {each["name"]: each["text"] for each in site.status()["alarms"]}


def rule(site: Site, label: str, node: str) -> str:
    """Ask, and return the rule that refused; an empty text if it signed."""
    reply = site.ask(site.key(label, node), node=node)
    if reply.status == 201:
        return ""
    name: str = json.loads(reply.body)["error"]["name"]
    return name.removeprefix("signer_").removesuffix("_exception")


def take(site: Site, node: str) -> None:
    """Give the lease to a node, and let a slot pass."""
    site.admin.post("/v1/lease", {"chain": "local", "node": node, "reason": "drill"})
    time.sleep(SLOT_S)  # the time itself is what the rule looks at


def audit(site: Site) -> list[dict[str, Any]]:
    """Return the entries of the audit log, which has to hold."""
    assert verify(site.state / "audit" / "audit.jsonl").ok
    return site.audit()


def run(scenario: Awaitable[None]) -> None:
    """Run a scenario in an event loop as the supervisor's."""

    async def main() -> None:
        await scenario

    uvloop.run(main())


# -- lease -------------------------------------------------------------------------------------------------


def test_one_node_signs_and_the_other_is_refused_until_a_person_decides(site: Site) -> None:
    site.tables = ENFORCED
    site.start()
    assert holder(site) is None
    site.sign("r1-1")
    site.sign("k1-1")
    name, message = site.refusal("r1-1", node="standby")
    assert name == "signer_lease_exception"
    assert "node primary holds the lease of chain local, not standby" in message
    assert "signer lease take standby" in message
    site.wait(lambda _: "lease" in alarms(site), "an alarm")
    assert any("alarm lease: rule lease" in problem for problem in site.status()["problems"])
    page = of_admin(site)
    assert page.value("signer_guard_mode", chain="local", rule="lease", mode="enforce") == 1
    assert page.value("signer_lease_holder", chain="local", node="primary") == 1
    assert page.value("signer_requests_total", node="standby", verdict="refused", rule="lease") == 1

    take(site, "standby")
    site.sign("r1-1", node="standby")
    assert rule(site, "r1-1", "primary") == "lease"
    state = site.status()["guards"]["local"]
    assert (state["holder"], state["claim"]) == ("standby", "taken")
    acts = [entry for entry in audit(site) if entry.get("act") == "lease"]
    assert [(act["by"], act["detail"]) for act in acts] == [
        ("signer", "node primary holds the lease of chain local (first)"),
        (acts[1]["by"], "node standby holds the lease of chain local (taken), before it primary: drill"),
    ]
    assert "uid" in acts[1]["by"]


def test_who_is_refused_costs_the_token_nothing(site: Site) -> None:
    site.tables = [*ENFORCED, "[warmth]", "enabled = false"]
    shim = site.shim("standby")
    site.start()
    site.sign("r1-1")
    shim.tell("hang")  # who asks this token now gets no answer
    assert rule(site, "r1-1", "standby") == "lease"


def test_the_holder_outlives_reload_restart_and_a_killed_process(site: Site) -> None:
    site.tables = ENFORCED
    site.start()
    site.sign("r1-1")
    take(site, "standby")
    assert site.admin.post("/v1/reload")["generation"] == 2
    assert (holder(site), rule(site, "r1-1", "primary")) == ("standby", "lease")

    pid = site.status()["signing_pid"]
    os.kill(pid, signal.SIGKILL)
    site.wait(lambda status: status["ready"] and status["signing_pid"] != pid, "another process")
    assert (holder(site), rule(site, "r1-1", "primary")) == ("standby", "lease")

    assert site.stop() == 0
    site.start()
    assert (holder(site), rule(site, "r1-1", "primary")) == ("standby", "lease")
    site.sign("r1-1", node="standby")


def test_a_lease_that_moved_by_itself_is_on_disk_too(site: Site) -> None:
    site.tables = ENFORCED
    site.start()
    site.sign("r1-1", node="standby")
    assert site.program is not None
    until((site.state / "leases.json").exists, "the file")
    site.program.kill()
    site.start()
    assert (holder(site), rule(site, "r1-1", "primary")) == ("standby", "lease")


def test_silence_of_two_rounds_moves_it(site: Site) -> None:
    """Of one producer: 12 s."""
    site.tables = ENFORCED
    site.chain = [f'id = "{"ab" * 32}"', "producers = 1"]
    site.start()
    site.sign("r1-1")
    began = time.monotonic()
    assert rule(site, "r1-1", "standby") == "lease"
    until(lambda: rule(site, "r1-1", "standby") == "", "the other node signs")
    assert time.monotonic() - began > 11.9
    site.wait(lambda _: "lease-moved" in alarms(site), "an alarm")
    assert (
        alarms(site)["lease-moved"]
        == "node standby holds the lease of chain local (silence), before it primary"
    )
    assert rule(site, "r1-1", "primary") == "lease"


def test_a_file_that_is_broken_stops_nothing(site: Site) -> None:
    site.tables = ENFORCED
    site.state.mkdir(mode=0o700)
    (site.state / "leases.json").write_text('{"local": {"holder": 7')
    site.start()
    assert site.events("leases cannot be read; whoever signs first gets them")
    site.sign("r1-1")
    assert rule(site, "r1-1", "standby") == "lease"


def test_a_lease_that_cannot_be_written_is_given_all_the_same_and_said(site: Site) -> None:
    site.tables = ENFORCED
    site.start()
    site.sign("r1-1")
    until((site.state / "leases.json").exists, "what was written before")
    (site.state / "leases.new").mkdir()
    take(site, "standby")
    assert rule(site, "r1-1", "standby") == ""
    assert any("not kept over a restart" in problem for problem in site.status()["problems"])


def test_a_node_that_does_not_exist_gets_none(site: Site) -> None:
    site.tables = ENFORCED
    site.start()
    for body in ({"chain": "local", "node": "nobody"}, {"chain": "other", "node": "primary"}):
        with pytest.raises(AdminRefusedError, match=r"there is no chain|has no node"):
            site.admin.post("/v1/lease", body | {"reason": "drill"})
    with pytest.raises(AdminRefusedError, match="reason"):
        site.admin.post("/v1/lease", {"chain": "local", "node": "primary"})


def test_without_a_producer_there_is_no_lease_to_give(site: Site) -> None:
    site.start()
    site.sign("r1-1")
    site.sign("r1-1", node="standby")
    assert site.status()["problems"] == []
    with pytest.raises(AdminRefusedError, match=r'guards\.lease is "off"'):
        site.admin.post("/v1/lease", {"chain": "local", "node": "primary", "reason": "drill"})


def test_observed_both_sign_and_the_alarm_says_what_enforce_would_do(site: Site) -> None:
    site.tables = ["[guards]", 'lease = "observe"']
    site.start()
    site.sign("r1-1")
    site.sign("r1-1", node="standby")
    site.wait(lambda _: "lease" in alarms(site), "an alarm")
    assert site.status()["guards"]["local"]["observed"]["lease"] == 1
    assert site.status()["counters"]["rules"] == {}
    page = of_admin(site)
    assert page.value("signer_guard_observed_total", chain="local", rule="lease") == 1
    assert page.value("signer_guard_mode", chain="local", rule="lease", mode="observe") == 1


def test_the_command_line_shows_and_gives_it(site: Site) -> None:
    site.tables = ENFORCED
    site.start()
    site.sign("r1-1")

    def signer(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "signer.cli", "--config", str(site.config), "lease", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    shown = signer("show").stdout.splitlines()
    assert shown[0].split()[:4] == ["CHAIN", "LEASE", "HOLDER", "BY"]
    assert shown[1].split()[:4] == ["local", "enforce", "primary", "first"]
    taken = signer("take", "standby", "--reason", "drill")
    assert (taken.returncode, taken.stdout) == (0, "node standby holds the lease of chain local\n")
    assert json.loads(signer("show", "--json").stdout)["local"]["holder"] == "standby"
    wrong = signer("take", "standbye", "--reason", "drill")
    assert (wrong.returncode, "did you mean" in wrong.stderr) == (2, True)


# -- the lease and the chain -------------------------------------------------------------------------------


def test_the_chain_moves_it(whole: Site) -> None:
    """As the control process says what it sees, over the real channel."""
    whole.tables = ENFORCED
    a, b = whole.key("r1-1"), whole.key("r1-1", "standby")

    async def scenario() -> None:
        async with signer_here(whole) as here:

            async def see(*active: str, row: tuple[str, ...] = (), **more: Any) -> None:  # noqa: ANN401 - a field
                await here.control.supervisor.sighted(replace(SEEN, active=active, row=row, **more))

            async def asked(node: str) -> str:
                await asyncio.sleep(SLOT_S)  # as nodeos does
                return await asyncio.to_thread(rule, whole, "r1-1", node)

            await see(a)
            assert await asked("primary") == ""
            assert await asked("standby") == "lease"
            # A planned promotion: the row has the new key, and its node is ahead of what was seen.
            await see(a, row=(b,))
            assert await asked("standby") == ""
            assert await asked("primary") == "lease"
            # Back again: the target of a live rotation, before the row was looked at.
            await see(b, row=(b,), targets=(a,))
            assert await asked("primary") == ""
            # Both keys in one authority: who has it keeps it ...
            await see(a, b, row=(a, b))
            assert await asked("standby") == "lease"
            # ... until its slots are missed, by a chain whose time is that of this machine.
            missed: dict[str, Any] = {"missed_in_row": 3, "missed_since": time.time() + 0.1}
            await see(a, b, row=(a, b), **missed, at=1e9, head_at=1e9 + 3_600)
            assert await asked("standby") == "lease"
            await see(a, b, row=(a, b), **missed)
            assert await asked("standby") == ""
            await here.wait(
                lambda status: any(each["name"] == "lease-moved" for each in status["alarms"]), "an alarm"
            )

    run(scenario())


def test_who_keeps_asking_at_the_node_that_production_left_stops_nobody(whole: Site) -> None:
    """It holds the lease, and is given a signature ten times a second, until the chain has another node's key."""
    whole.tables = [*ENFORCED, 'rate = "enforce"', "rate_limit = 24", "rate_window_s = 120"]
    a, b = whole.key("r1-1"), whole.key("r1-1", "standby")

    async def scenario() -> None:
        async with signer_here(whole) as here:

            async def see(active: str) -> None:
                await here.control.supervisor.sighted(replace(SEEN, active=(active,), row=(active,)))

            async def asked(node: str) -> str:
                return await asyncio.to_thread(rule, whole, "r1-1", node)

            async def served() -> bool:
                return await asked("standby") == ""

            async def keep_asking() -> None:
                while True:
                    rules.append(await asked("primary"))
                    await asyncio.sleep(0.1)

            rules: list[str] = []
            await see(a)
            asking = asyncio.create_task(keep_asking())
            await here.wait(lambda _: "rate" in rules, "the producer's signatures are used up")
            await see(b)
            await until_here(served, "the signing process has heard of it")
            for _ in range(12):
                assert await asked("standby") == ""
            await here.wait(lambda _: rules[-1] == "lease", "the other one is refused")
            asking.cancel()

    run(scenario())


def test_a_person_gives_it_over_the_control_process(whole: Site) -> None:
    whole.tables = ENFORCED

    async def scenario() -> None:
        async with signer_here(whole) as here:
            await asyncio.to_thread(whole.sign, "r1-1")
            await here.control.supervisor.take_lease("local", "standby", "ann", "drill")
            await asyncio.sleep(SLOT_S)
            assert await asyncio.to_thread(rule, whole, "r1-1", "standby") == ""

    run(scenario())
    acts = [entry for entry in audit(whole) if entry.get("act") == "lease"]
    assert acts[-1]["by"] == "control: ann"


def test_what_a_person_says_comes_after_what_a_signature_moved_meanwhile(whole: Site) -> None:
    """The signing processes take it last, too; a reload told the next one the other."""
    whole.tables = ENFORCED

    async def scenario() -> None:
        async with signer_here(whole) as here:
            leases = here.above.leases
            taking = asyncio.create_task(leases.take("local", "standby", "ann", "drill"))
            await asyncio.sleep(0)  # it is being written
            moved = Lease("primary", Claim.SILENCE, 1.0, 1.0, 1)
            leases.moved({"chain": "local", "lease": moved.to_fields()})
            await taking
            told = [each for each in leases.brief(here.above.config) if each["type"] == LEASE]
            assert [each["lease"]["holder"] for each in told] == ["standby"]

    run(scenario())
    assert json.loads((whole.state / "leases.json").read_text())["local"]["holder"] == "standby"


# -- rate --------------------------------------------------------------------------------------------------


def test_a_producer_gets_so_many_signatures_and_no_more(site: Site) -> None:
    site.tables = LIMITED
    site.start()
    rules = [rule(site, "r1-1", node) for node in ("primary", "standby") * 15]
    assert rules == [""] * 24 + ["rate"] * 6
    site.wait(lambda _: "rate" in alarms(site), "an alarm")
    site.wait(lambda status: status["counters"]["rules"] == {"rate": 6}, "all are counted")


def test_a_token_that_fails_for_seconds_does_not_cost_the_first_good_signature(site: Site) -> None:
    """A nodeos asks again at once, hundreds of times a second."""
    site.tables = LIMITED
    shim = site.shim("primary")
    site.start()
    shim.tell("0x30")
    with Load(site, ("r1-1", "primary", "unix"), ("k1-1", "primary", "tcp")) as load:
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 3, "three seconds have passed")
        assert load.signed == 0
        shim.tell("ok")
        until(lambda: any(map(_is_rate, load.failed)), "the limit refuses")
    assert load.signed == 24
    rates = list(filter(_is_rate, load.failed))
    assert load.failed[-len(rates) :] == rates  # only after those
    assert len(load.failed) > 24


def _is_rate(answer: str) -> bool:
    return "signer_rate_exception" in answer


def test_requests_that_are_replayed_across_a_restart_begin_no_new_window(site: Site) -> None:
    """A burst that was recorded: of the same node, against the process that comes after a crash."""
    site.tables = LIMITED
    site.start()
    key = site.key("r1-1")
    digests = [secrets.token_hex(32) for _ in range(40)]
    first = [site.ask(key, digest=digest).status for digest in digests]
    assert first == [201] * 24 + [500] * 16
    # The supervisor knows them once they are in the audit log.
    until(lambda: site.key_status("r1-1")["signatures"] == 24, "all are counted")
    pid = site.status()["signing_pid"]
    os.kill(pid, signal.SIGKILL)
    site.wait(lambda status: status["ready"] and status["signing_pid"] != pid, "another process")
    replayed = [site.ask(key, digest=digest).status for digest in digests]
    assert replayed == [500] * 40


def test_what_is_signed_while_a_reload_prepares_counts_after_it(site: Site) -> None:
    """The new process began before those signatures were given."""
    site.tables = LIMITED
    site.start()
    key = site.key("r1-1")
    reloading = threading.Thread(target=site.admin.post, args=("/v1/reload",))
    reloading.start()
    during = []
    while reloading.is_alive():
        during.append(site.ask(key).status)
    after = [site.ask(key).status for _ in range(24)]
    assert during.count(201) == 24
    assert after == [500] * 24


# -- repeats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["r1-1", "k1-1"])
def test_the_same_digest_gets_the_same_signature(site: Site, label: str) -> None:
    site.start()
    key, digest = site.key(label), secrets.token_bytes(32)
    first, again = (site.ask(key, digest=digest.hex(), via=via) for via in ("unix", "tcp"))
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert str(recover(Digest(digest), Signature.parse(json.loads(again.body)))) == key
    site.wait(lambda status: status["counters"]["verdicts"].get("repeated"), "it is counted")
    assert site.key_status(label)["signatures"] == 1
    path = site.state / "audit" / "audit.jsonl"
    until(lambda: path.read_text().count(digest.hex()) == 2, "it is written")
    decisions = [entry for entry in audit(site) if entry.get("digest") == digest.hex()]
    assert [(each["verdict"], each["tries"] > 0, each["key_count"]) for each in decisions] == [
        ("signed", True, 1),
        ("repeated", False, 1),
    ]
    for each, caller in zip(decisions, ("uid ", "127.0.0.1:"), strict=True):
        assert (each["node"], each["key"], each["role"]) == ("primary", key, "block")
        assert each["caller"].startswith(caller)
        assert 0 < each["micros"] < 5_000_000
    assert decisions[0]["lane"] in {
        str(lane["id"]) for lane in site.status()["tokens"]["primary"]["lanes"]
    }, decisions[0]


def test_a_repeat_needs_no_token_and_no_room_in_the_rate(site: Site) -> None:
    site.tables = ["[guards]", 'rate = "enforce"', "rate_limit = 1", "[warmth]", "enabled = false"]
    shim = site.shim("primary")
    site.start()
    key, digest = site.key("r1-1"), secrets.token_hex(32)
    first = site.ask(key, digest=digest)
    shim.tell("hang")
    assert site.ask(key, digest=digest).body == first.body
    assert rule(site, "r1-1", "primary") == "rate"


def test_a_frozen_key_gives_nothing_again(site: Site) -> None:
    site.start()
    key, digest = site.key("r1-1"), secrets.token_hex(32)
    assert site.ask(key, digest=digest).status == 201
    site.admin.post("/v1/freeze", {"scope": "all", "name": "", "reason": "drill"})
    assert b"signer_frozen_exception" in site.ask(key, digest=digest).body


@pytest.mark.parametrize(("mode", "counted"), [("off", 0), ("observe", 1)])
def test_where_repeats_are_not_enforced_the_token_signs_again(site: Site, mode: str, counted: int) -> None:
    site.tables = ["[guards]", f'repeat = "{mode}"']
    site.start()
    key, digest = site.key("r1-1"), secrets.token_hex(32)
    assert site.ask(key, digest=digest).body != site.ask(key, digest=digest).body
    assert site.status()["counters"]["repeated"] == counted
    assert of_admin(site).value("signer_repeated_requests_total") == counted


# -- height ------------------------------------------------------------------------------------------------


def test_on_savanna_a_number_that_does_not_rise_is_signed_and_said(site: Site) -> None:
    site.tables = ["[guards]", 'height = "observe"']
    site.chain = [f'id = "{"ab" * 32}"', 'consensus = "savanna"']
    site.start()
    key = site.key("r1-1")
    for number in (7, 8, 8):
        assert site.ask(key, digest=f"{number:08x}{secrets.token_hex(28)}").status == 201
    site.wait(lambda _: "height" in alarms(site), "an alarm")
    assert "block 8 signed on chain local after block 8" in alarms(site)["height"]
    # Another block for this slot, by another node.
    other = site.ask(site.key("r1-1", "standby"), node="standby", digest=f"{9:08x}{secrets.token_hex(28)}")
    assert b"signer_slot_exception" in other.body
    site.wait(lambda _: "slot" in alarms(site), "an alarm")
