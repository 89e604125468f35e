"""What an account key may sign: what a rule says in full, and nothing else. A refusal names key, rule and argument."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy.actions import (
    CHAIN,
    CLAIM,
    KEYS,
    NOW,
    PAY,
    action,
    claim,
    policy,
    rule,
    transaction,
    transfer,
)

from signer import config_file
from signer.antelope.keys import PublicKey
from signer.antelope.name import encode_name
from signer.policy import policies
from signer.policy.decision import decide, deciding

if TYPE_CHECKING:
    from pathlib import Path

    from policy.conftest import Judge, Load

CLAIMER = "EOS5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1ZeXbgf"
R1 = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"


def test_the_everyday_claim_is_allowed(judge: Judge) -> None:
    decision = judge(policy(CLAIM), claim())

    assert decision.allowed
    assert decision.rule == "claim"
    assert decision.verdicts[0].arguments == {"owner": "producer1"}
    assert "claimer" in decision.text
    assert CLAIMER in decision.text


def test_a_key_without_a_policy_signs_nothing(judge: Judge) -> None:
    decision = judge(policy(CLAIM), claim(), key="idle")

    assert (decision.allowed, decision.rule) == (False, "no-policy")
    assert R1 in decision.text


#: What the transaction is but for the everyday claim; the rule that refuses; words of the text.
GENERAL: dict[str, tuple[dict[str, Any], str, str]] = {
    "delayed": ({"delay_sec": 1}, "delay", "delay_sec is 1"),
    "context free action": ({"context_free_actions": (claim(),)}, "context-free", "force-unique"),
    "context free data": ({"context_free_data": (b"",)}, "context-free", "context free"),
    "extension": ({"extensions": ((0, b""),)}, "extension", "extension"),
    "no actions": ({"actions": ()}, "no-actions", "no actions"),
    "expired": ({"expiration": NOW}, "expired", "0 s ago"),
    "expired long ago": ({"expiration": NOW - timedelta(hours=1)}, "expired", "3600 s ago"),
    "expires late": ({"expiration": NOW + timedelta(seconds=121)}, "expiration", "in 121 s"),
    "two actions": ({"actions": (claim(), claim())}, "actions", "2 actions, and max_actions is 1"),
    "another chain": ({"chain": b"\x22" * 32}, "chain", "22222222"),
}


@pytest.mark.parametrize("case", GENERAL)
def test_what_is_refused_whatever_the_action_is(judge: Judge, case: str) -> None:
    fields, refused_by, words = GENERAL[case]

    decision = judge(policy(CLAIM), claim(), **fields)

    assert (decision.allowed, decision.rule) == (False, refused_by)
    assert words in decision.text
    assert "claimer" in decision.text


@pytest.mark.parametrize("seconds", [1, 120])
def test_up_to_the_maximum_it_may_expire(judge: Judge, seconds: int) -> None:
    assert judge(policy(CLAIM), claim(), expiration=NOW + timedelta(seconds=seconds)).allowed


def test_its_own_limits_of_net_and_cpu_are_free(judge: Judge) -> None:
    fields = {"max_net_usage_words": 5, "max_cpu_usage_ms": 6, "ref_block_num": 7, "ref_block_prefix": 8}

    assert judge(policy(CLAIM), claim(), **fields).allowed


#: An action that is not the everyday claim; the stable name of what refuses; words of the text.
OTHER_ACTIONS = {
    "another owner": (claim("producer2"), "argument", 'rule "claim": owner is producer2, not producer1'),
    "another actor": (claim("producer1", "bob@claim"), "argument", "authorised by bob@claim, not by"),
    "another permission": (claim("producer1", "producer1@active"), "argument", "producer1@active"),
    "a second permission": (claim("producer1", "producer1@claim", "bob@active"), "argument", "alone"),
    "twice the permission": (claim("producer1", "producer1@claim", "producer1@claim"), "argument", "alone"),
    "no permission": (action("eosio", "claimrewards", {"owner": "producer1"}), "argument", "nobody"),
    "another action": (
        action("eosio", "unregprod", {"producer": "producer1"}, "producer1@claim"),
        "no-rule",
        "unregprod",
    ),
    "another contract": (
        action("evil", "claimrewards", b"\0" * 8, "producer1@claim"),
        "no-rule",
        "evil::claimrewards",
    ),
    "more bytes": (
        action("eosio", "claimrewards", b"\0" * 9, "producer1@claim"),
        "unreadable-action",
        "too many",
    ),
    "fewer bytes": (
        action("eosio", "claimrewards", b"\0" * 7, "producer1@claim"),
        "unreadable-action",
        "owner: cut off",
    ),
    "an unknown action": (action("eosio", "nosuch", b"", "producer1@claim"), "no-rule", "eosio::nosuch"),
}


@pytest.mark.parametrize("case", OTHER_ACTIONS)
def test_every_other_action_is_refused(judge: Judge, case: str) -> None:
    made, refused_by, words = OTHER_ACTIONS[case]

    decision = judge(policy(CLAIM), made)

    assert (decision.allowed, decision.rule) == (False, refused_by)
    assert words in decision.text
    assert "action 1" in decision.text


def test_one_bad_action_among_good_ones_refuses_all(judge: Judge) -> None:
    decision = judge(policy(CLAIM, more="max_actions = 3"), claim(), claim("producer2"), claim())

    assert not decision.allowed
    assert "action 2, eosio::claimrewards" in decision.text
    assert [verdict.rule for verdict in decision.verdicts] == ["claim", "", "claim"]


def test_actions_by_several_rules_are_allowed_together(judge: Judge) -> None:
    decision = judge(policy(CLAIM, PAY, more="max_actions = 3"), claim(), transfer("1.0000 EOS"), claim())

    assert (decision.allowed, decision.rule) == (True, "claim,pay")


# -- arguments -------------------------------------------------------------------------------------------------


#: Transfers, and why the rule `pay` refuses them; nothing where it does not.
TRANSFERS = {
    "the most": ((transfer("10.0000 EOS"),), ""),
    "to the other": ((transfer("0.0001 EOS", to="carol", memo="thank you"),), ""),
    "nothing": ((transfer("0.0000 EOS"),), ""),
    "too much": ((transfer("10.0001 EOS"),), "quantity is 10.0001 EOS, more than 10.0000 EOS"),
    "to somebody": ((transfer("1.0000 EOS", to="dave"),), "to is dave, not bob or carol"),
    "from somebody": ((transfer("1.0000 EOS", sender="bob"),), "from is bob, not producer1"),
    "another token": ((transfer("1.0000 WAX"),), "quantity is 1.0000 WAX, not in 4,EOS"),
    "another precision": ((transfer("1.00000000 EOS"),), "not in 4,EOS"),
    "below zero": ((transfer("-1.0000 EOS"),), "below zero"),
    "in three parts": ((transfer("4.0000 EOS"), transfer("4.0000 EOS"), transfer("2.0000 EOS")), ""),
    "too much in parts": (
        (transfer("4.0000 EOS"), transfer("4.0000 EOS"), transfer("2.0001 EOS")),
        'action 3, eosio.token::transfer: rule "pay": quantity is 2.0001 EOS, with the actions before it, more than',
    ),
    "room made by less than nothing": ((transfer("-5.0000 EOS"), transfer("15.0000 EOS")), "below zero"),
}


@pytest.mark.parametrize("case", TRANSFERS)
def test_a_transfer_is_as_its_rule_says(judge: Judge, case: str) -> None:
    made, words = TRANSFERS[case]

    decision = judge(policy(PAY, more="max_actions = 5"), *made)

    assert decision.allowed is not bool(words)
    assert words in decision.text


def test_a_refused_action_takes_nothing_of_a_bound(judge: Judge) -> None:
    """What was refused will not be done, and the reasons for the others stay right."""
    made = (transfer("9.0000 EOS", to="dave"), transfer("9.0000 EOS"))

    decision = judge(policy(PAY, more="max_actions = 5"), *made)

    assert [verdict.rule for verdict in decision.verdicts] == ["", "pay"]


def test_a_second_rule_has_a_bound_of_its_own(judge: Judge) -> None:
    second = PAY.replace('"pay"', '"tips"').replace("10.0000", "1.0000")

    decision = judge(
        policy(PAY, second, more="max_actions = 5"), transfer("10.0000 EOS"), transfer("1.0000 EOS")
    )

    assert (decision.allowed, decision.rule) == (True, "pay,tips")


def test_every_rule_that_could_fit_says_why_it_does_not(judge: Judge) -> None:
    second = CLAIM.replace('"claim"', '"other"').replace('owner = "producer1"', 'owner = "producer2"')

    decision = judge(policy(CLAIM, second), claim("producer3"))

    assert 'rule "claim": owner is producer3, not producer1' in decision.text
    assert 'rule "other": owner is producer3, not producer2' in decision.text


AUTHORITY = {"threshold": 1, "keys": [{"key": CLAIMER, "weight": 1}], "accounts": [], "waits": []}
AUTHORITY_TOML = (
    '{ equal = { threshold = "1", keys = [{ key = "PUB_K1_5K68vEeBKvkBYCnWoeSPoDxWpyoxj2JEFMgnQtswrGQ1a4bJPT", '
    "weight = 1 }], accounts = [], waits = [] } }"
)
UPDATE = rule(
    "update",
    "updateauth",
    f'account = "alice", permission = "claim", parent = "active", auth = {AUTHORITY_TOML}',
    by="alice@active",
)


def update(**fields: object) -> dict[str, object]:
    """The arguments of an updateauth."""
    return {"account": "alice", "permission": "claim", "parent": "active", "auth": AUTHORITY, **fields}


def test_values_are_compared_as_the_chain_sees_them(judge: Judge) -> None:
    """A structure, a key in another form, a number as text."""
    made = action("eosio", "updateauth", update(), "alice@active")
    other = action("eosio", "updateauth", update(auth=AUTHORITY | {"threshold": 2}), "alice@active")

    assert judge(policy(UPDATE), made).allowed
    assert "auth is " in judge(policy(UPDATE), other).text


def test_an_argument_that_may_be_missing_is_not_free(judge: Judge) -> None:
    """A newer contract's last argument, of which the rule says nothing."""
    given = action("eosio", "updateauth", update(authorized_by="owner"), "alice@active")
    named = UPDATE.replace("arguments = { ", 'arguments = { authorized_by = "owner", ')
    absent = action("eosio", "updateauth", update(), "alice@active")
    free = UPDATE.replace("arguments = { ", "arguments = { authorized_by = { anything = true }, ")

    assert "authorized_by is given, and the rule says nothing of it" in judge(policy(UPDATE), given).text
    assert judge(policy(named), given).allowed
    assert "authorized_by is missing, not owner" in judge(policy(named), absent).text
    assert judge(policy(free), given).allowed
    assert judge(policy(free), absent).allowed


@pytest.mark.parametrize(
    ("condition", "producers", "allowed"),
    [
        ('["a", "b"]', ["a", "b"], True),
        ('["a", "b"]', ["a"], False),
        ('["a", "b"]', ["b", "a"], False),
        ("[]", [], True),
        ('{ one_of = [["a"], ["b"]] }', ["b"], True),
        ("{ anything = true }", ["a", "z"], True),
    ],
)
def test_a_list_is_compared_as_a_whole(
    judge: Judge, condition: str, producers: list[str], *, allowed: bool
) -> None:
    vote = rule("vote", "voteproducer", f'voter = "a", proxy = "", producers = {condition}', by="a@vote")
    made = action("eosio", "voteproducer", {"voter": "a", "proxy": "", "producers": producers}, "a@vote")

    assert judge(policy(vote), made).allowed is allowed


@pytest.mark.parametrize(("location", "allowed"), [(0, True), (7, True), (8, False)])
def test_a_number_has_a_bound_too(judge: Judge, location: int, *, allowed: bool) -> None:
    register = rule(
        "register",
        "regproducer",
        f'producer = "a", producer_key = "{R1}", url = "", location = {{ at_most = 7 }}',
        by="a@x",
    )
    fields = {"producer": "a", "producer_key": R1, "url": "", "location": location}

    decision = judge(policy(register), action("eosio", "regproducer", fields, "a@x"))

    assert decision.allowed is allowed


def test_a_refusal_quotes_little_and_nothing_that_steers_a_terminal(judge: Judge) -> None:
    memo = "\x1b[2J\u202e" + "x" * 256
    strict = PAY.replace("memo = { anything = true }", 'memo = "rent"')

    decision = judge(policy(strict), transfer("1.0000 EOS", memo=memo))

    assert not decision.allowed
    assert decision.text.isascii()
    assert decision.text.isprintable()
    assert len(decision.text) < 500


def test_a_refusal_of_much_is_short(judge: Judge) -> None:
    """For cleos prints it on one line, and the log has it."""
    many = [claim("producer2", *["producer1@claim"] * 50) for _ in range(100)]

    decision = judge(policy(CLAIM, more="max_actions = 100"), *many)

    assert decision.text.endswith("and 95 more")
    assert len(decision.text) < 2000
    assert len(decision.verdicts) == 100


# -- ABIs of the configuration ---------------------------------------------------------------------------------

OWN_ABI = {
    "version": "eosio::abi/1.1",
    "structs": [
        {
            "name": "vote",
            "base": "",
            "fields": [{"name": "who", "type": "name"}, {"name": "for", "type": "uint64"}],
        },
        {"name": "rate", "base": "", "fields": [{"name": "value", "type": "float64"}]},
        {"name": "claimrewards", "base": "", "fields": [{"name": "anything", "type": "bytes"}]},
    ],
    "actions": [{"name": name, "type": name} for name in ("vote", "rate", "claimrewards")],
}
OWN = '[[abis]]\naccount = "poll"\nfile = "poll.abi"\n'
VOTE = rule("vote", "vote", 'who = "a", for = "5"', contract="poll", by="a@vote")


@pytest.fixture
def own_abi(tmp_path: Path) -> None:
    """The file that OWN names."""
    (tmp_path / "poll.abi").write_text(json.dumps(OWN_ABI))


@pytest.mark.usefixtures("own_abi")
def test_an_action_of_a_configured_abi_is_allowed_by_its_name(judge: Judge) -> None:
    data = encode_name("a").to_bytes(8, "little") + (5).to_bytes(8, "little")
    other = data[:8] + (6).to_bytes(8, "little")

    assert judge(policy(VOTE) + OWN, action("poll", "vote", data, "a@vote")).rule == "vote"
    assert "for is 6, not 5" in judge(policy(VOTE) + OWN, action("poll", "vote", other, "a@vote")).text
    assert judge(policy(CLAIM) + OWN, action("poll", "vote", data, "producer1@claim")).rule == "no-rule"


@pytest.mark.usefixtures("own_abi")
def test_a_configured_abi_does_not_replace_a_builtin_one(judge: Judge) -> None:
    own = OWN.replace('"poll"', '"eosio"')

    assert judge(policy(CLAIM) + own, claim()).allowed


# -- laws ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> policies.Policies:
    """The policy of a claim key."""
    path = tmp_path_factory.mktemp("c") / "signer.toml"
    return policies.load(config_file.parse((KEYS + policy(CLAIM)).encode(), path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=20), account=st.sampled_from(["eosio", "eosio.token", "a"]))
def test_nothing_but_the_one_claim_is_ever_allowed(
    everyday: policies.Policies, data: bytes, account: str
) -> None:
    """Of any data, exactly one value is the claim of producer1."""
    one = claim()
    made = action(account, "claimrewards", data, "producer1@claim")

    decision = decide(transaction(made), CHAIN, PublicKey.parse(CLAIMER), everyday, NOW)

    assert decision.allowed is (made == one)
    assert decide(transaction(one), CHAIN, PublicKey.parse(CLAIMER), everyday, NOW).allowed


@pytest.mark.parametrize(("count", "pauses"), [(0, 0), (1, 1), (4, 3)])
def test_a_decision_pauses_after_each_action(load: Load, count: int, pauses: int) -> None:
    """Of those that are looked at."""
    three = policies.load(load(policy(CLAIM, more="max_actions = 3")))
    asked = (transaction(*[claim()] * count), CHAIN, PublicKey.parse(CLAIMER), three, NOW)

    assert [*deciding(*asked)] == [*[None] * pauses, decide(*asked)]
