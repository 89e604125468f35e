"""A signer that ends while its disk is full: the signatures that waited for the log are not taken for a clone's."""

from __future__ import annotations

import os
import resource
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import until
from rig.small_disk import fill, small_disk

from signer.signing import ledger

if TYPE_CHECKING:
    from rig.site import Site

_SIGNATURES = 10
_SIGNED = b'"verdict":"signed"'


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_what_waited_for_the_disk_is_a_hole_without_a_bound(site: Site, end: signal.Signals) -> None:
    """Killed or stopped in order: it could not write them in either case."""
    since = datetime.now(UTC)
    log = site.state / "audit" / "audit.jsonl"
    site.start()
    site.sign("r1-1")
    until(lambda: log.read_bytes().count(_SIGNED) == 1, "the first signature is written")
    assert site.program is not None
    most = (log.stat().st_size, resource.RLIM_INFINITY)
    resource.prlimit(site.program.pid, resource.RLIMIT_FSIZE, most)
    for _ in range(_SIGNATURES):
        site.sign("r1-1")

    def refused(status: dict[str, Any]) -> bool:
        return bool(status["audit"]["degraded"]) and status["audit"]["waiting"] >= _SIGNATURES

    site.wait(refused, "the disk took none of them")
    os.kill(site.program.pid, end)
    until(lambda: site.program is not None and site.program.exit_code is not None, "it ended")
    site.start()
    site.sign("r1-1")
    until(lambda: log.read_bytes().count(_SIGNED) == 2, "the last signature is written")
    book = ledger.read(log, since)
    assert len(book.issued) == 2
    assert [hole.at_most for hole in book.holes if "disk" in hole.reason] == [None]


def test_a_full_disk_stops_no_freeze_and_no_line_is_lost_by_a_stop_that_nobody_meant(site: Site) -> None:
    """The folder of freezes is there from the start: most file systems need room for a new one. Told once."""
    ballast = site.state / "ballast"
    with small_disk(site.state):
        try:
            site.start()
            assert (site.state / "frozen").stat().st_mode & 0o777 == 0o700
            fill(ballast)
            # What the last page of the file has room for is written.
            while site.status()["audit"]["waiting"] < _SIGNATURES:
                site.sign("r1-1")
            assert site.command("freeze", "--all", "--reason", "drill").returncode == 0
            assert site.refusal("r1-1")[0] == "signer_frozen_exception"
            assert site.command("unfreeze", "--all").returncode == 0

            refused = site.command("stop")
            assert refused.returncode == 1
            assert "would be lost" in refused.stderr
            assert "signer stop --lose-audit" in refused.stderr
            site.sign("r1-1")
            assert len(site.events("audit log degraded; signing goes on")) == 1

            ballast.unlink()
            site.wait(lambda status: status["audit"]["waiting"] == 0, "it is written")
            assert site.command("stop").returncode == 0
        finally:
            site.stop()


def test_a_person_may_stop_it_on_a_full_disk(site: Site) -> None:
    """And what waits is lost, as the option says."""
    log = site.state / "audit" / "audit.jsonl"
    site.start()
    site.sign("r1-1")
    until(lambda: log.read_bytes().count(_SIGNED) == 1, "the first signature is written")
    assert site.program is not None
    resource.prlimit(site.program.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, resource.RLIM_INFINITY))
    site.sign("r1-1")
    site.wait(lambda status: bool(status["audit"]["degraded"]), "the disk took none of them")
    assert site.command("stop").returncode == 1
    assert site.command("stop", "--lose-audit").returncode == 0
