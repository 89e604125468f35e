"""Tokens, PIN sources and keys: every verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doctor.verdicts import only, verdicts
from rig import two_nodes

from signer.doctor import keys, pins, tokens
from signer.doctor.facts import FileFact, Site, TokenFact

CONFIG = two_nodes.config()
SOFTWARE = CONFIG.model_copy(
    update={
        "tokens": {name: each.model_copy(update={"software": True}) for name, each in CONFIG.tokens.items()}
    }
)
LANES = [{"id": 1, "pid": 1, "state": "idle"}, {"id": 2, "pid": 2, "state": "busy"}]
OPEN = {name: {"state": "logged-in", "reason": "", "lanes": LANES} for name in CONFIG.tokens}
HERE = TokenFact("SoftHSM 2.6", (), "")
SITE = Site(1000, "signer", production=False)


def _tokens(block: dict[str, Any], fact: TokenFact | None = None) -> Any:  # noqa: ANN401 - a finding
    states = OPEN | {"block": OPEN["block"] | block}
    seen = {} if fact is None else {"block": fact}
    return only(
        [each for each in tokens.check(CONFIG, states, seen, production=False) if each.subject == "block"],
        "token",
    )


def test_open_tokens_are_ok() -> None:
    assert verdicts(tokens.check(CONFIG, OPEN, {}, production=True)) == {
        ("token", "block"): "ok",
        ("token", "control"): "ok",
    }


@pytest.mark.parametrize(
    ("changed", "verdict", "word", "remedy"),
    [
        ({"lanes": LANES[:1]}, "warning", "1 of 2 lanes", "A lane restarts"),
        ({"lanes": []}, "failure", "0 of 2 lanes", "A lane restarts"),
        ({"lanes": [{"state": "starting"}] * 2}, "failure", "0 of 2", "A lane restarts"),
        (
            {"lanes": [], "reason": "the signing process does not answer"},
            "failure",
            "0 of 2 lanes alive: the signing process does not answer",
            "The signing process restarts",
        ),
        ({"state": "starting"}, "failure", "being opened", "look again"),
        (
            {"state": "away", "reason": "CKR_DEVICE_REMOVED"},
            "failure",
            "away: CKR_DEVICE_REMOVED",
            "Token away",
        ),
        ({"state": "pin-refused", "reason": "wrong"}, "failure", "pin-refused", "signer token retry block"),
        ({"state": "pin-unreadable", "reason": "mode"}, "failure", "mode", "PIN refused"),
        ({"state": "locked", "reason": "unlock it"}, "failure", "locked", "wallet unlock -n block"),
        ({"state": "closed", "reason": "no process"}, "failure", "no process", "control process"),
    ],
)
def test_a_token_that_is_not_open(changed: dict[str, Any], verdict: str, word: str, remedy: str) -> None:
    found = _tokens(changed)

    assert found.verdict.value == verdict
    assert word in found.text
    assert remedy in found.remedy


def test_the_control_token_without_its_process_is_no_failure() -> None:
    """It is so for a second after each reload."""
    for state in ("closed", "starting", "logged-in"):
        states = OPEN | {"control": {"state": state, "reason": "", "lanes": []}}

        assert verdicts(tokens.check(CONFIG, states, {}, production=False))["token", "control"] == "warning"


def test_what_the_module_says_is_added_to_what_the_signer_says() -> None:
    away = {"state": "away", "reason": "CKR_GENERAL_ERROR"}

    assert "without a PIN: no slot" in _tokens(away, TokenFact("", (), "no slot")).text
    assert "without a PIN" not in _tokens(away, TokenFact("", (), "CKR_GENERAL_ERROR")).text


def test_a_token_that_the_running_signer_does_not_have() -> None:
    found = [each for each in tokens.check(CONFIG, {}, {}, production=False) if each.check == "token"]

    assert {(each.verdict.value, each.remedy) for each in found} == {("failure", "signer reload")}


def test_a_token_while_the_signer_is_down() -> None:
    seen = {"block": HERE, "control": TokenFact("", (), "no slot has it")}

    assert verdicts(tokens.check(CONFIG, None, seen, production=False)) == {
        ("token", "block"): "ok",
        ("token", "control"): "failure",
    }
    assert set(verdicts(tokens.check(CONFIG, None, {}, production=False)).values()) == {"unknown"}


@pytest.mark.parametrize(
    ("flag", "verdict"),
    [
        ("CKF_USER_PIN_COUNT_LOW", "warning"),
        ("CKF_USER_PIN_FINAL_TRY", "failure"),
        ("CKF_USER_PIN_LOCKED", "failure"),
    ],
)
def test_wrong_pins_that_the_token_tells_of(flag: str, verdict: str) -> None:
    found = verdicts(tokens.check(CONFIG, OPEN, {"block": replace(HERE, flags=(flag,))}, production=False))

    assert found["pin-tries", "block"] == verdict


@pytest.mark.parametrize(("production", "verdict"), [(False, "warning"), (True, "failure")])
def test_what_will_do_for_a_trial(production: bool, verdict: str) -> None:  # noqa: FBT001
    shared = SOFTWARE.model_copy(update={"allow_shared_token": True})

    found = verdicts(tokens.check(shared, OPEN, {}, production=production))

    assert {found["software", "block"], found["software", "control"], found["shared", ""]} == {verdict}


# -- PIN sources ------------------------------------------------------------------------------------------

PIN = FileFact(Path("/srv/signer/block.pin"), "file", 0o400, 1000, "signer", 0o700)


@pytest.mark.parametrize(
    ("fact", "site", "verdict", "word"),
    [
        (PIN, SITE, "ok", "mode 0400"),
        (replace(PIN, mode=0o644), SITE, "failure", "chmod 0400 /srv/signer/block.pin"),
        (replace(PIN, mode=0o440), SITE, "failure", "chmod 0400"),
        (replace(PIN, uid=0, owner="root"), SITE, "failure", "chown signer"),
        (replace(PIN, uid=1001, owner="eve"), SITE, "failure", "chown signer"),
        (replace(PIN, folder_mode=0o777), SITE, "failure", "chmod go-w /srv/signer"),
        (replace(PIN, folder_mode=0o1777), SITE, "ok", "mode 0400"),
        (replace(PIN, kind="symbolic link"), SITE, "failure", "put the PIN file itself there"),
        (replace(PIN, problem="No such file or directory"), SITE, "failure", "put the PIN there"),
        (PIN, Site(None, "", production=False), "unknown", "start the signer"),
    ],
)
def test_a_pin_file(fact: FileFact, site: Site, verdict: str, word: str) -> None:
    """That the signer cannot read it, or others can."""
    found = [
        each for each in pins.check(CONFIG, {"block": fact, "control": PIN}, site) if each.subject == "block"
    ]

    assert [each.verdict.value for each in found] == [verdict]
    assert word in found[0].remedy + found[0].text


def test_other_pin_sources_are_ok() -> None:
    changed = {
        "block": CONFIG.tokens["block"].model_copy(update={"pin_file": None, "pin_credential": "block-pin"}),
        "control": CONFIG.tokens["control"].model_copy(update={"pin_file": None, "pin_prompt": True}),
    }

    found = list(pins.check(CONFIG.model_copy(update={"tokens": changed}), {}, SITE))

    assert set(verdicts(found).values()) == {"ok"}
    assert "block-pin" in found[0].text


# -- keys -------------------------------------------------------------------------------------------------


def _key(label: str, **changed: str) -> dict[str, Any]:
    return {
        "public_key": f"PUB_{label}",
        "label": label,
        "curve": "R1",
        "role": "block",
        "node": "a",
        "token": "block",
        "state": "active",
        "reason": "",
    } | changed


STATUS = [
    _key("a1", curve="K1"),
    _key("a2"),
    _key("b1", node="b"),
    _key("r", role="rotation", node="", token="control"),
]


def test_active_keys_are_a_line_for_each_node_and_role() -> None:
    assert verdicts(keys.check(CONFIG, STATUS, production=True)) == {
        ("keys", "a"): "ok",
        ("keys", "b"): "ok",
        ("keys", "rotation"): "ok",
        ("nonces", "block"): "ok",
    }


@pytest.mark.parametrize(
    ("changed", "verdict", "remedy"),
    [
        ({"state": "quarantined", "reason": "it is extractable"}, "failure", "Key quarantined"),
        ({"state": "frozen", "reason": "drill"}, "failure", "line of the freeze"),
        ({"state": "unavailable", "reason": "token block is away: x"}, "failure", "line of token block"),
        ({"state": "unavailable", "reason": "odd"}, "failure", "line of token block"),
        ({"state": "quarantined", "reason": "x", "role": "probe"}, "failure", "Key quarantined"),
        ({"state": "unavailable", "reason": "x", "role": "rotation"}, "warning", "line of token block"),
    ],
)
def test_a_key_that_does_not_sign(changed: dict[str, str], verdict: str, remedy: str) -> None:
    found = [
        each
        for each in keys.check(CONFIG, [*STATUS, _key("bad", **changed)], production=False)
        if each.subject == "bad"
    ]

    assert [each.verdict.value for each in found] == [verdict]
    assert remedy in found[0].remedy


def test_keys_with_one_reason_are_one_line() -> None:
    away = [_key(name, state="unavailable", reason="token block is away: x") for name in ("p", "q")]

    assert verdicts(keys.check(CONFIG, away, production=False))["keys", "p, q"] == "failure"


def test_a_token_with_deterministic_nonces() -> None:
    reason = "its token makes deterministic signatures (the same digest gave the same signature twice)"
    k1 = _key("a1", curve="K1", state="quarantined", reason=reason)

    assert verdicts(keys.check(CONFIG, [k1], production=False))["nonces", "block"] == "failure"


@pytest.mark.parametrize(("production", "verdict"), [(False, "warning"), (True, "failure")])
def test_a_node_with_one_key(production: bool, verdict: str) -> None:  # noqa: FBT001
    kept = tuple(key for key in CONFIG.keys if key.node != "a" or key.public_key == two_nodes.A[0])
    config = CONFIG.model_copy(update={"keys": kept})

    found = only(keys.check(config, STATUS, production=production), "spare-key")

    assert (found.subject, found.verdict.value) == ("a", verdict)
    assert "signer keys generate --token block --node a" in found.remedy
