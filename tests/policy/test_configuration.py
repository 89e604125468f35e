"""Policies in the configuration file: what is refused and what the message says, what is unwise, ABI files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from policy.actions import CLAIM, PAY, policy, rule

from signer.config import Config
from signer.config_warnings import warnings
from signer.errors import ConfigError
from signer.policy import policies
from signer.policy.bypass import bypasses

if TYPE_CHECKING:
    from pathlib import Path

    from policy.conftest import Load

R1 = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
CLAIM_ARGUMENTS = 'arguments = { owner = "producer1" }'
PROBE = (
    '[[keys]]\npublic_key = "PUB_R1_5B4YWRuzRL1vhyywAY3BQRRRsA8RkXHVfb11yawNRWYb2fdLj8"\nrole = "probe"\n'
    'token = "primary"\nlabel = "probe"\n'
)
TWIN = (
    '[tokens.second]\nuri = "pkcs11:token=second?module-path=/usr/lib/softhsm/libsofthsm2.so"\npin_file = "p2"\n'
    '[[keys]]\npublic_key = "PUB_R1_5B4YWRuzRL1vhyywAY3BQRRRsA8RkXHVfb11yawNRWYb2fdLj8"\nrole = "account"\n'
    'chain = "eos"\ntoken = "second"\nlabel = "claimer"\n'
)


class Case(NamedTuple):
    """A text that is refused: the key that the message names, and words of it."""

    name: str
    text: str
    key: str
    words: tuple[str, ...]


def _argument(name: str, value: str, key: str, *words: str) -> Case:
    """A claim whose one argument is something else."""
    return Case(
        name, policy(rule("claim", "claimrewards", value)), f"policies[0].rules[0].arguments.{key}", words
    )


CASES = [
    # -- the key
    Case(
        "unknown key",
        policy(CLAIM, key="claimr"),
        "policies[0].key",
        ('did you mean "claimer"', "claimer, idle"),
    ),
    Case("no account key", policy(CLAIM, key="probe") + PROBE, "policies[0].key", ('role "probe"',)),
    Case("key twice", policy(CLAIM) + policy(CLAIM), "policies[1].key", ("policies[0]", "one policy")),
    Case(
        "key by label and by public key",
        policy(CLAIM, key="idle") + policy(CLAIM, key=R1),
        "policies[1].key",
        ("policies[0]",),
    ),
    Case("label of two keys", policy(CLAIM) + TWIN, "policies[0].key", ("several keys", "public key")),
    # -- the policy
    Case("no rules", policy(), "policies[0].rules", ("allows nothing",)),
    Case(
        "unknown setting", policy(CLAIM, more="max_action = 2"), "policies[0].max_action", ('"max_actions"',)
    ),
    Case(
        "no time", policy(CLAIM, more="max_expiration_s = 0"), "policies[0].max_expiration_s", ("1 to 86400",)
    ),
    Case("too many", policy(CLAIM, more="max_actions = 101"), "policies[0].max_actions", ("1 to 100",)),
    # -- the rule
    Case("name twice", policy(CLAIM, CLAIM), "policies[0].rules[1].name", ("rules[0]",)),
    Case(
        "no name",
        policy(CLAIM.replace("[[policies.rules]]\nname", "[[policies.rules]]\nnam")),
        "policies[0].rules[0].nam",
        ('"name"',),
    ),
    Case(
        "unknown contract",
        policy(rule("a", "transfer", "", contract="eosio.tokn")),
        "policies[0].rules[0].contract",
        ('did you mean "eosio.token"', "[[abis]]"),
    ),
    Case(
        "unknown action",
        policy(rule("a", "claimreward", "")),
        "policies[0].rules[0].action",
        ('did you mean "claimrewards"', "unregprod", "[[abis]]"),
    ),
    Case("action with a star", policy(rule("a", "*", "")), "policies[0].rules[0].action", ("right form",)),
    *(
        Case(
            f"authorised by {by}",
            policy(rule("a", "claimrewards", "", by=by)),
            "policies[0].rules[0].authorization",
            ("right form",),
        )
        for by in ("producer1", "producer1@", "@claim", "a@b@c", "Producer1@claim", "a@*", "")
    ),
    # -- the arguments
    _argument("no arguments", "", "owner", "is missing", "anything = true"),
    _argument("unknown argument", 'ownr = "a"', "ownr", 'did you mean "owner"', "are: owner"),
    _argument("no name", "owner = 5", "owner", "a name is wanted"),
    _argument("bad name", 'owner = "UPPER"', "owner", "is no name"),
    _argument("nothing said", "owner = {}", "owner", "no condition"),
    _argument(
        "two conditions",
        'owner = { equal = "a", anything = true }',
        "owner",
        "equal and anything",
        "exactly one",
    ),
    _argument("not anything", "owner = { anything = false }", "owner", "no condition"),
    _argument("one of none", "owner = { one_of = [] }", "owner", "nothing fits"),
    _argument("one of a bad one", 'owner = { one_of = ["a", "B"] }', "owner", "is no name"),
    _argument("unknown condition", 'owner = { equals = "a" }', "owner.equals", 'did you mean "equal"'),
    _argument("bound of a name", 'owner = { at_most = "1.0000 EOS" }', "owner", "assets and integers"),
    Case(
        "bound without decimals",
        policy(PAY.replace("10.0000 EOS", "10. EOS")),
        "policies[0].rules[0].arguments.quantity",
        ("1.0000 EOS",),
    ),
    Case(
        "bound below zero",
        policy(PAY.replace("10.0000 EOS", "-1.0000 EOS")),
        "policies[0].rules[0].arguments.quantity",
        ("below zero",),
    ),
    Case(
        "a fraction",
        policy(CLAIM.replace('"producer1" }', "1.5 }")),
        "policies[0].rules[0].arguments.owner",
        ("a name is wanted",),
    ),
    # -- ABIs
    Case(
        "contract twice",
        policy(CLAIM) + '[[abis]]\naccount = "a"\nfile = "a"\n' * 2,
        "abis[1].account",
        ("abis[0]",),
    ),
    Case("no account", policy(CLAIM) + '[[abis]]\nfile = "a"\n', "abis[0].account", ("is missing",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_rule_is_told_with_its_key(load: Load, case: Case) -> None:
    with pytest.raises(ConfigError) as error:
        load(case.text)

    told = [line for line in str(error.value).splitlines() if f": {case.key}: " in line]
    assert told, error.value
    (line,) = told
    assert [word for word in case.words if word not in line] == []


def test_a_policy_survives_the_way_to_another_process(load: Load) -> None:
    """As the supervisor hands the configuration to the signing process."""
    config = load(policy(CLAIM, PAY))

    again = Config.model_validate_json(config.model_dump_json())

    assert again == config
    assert policies.load(again).by_key == policies.load(config).by_key


# -- ABI files -------------------------------------------------------------------------------------------------

OWN = '[[abis]]\naccount = "poll"\nfile = "poll.abi"\n'
VOTE = rule("vote", "vote", 'who = "a"', contract="poll", by="a@vote")


def _abi(kind: str, **more: object) -> str:
    struct = {"name": "vote", "base": "", "fields": [{"name": "who", "type": kind}]}
    actions = [{"name": "vote", "type": "vote"}]
    return json.dumps({"version": "eosio::abi/1.1", "structs": [struct], "actions": actions, **more})


#: The rule and the ABI file; words of the message.
FILES = {
    "absent": (VOTE, None, ("abis[0].file", "No such file", "cleos get abi poll")),
    "no JSON": (VOTE, "{", ("abis[0].file", "is not JSON")),
    "no ABI": (VOTE, "{}", ("abis[0].file", "'version'")),
    "another version": (VOTE, _abi("name").replace("/1.1", "/2.0"), ("eosio::abi/1.x",)),
    "undefined type": (VOTE, _abi("nosuch"), ("nosuch is not defined",)),
    "too large": (VOTE, " " * (4 * 1024 * 1024 + 1), ("larger than",)),
    "a float": (VOTE, _abi("float64"), ("policies[0].rules[0].action", "has float64 in it")),
    "no struct": (
        VOTE,
        _abi("name", actions=[{"name": "vote", "type": "name"}]),
        ("rules[0].action", "is no struct"),
    ),
    "no such action": (
        VOTE.replace('"vote"\nauth', '"vot"\nauth'),
        _abi("name"),
        ("rules[0].action", "the ABI has vote"),
    ),
    "no such argument": (
        VOTE.replace("who", "whom"),
        _abi("name"),
        ("arguments.whom", "its arguments are who"),
    ),
    "no argument": (VOTE.replace('who = "a"', ""), _abi("name"), ("arguments.who: is missing",)),
    "another type": (VOTE, _abi("uint8"), ("arguments.who: an integer is wanted",)),
}


@pytest.mark.parametrize("case", FILES)
def test_a_rule_fits_the_abi_in_the_file(load: Load, tmp_path: Path, case: str) -> None:
    made, text, words = FILES[case]
    if text is not None:
        (tmp_path / "poll.abi").write_text(text)
    config = load(policy(made) + OWN)

    with pytest.raises(ConfigError) as error:
        policies.load(config)

    assert [word for word in words if word not in str(error.value)] == []


# -- what is unwise --------------------------------------------------------------------------------------------

REGISTER = rule(
    "register",
    "regproducer",
    "producer = { anything = true }, producer_key = { anything = true }, url = { anything = true }, "
    "location = { anything = true }",
    by="producer1@active",
)
LINK = rule(
    "link",
    "linkauth",
    "account = { anything = true }, code = { anything = true }, type = { anything = true }, "
    "requirement = { anything = true }",
    by="producer1@active",
)
ELSEWHERE = LINK.replace("producer1@", "alice@")


def test_a_way_past_the_rotation_is_told(load: Load) -> None:
    """Who signs blocks, and who may change that, for the producer's account; not for another's."""
    config = load(policy(CLAIM, REGISTER, LINK, ELSEWHERE.replace('"link"', '"other"')))

    found = list(bypasses(config))

    assert [each.at for each in found] == ["policies[0].rules[1]", "policies[0].rules[2]"]
    assert {(each.key, each.chain) for each in found} == {("claimer", "eos")}
    told = [line for line in warnings(config) if line.startswith("policies[0].rules[")]
    assert len(told) == 2
    assert all("no preflight, no approval" in line and "claimer" in line for line in told)


def test_a_claim_key_is_no_way_past_the_rotation(load: Load) -> None:
    assert not list(bypasses(load(policy(CLAIM, PAY))))


def test_an_account_key_without_a_policy_is_told(load: Load) -> None:
    told = [line for line in warnings(load(policy(CLAIM))) if line.startswith("keys[")]

    assert told == [
        "keys[1]: no policy allows this account key anything, so it signs nothing; add [[policies]]"
    ]
