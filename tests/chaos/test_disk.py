"""The disk hangs: it takes nothing, and says nothing. A full one, tests/supervisor/test_full_disk has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rig.hung_disk import HungDisk
from rig.site import Load

from signer.commands.exit_code import ExitCode

if TYPE_CHECKING:
    from rig.site import Site

pytestmark = pytest.mark.chaos


def test_a_disk_that_hangs_costs_no_signature_and_a_freeze_says_what_it_is_worth(site: Site) -> None:
    disk = HungDisk(site.folder)
    site.environment = disk.environment
    site.start()
    with Load(site, ("r1-1", "primary", "tcp"), ("k1-1", "primary", "unix")) as load:
        with disk.hanging():
            load.wait_for_more(100)
            site.wait(lambda status: status["ready"] and status["audit"]["waiting"] > 50, "lines wait")
            frozen = site.command("freeze", "--node", "standby", "--reason", "drill")
            assert frozen.returncode == ExitCode.FINDINGS, frozen.stderr
            assert frozen.stdout == "frozen: node standby\n"
            assert "the disk does not answer: nothing of it is signed now, but a crash" in frozen.stderr
            assert site.refusal("r1-1", node="standby")[0] == "signer_frozen_exception"
            ended = site.command("unfreeze", "--node", "standby", "--reason", "drill")
            assert ended.returncode == ExitCode.FAILED, ended.stderr
            assert "the disk does not answer; the freeze may end when it does" in ended.stderr
            assert site.refusal("r1-1", node="standby")[0] == "signer_frozen_exception"
            load.wait_for_more(100)
        site.wait(lambda status: status["audit"]["waiting"] == 0, "they are written")
        # The unfreeze was done when the disk answered, which another one waits for; and is in the audit log.
        assert site.command("unfreeze", "--node", "primary").returncode == 0
        site.sign("r1-1", node="standby")
        assert site.command("freeze", "--node", "standby", "--reason", "drill").returncode == 0
        with disk.hanging():
            ended = site.command("unfreeze", "--node", "standby", "--reason", "drill")
            assert ended.returncode == ExitCode.FINDINGS, ended.stderr
            assert ended.stdout == "unfrozen: node standby\n"
            assert "the disk does not answer: a crash of this host may bring the freeze back" in ended.stderr
            site.sign("r1-1", node="standby")
        site.wait(lambda status: status["audit"]["waiting"] == 0, "they are written")
    # A process that does not confirm a freeze within 50 ms is killed, as on any disk.
    assert load.failed == [] or site.events("signing process did not confirm the freeze; killed")
    assert site.stop() == 0
    given = [each for each in site.audit() if each.get("verdict") == "signed" and each["node"] == "primary"]
    assert len(given) == load.signed
    acts = [each["act"] for each in site.audit() if each["kind"] == "act" and "freeze" in each["act"]]
    assert acts == ["freeze", "unfreeze"] * 2
    assert site.command("audit", "verify", str(site.state / "audit/audit.jsonl")).returncode == 0


def test_the_command_freezes_on_such_a_disk_also_without_a_signer(site: Site) -> None:
    disk = HungDisk(site.folder)
    site.start()
    site.stop()
    with disk.hanging():
        frozen = site.command("freeze", "--all", "--reason", "drill", environment=disk.environment)
    assert frozen.returncode == ExitCode.FINDINGS, frozen.stderr
    assert "frozen: all, by a marker in" in frozen.stdout
    assert "the disk does not answer" in frozen.stderr
    assert (site.state / "frozen" / "all").exists()
