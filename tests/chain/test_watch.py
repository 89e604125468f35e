"""What the control process sees of a real chain: each slot of ours, whose signature it has, and what is missing."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from rig.scrape import of_admin
from rig.site import Ring, Site
from rig.watched_site import WatchedSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig.tools import Tools

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    """The tokens."""
    return Ring.make(tmp_path_factory.mktemp("ring"))


@pytest.fixture
def watched(tools: Tools, folder: Path, ring: Ring) -> Iterator[WatchedSite]:
    """A signer that follows a chain of its own."""
    watched = WatchedSite(tools, folder, ring)
    try:
        watched.start()
        yield watched
    finally:
        watched.stop()


def _states(watched: WatchedSite) -> list[str]:
    return [slot["state"] for slot in watched.slots()]


def test_each_slot_is_seen(watched: WatchedSite, ring: Ring) -> None:
    """Signed by us for the node that asked; missed while it does not produce; another's with a copy of the key."""
    node = watched.node
    node.wait_for_blocks(5)
    totals = "/v1/producers/local/slots"
    watched.wait(lambda: watched.get(totals)["totals"]["signed"] >= 2, "counted slots")

    seen = watched.wait(lambda: len(_signed(watched)) >= 5 and _signed(watched), "five signed slots")
    block = node.block(seen[0]["block_num"])
    assert (seen[0]["node"], seen[0]["key"]) == ("primary", watched.key)
    assert seen[0]["slot_time"].startswith(block.timestamp.isoformat()[:19])

    _a_killed_process_is_no_clone(watched)
    last = node.pause()
    watched.wait(lambda: _states(watched)[-5:] == ["missed"] * 5, "five missed slots")
    status = watched.site.status()["chains"]["local"]
    assert (status["producers"], status["active"], status["savanna"]) == (1, [watched.key], False)
    watched.wait(
        lambda: watched.site.status()["chains"]["local"]["missed_in_row"] >= 5, "the supervisor knows"
    )

    # Monitoring has the same, on the admin socket too.
    page = watched.wait(
        lambda: (
            (page := of_admin(watched.site)).value("signer_slots_missed_in_row", chain="local") >= 5 and page
        ),
        "the missed slots on the page for Prometheus",
    )
    assert page.value("signer_scheduled", chain="local") == 1
    assert page.value("signer_slots_total", chain="local", outcome="signed") >= 1
    assert page.value("signer_last_block_timestamp_seconds", chain="local") > 0

    thief = Site.copy_of(ring)
    try:
        thief.start()
        node.stop()
        watched.node = watched.start_node(thief)
        watched.node.wait_for_blocks(3)
        watched.wait(lambda: _states(watched).count("other") >= 3, "slots with a signature that is not ours")
        watched.wait(lambda: watched.get(totals)["totals"]["other"] >= 1, "counted slots of the thief")
        # Before the pause there may be one whose line was lost with the killed process.
        first = min(
            slot["block_num"]
            for slot in watched.slots()
            if slot["state"] == "other" and slot["block_num"] > last
        )
        (alarm,) = watched.wait(lambda: _clones(watched), "the alarm")
        assert alarm["subject"] == watched.key
        assert f"block {first} of" in alarm["text"]
        watched.node.wait_for(
            lambda: watched.node.info()["last_irreversible_block_num"] > first, "it is final"
        )
    finally:
        thief.clean()

    shown = {slot["block_num"]: slot["state"] for slot in watched.slots()}
    assert shown[last] == "signed"
    assert watched.get(totals)["totals"]["missed"] >= 5

    _reconciled(watched, first)
    _log_is_proved(watched)


def _signed(watched: WatchedSite) -> list[dict[str, Any]]:
    return [slot for slot in watched.slots() if slot["state"] == "signed"]


def _a_killed_process_is_no_clone(watched: WatchedSite) -> None:
    """Signatures that it had given, and nobody wrote down, accuse nobody."""
    os.kill(watched.site.status()["signing_pid"], signal.SIGKILL)
    before = len(_signed(watched))
    watched.wait(lambda: len(_signed(watched)) >= before + 8, "signed slots of another signing process")
    assert any(each.get("act") == "signing-ended" for each in watched.site.audit())
    assert _clones(watched) == []


def _reconciled(watched: WatchedSite, first: int) -> None:
    """The command finds the thief's blocks, from block `first` on, and none else."""
    found = watched.signer("audit", "reconcile", "--json")
    assert found.returncode == 5, found.stderr
    answer = json.loads(found.stdout)
    assert first in [each["block_num"] for each in answer["clones"]]
    assert answer["clones"][0]["keys"] == [watched.key]
    assert answer["signed"] >= 5
    assert answer["foreign"] == 0  # lost ones there are where the machine was too busy for nodeos
    words = watched.signer("audit", "reconcile", "--from", "2")
    assert (words.returncode, f"CLONE: block {first} at" in words.stdout) == (5, True), words.stdout
    before = watched.signer("audit", "reconcile", "--from", "99999999")
    assert (before.returncode, "is not irreversible yet" in before.stderr) == (2, True)


def _log_is_proved(watched: WatchedSite) -> None:
    """The checkpoints off the host prove the log, and show what is cut off or changed before the last one."""
    anchor = ("--anchor", str(watched.checkpoints))
    whole = watched.signer("audit", "verify", "--json", *anchor)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert any(each.get("act") == "token-create" for each in watched.site.audit())
    (report,) = json.loads(whole.stdout)
    assert report["anchors"] >= 2
    copy = watched.site.folder / "copy.jsonl"
    lines = (watched.site.state / "audit" / "audit.jsonl").read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[: report["anchored"] - 1]))
    assert watched.signer("audit", "verify", str(copy)).returncode == 0
    cut = watched.signer("audit", "verify", str(copy), *anchor)
    assert (cut.returncode, "loss" in cut.stdout) == (5, True)
    text = watched.checkpoints.read_text()
    watched.checkpoints.write_text(text.replace('"upto":', '"upto":1', 1))
    forged = watched.signer("audit", "verify", *anchor)
    assert (forged.returncode, "line 1: it was not signed by" in forged.stderr) == (5, True)


def _clones(watched: WatchedSite) -> list[dict[str, Any]]:
    return [each for each in watched.site.status()["alarms"] if each["name"] == "clone"]
