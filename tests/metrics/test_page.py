"""The page for Prometheus of statuses that a signer here cannot be brought to."""

from __future__ import annotations

from rig.control_site import status
from rig.scrape import Scrape

from signer.metrics.page import render


def test_a_producer_is_scheduled_also_with_a_key_of_another_signer() -> None:
    """The other signer may be gone: this one has to tell of its slots."""
    seen = {
        "at": 1.0,
        "head_at": 1.0,
        "producers": 21,
        "active": ["PUB_R1_of-another"],
        "missed_in_row": 12,
        "last_block_at": None,
    }
    page = Scrape(render(status() | {"chains": {"eos": seen}}).decode())
    assert page.value("signer_scheduled", chain="eos") == 0
    assert page.value("signer_producer_scheduled", chain="eos") == 1
    page = Scrape(render(status() | {"chains": {"eos": seen | {"active": []}}}).decode())
    assert page.value("signer_producer_scheduled", chain="eos") == 0


def test_an_older_control_process_knows_of_no_access_tokens() -> None:
    """In an upgrade it serves on beside a newer supervisor."""
    production = {
        "slots": {},
        "foreign": {},
        "certificates": {},
        "rotations": [],
        "ended": [],
        "rings": {},
        "evidence": [],
        "journal_error": "",
    }
    page = Scrape(render(status() | {"production": production}).decode())
    assert page.value("signer_journal_readable") == 1
