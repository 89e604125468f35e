"""The access tokens of the control API: whose ends soon, or never."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from doctor.verdicts import verdicts

from signer.cli import _parser as signer_parser
from signer.doctor import access

_NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _in(days: float) -> float:
    return (_NOW + timedelta(days=days)).timestamp()


def test_tokens_that_last_are_well() -> None:
    """None at all too: nobody may use the control API then."""
    for tokens in ({}, {"alice": _in(15), "bob": _in(90)}):
        assert verdicts(access.check(tokens, _NOW)) == {("access", ""): "ok"}


def test_who_needs_another_one_is_named() -> None:
    found = list(access.check({"alice": _in(13), "bob": None, "carol": _in(-1), "dave": _in(90)}, _NOW))

    assert verdicts(found) == {("access", name): "warning" for name in ("alice", "bob", "carol")}
    assert [each.text for each in found] == [
        "this access token ends on 2026-01-15",
        "this access token never ends",
        "this access token ended on 2026-01-01",
    ]


def test_the_remedy_can_be_typed() -> None:
    remedy = next(access.check({"alice": _in(13)}, _NOW)).remedy
    commands = [each.partition(" (")[0].split()[1:] for each in remedy.partition(";")[0].split(", ")]
    assert [words[:2] for words in commands] == [["token", "list"], ["token", "revoke"], ["token", "create"]]
    for words in commands:
        signer_parser().parse_args(words)


def test_a_trial_keeps_its_own() -> None:
    assert "deploy/quickstart" in next(access.check({"quickstart": None}, _NOW)).remedy
