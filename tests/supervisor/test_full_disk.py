"""A signer that ends while its disk is full: the signatures that waited for the log are not taken for a clone's."""

from __future__ import annotations

import os
import resource
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import until

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
