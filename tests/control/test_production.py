"""What monitoring gets of production: from the journal and the followers, without a question to a chain."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from rig.certificate import certify
from rig.fake_rotations import KEY_A, KEY_B
from rig.scrape import Scrape

from signer.config import Config, Listener, Rotation, TcpAddress
from signer.control.certificate import expiries
from signer.control.production import Production
from signer.metrics.page import render
from signer.rotation.entry import Entry, Event
from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.rotation import Kind, Request, State

if TYPE_CHECKING:
    from pathlib import Path

    from rig.control_site import Site

    from signer.antelope.keys import PublicKey
    from signer.rotation.ring import KeyUse


@pytest.fixture
def production(site: Site) -> Production:
    """Of the site's chain, with a certificate that ends at 9.0."""
    config = site.app.state.services.config.model_copy(update={"rotation": Rotation()})
    watches = {"eos": site.watch}
    expiries = {"tcp:[::]:1": 9.0}
    return Production(
        config, site.journal, site.tokens, watches, expiries=expiries, clock=lambda: site.clock.now
    )


def _scrape(site: Site, production: Production) -> Scrape:
    """Return the page of a signer whose block keys are all active."""
    keys: list[dict[str, Any]] = [
        {
            "public_key": str(key),
            "curve": "R1",
            "label": "l",
            "role": "block",
            "node": node,
            "token": "t",
            "state": "active",
            "last_signature_at": None,
        }
        for key, node in ((KEY_A, "a"), (KEY_B, "b"))
    ]
    return Scrape(render(site.status | {"keys": keys, "production": production.state()}).decode())


def _plan(site: Site, kind: Kind = Kind.PROMOTE) -> Any:  # noqa: ANN401 - a rotation
    return site.journal.plan(
        Request(kind, "eos", "b", "alice"),
        producer="bp1",
        permission="rotate",
        to_key=KEY_B,
        needs_approval=False,
        idempotency_key=None,
        now=site.clock.now,
    )


def test_slots_are_the_followers(site: Site, production: Production) -> None:
    site.watch.show()
    page = _scrape(site, production)
    counts = [
        page.value("signer_slots_total", chain="eos", outcome=each) for each in ("signed", "other", "missed")
    ]
    assert counts == [1, 2, 3]
    assert page.value("signer_certificate_expiry_timestamp_seconds", listener="tcp:[::]:1") == 9
    assert page.values("signer_foreign_blocks_total") == []
    site.watch.authors = {"clone": 2}
    assert _scrape(site, production).value("signer_foreign_blocks_total", chain="eos", author="clone") == 2


def test_the_end_of_each_access_token_that_was_not_revoked(site: Site, production: Production) -> None:
    now = site.clock.now
    for name in ("bob", "carol"):
        site.tokens.create(name, ["view"], now + timedelta(days=9), now)
    site.tokens.create("dora", ["view"], None, now)
    site.tokens.revoke("carol", now)
    name = "signer_access_token_expiry_timestamp_seconds"
    page = _scrape(site, production)
    assert page.value(name, person="bob") == (now + timedelta(days=9)).timestamp()
    assert len(page.values(name)) == 1
    assert production.state()["access_tokens"]["dora"] is None
    site.journal._database._connection.execute("DROP TABLE tokens")  # noqa: SLF001 - a fault from outside
    assert production.state()["access_tokens"] == {}


def test_a_live_rotation_says_since_when_it_is_in_its_state(site: Site, production: Production) -> None:
    rotation = _plan(site)
    name = "signer_rotation_state_timestamp_seconds"
    labels = {"chain": "eos", "node": "b", "kind": "promote"}
    planned = site.clock.now.timestamp()
    assert _scrape(site, production).value(name, **labels, state="planned") == planned
    site.clock.pass_(60)
    now = site.clock.now
    refused = replace(rotation, state=State.REFUSED, state_since=now)
    site.journal.save(refused, Entry(now, Event.REFUSED, State.REFUSED, "signer", "no"))
    page = _scrape(site, production)
    assert page.values(name) == []
    ended = "signer_rotation_ended_timestamp_seconds"
    assert page.value(ended, **labels, state="refused") == planned + 60


def test_the_ring_falls_when_a_key_is_registered(site: Site, production: Production) -> None:
    """The key that the row was seen to name counts as used, also before the first rotation."""
    page = _scrape(site, production)
    assert page.value("signer_ring_keys", node="a", state="unused") == 1
    assert page.value("signer_ring_low_water_keys", node="a") == Rotation().ring_low_water
    site.watch.show()
    site.clock.pass_(30)
    page = _scrape(site, production)
    assert page.value("signer_ring_keys", node="a", state="unused") == 0
    assert page.value("signer_ring_keys", node="a", state="used") == 1
    assert page.value("signer_ring_keys", node="b", state="unused") == 1


def test_a_key_that_does_not_sign_is_unfit(site: Site, production: Production) -> None:
    page = Scrape(render(site.status | {"production": production.state()}).decode())  # no key is active
    assert page.value("signer_ring_keys", node="b", state="unused") == 0
    assert page.value("signer_ring_keys", node="b", state="unfit") == 1


def test_evidence_has_its_age_and_what_was_only_declared_has_none(site: Site, production: Production) -> None:
    at = site.clock.now - timedelta(hours=1)
    site.journal.add_evidence(Evidence("a", EvidenceKind.FILE, KEY_A, at, "pid 1", "alice"))
    page = _scrape(site, production)
    assert page.value("signer_evidence_timestamp_seconds") == at.timestamp()
    assert page.value("signer_evidence_timestamp_seconds", node="a", kind="file", key=str(KEY_A))


def test_what_takes_long_to_read_is_read_now_and_then(
    site: Site, production: Production, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 30 s, and when a rotation changes its state."""
    read: list[str] = []
    uses = site.journal.uses

    def counted(chain: str) -> dict[PublicKey, KeyUse]:
        read.append(chain)
        return uses(chain)

    monkeypatch.setattr(site.journal, "uses", counted)
    for passed, expected in ((0, 1), (29, 1), (1, 2)):
        site.clock.pass_(passed)
        production.state()
        assert read == ["eos"] * expected
    _plan(site)
    production.state()
    assert read == ["eos"] * 3


def test_a_journal_that_fails_costs_its_part_only(site: Site, production: Production) -> None:
    site.watch.show()
    site.journal._database._connection.execute("DROP TABLE evidence")  # noqa: SLF001 - a fault from outside
    page = _scrape(site, production)
    assert page.value("signer_journal_readable") == 0
    assert page.value("signer_slots_total", outcome="signed") == 1
    assert page.values("signer_ring_keys") == []


def test_the_end_of_a_certificate_is_read_from_its_file(tmp_path: Path) -> None:
    certify(tmp_path, "own", days=10)
    config = Config.model_construct(
        listeners=(
            Listener(
                kind="control",
                tcp=TcpAddress("127.0.0.1", 1),
                tls_certificate=tmp_path / "own.pem",
                tls_key=tmp_path / "own.key",
            ),
        )
    )
    begin = os.stat(tmp_path / "own.pem").st_mtime  # noqa: PTH116 - one number
    assert abs(expiries(config)["tcp:127.0.0.1:1"] - begin - 10 * 86400) < 5
    (tmp_path / "own.pem").write_bytes(b"hush")
    assert expiries(config) == {}
