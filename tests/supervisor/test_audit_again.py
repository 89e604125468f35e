"""The audit log after a disk that failed: what waits is written as soon as it can be, also while nothing else comes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rig.condition import until_here

from signer.config import Audit
from signer.signing.audit_reader import verify
from signer.supervisor import audit

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_waits_is_written_when_there_is_room_though_nobody_asks_for_a_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that does not produce asks for none for days."""
    monkeypatch.setattr(audit, "_AGAIN_S", 0.05)
    path = tmp_path / "audit" / "audit.jsonl"
    path.parent.write_text("in the way")

    async def scenario() -> None:
        log = audit.AuditLog(path, Audit())

        async def degraded() -> bool:
            return "cannot be written" in str(log.state()["degraded"])

        async def well() -> bool:
            return not log.state()["waiting"] and not log.state()["degraded"]

        log.act("started", "the test", None, datetime.now(UTC))
        await until_here(degraded, "it is not written")
        assert log.state()["waiting"] == 1
        path.parent.unlink()
        await until_here(well, "it is written")
        assert log.head.seq == 1
        await log.close()

    asyncio.run(scenario())
    assert verify(path).ok
