"""The lines that make the permission, and one test for each thing that an account may have wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rig import two_nodes

from signer.antelope.keys import Curve
from signer.antelope.name import Name
from signer.chain.values import (
    Account,
    Authorized,
    LinkedAction,
    Permission,
    Resource,
    Wait,
    WeightedKey,
    WeightedPermission,
)
from signer.errors import ConfigError
from signer.rotation.permission import ACTIONS, Verdict, commands, signers, too_few, unusable, verify

if TYPE_CHECKING:
    from signer.antelope.keys import PublicKey
    from signer.rotation.permission import Check

CHAIN = two_nodes.config().chains["local"]
OWN, OTHER = two_nodes.ROTATION, two_nodes.OTHER_ROTATION
COLD = two_nodes.public_key(31)
BLOCK_KEYS = dict.fromkeys(two_nodes.A, "a") | dict.fromkeys(two_nodes.B, "b")
PRODUCER, ROTATE, ACTIVE, OWNER, EOSIO = map(Name, ("bravo", "rotate", "active", "owner", "eosio"))
LINKS = tuple(LinkedAction(EOSIO, Name(action)) for action in ACTIONS)


def authority(name: Name, parent: Name | None, *keys: PublicKey, **changed: Any) -> Permission:  # noqa: ANN401 - any field
    there = Permission(name, parent, 1, tuple(WeightedKey(key, 1) for key in keys), (), (), (), ())
    return replace(there, **changed)


def account(*further: Permission, any_links: tuple[LinkedAction, ...] | None = (), **changed: Any) -> Account:  # noqa: ANN401 - any field of the permission
    """The producer's account as the commands make it, with changes to the permission, and further permissions."""
    permissions = (
        authority(OWNER, None, COLD),
        authority(ACTIVE, OWNER, COLD),
        replace(authority(ROTATE, ACTIVE, *sorted((OWN, OTHER)), linked_actions=LINKS), **changed),
        *further,
    )
    limit = Resource(0, 1000, 1000)
    return Account(PRODUCER, permissions, any_links, limit, limit, 100, 1000, privileged=False)


def verified(
    there: Account | None, authorized: list[Authorized] | None = None, own: tuple[PublicKey, ...] = (OWN,)
) -> dict[str, Check]:
    checks = verify(there, authorized or [], chain=CHAIN, own=own, block_keys=BLOCK_KEYS)
    found = {check.name: check for check in checks}
    assert len(found) == len(checks)
    for check in checks:
        assert check.text
        assert bool(check.remedy) == (check.verdict is not Verdict.OK)
    return found


def the_fault(found: dict[str, Check], name: str, verdict: Verdict = Verdict.FAILURE) -> Check:
    """The only check that is not ok."""
    assert {each.name for each in found.values() if each.verdict is not Verdict.OK} == {name}
    assert found[name].verdict is verdict
    return found[name]


# -- commands ---------------------------------------------------------------------------------------------


def test_the_commands_make_the_permission_and_link_its_actions() -> None:
    made = commands(CHAIN, [OWN])

    text = made[0].pop(5)
    assert made == [
        ["set", "account", "permission", "bravo", "rotate", "active", "-p", "bravo@active"],
        *(
            ["set", "action", "permission", "bravo", "eosio", action, "rotate", "-p", "bravo@active"]
            for action in ("regproducer", "regproducer2", "unregprod", "actfinkey")
        ),
    ]
    keys = sorted([OWN, OTHER])
    assert json.loads(text) == {
        "threshold": 1,
        "keys": [{"key": str(key), "weight": 1} for key in keys],
        "accounts": [],
        "waits": [],
    }
    assert " " not in text


def test_keys_are_in_the_order_that_nodeos_asks_for_and_named_once() -> None:
    k1 = two_nodes.public_key(41, Curve.K1)

    made = json.loads(commands(CHAIN, [OTHER, OWN, k1])[0][5])

    # K1 before R1, then by their bytes; fc prints K1 as EOS.
    assert [each["key"] for each in made["keys"]] == [k1.legacy, *map(str, sorted((OWN, OTHER)))]


def test_other_actions_can_be_asked_for() -> None:
    assert [line[5] for line in commands(CHAIN, [OWN], ["regproducer"])[1:]] == ["regproducer"]


def test_one_key_comes_with_a_warning_and_two_without() -> None:
    alone = CHAIN.model_copy(update={"other_rotation_keys": ()})

    assert "only the owner's cold keys" in too_few(alone, [OWN])
    assert too_few(CHAIN, [OWN]) == ""


def test_without_a_producer_or_a_key_there_are_no_commands() -> None:
    with pytest.raises(ConfigError, match="no producer"):
        commands(CHAIN.model_copy(update={"producer": None}), [OWN])
    with pytest.raises(ConfigError, match="no rotation key"):
        commands(CHAIN.model_copy(update={"other_rotation_keys": ()}), [])


# -- verify -----------------------------------------------------------------------------------------------


def test_an_account_as_the_commands_make_it_is_in_order_and_the_limit_is_stated() -> None:
    found = verified(account())

    assert {check.verdict for check in found.values()} == {Verdict.OK}
    assert "can change, delete and relink this permission itself" in found["limit"].text


def test_an_absent_account_is_a_failure() -> None:
    assert the_fault(verified(None), "account").text == "there is no account bravo"


def test_an_absent_permission_is_a_failure_and_the_rest_of_the_account_is_still_looked_at() -> None:
    there = account()
    bad = authority(ACTIVE, OWNER, two_nodes.A[0])
    found = verified(replace(there, permissions=(there.permissions[0], bad)))

    assert found["permission"].verdict is Verdict.FAILURE
    assert found["block-keys"].verdict is Verdict.FAILURE
    assert "links" not in found


def test_another_parent_is_a_failure() -> None:
    assert "claims" in the_fault(verified(account(parent=Name("claims"))), "parent").text


def test_a_parent_that_is_the_owner_is_in_order() -> None:
    assert verified(account(parent=OWNER))["parent"].verdict is Verdict.OK


def test_another_threshold_is_a_failure() -> None:
    assert "threshold is 2" in the_fault(verified(account(threshold=2)), "threshold").text


def test_a_missing_key_is_a_failure() -> None:
    stranger = two_nodes.public_key(51)
    there = account(keys=(WeightedKey(OWN, 1), WeightedKey(stranger, 1)))

    text = the_fault(verified(there), "keys").text

    assert f"{OTHER} is missing" in text
    assert f"{stranger} should not be there" in text


def test_a_key_of_another_kind_is_a_failure() -> None:
    assert "PUB_WA_x should not" in the_fault(verified(account(other_keys=("PUB_WA_x",))), "keys").text


def test_a_signer_without_a_rotation_key_is_a_failure() -> None:
    there = account(keys=(WeightedKey(OTHER, 1), WeightedKey(OTHER, 1)))

    assert "this signer has no rotation key" in the_fault(verified(there, own=()), "keys").text


def test_a_single_key_is_a_warning() -> None:
    alone = CHAIN.model_copy(update={"other_rotation_keys": ()})
    there = account(keys=(WeightedKey(OWN, 1),))

    checks = verify(there, [], chain=alone, own=[OWN], block_keys={})

    (warning,) = (check for check in checks if check.verdict is not Verdict.OK)
    assert (warning.name, warning.verdict) == ("two-keys", Verdict.WARNING)


def test_another_account_or_a_delay_in_the_permission_is_a_failure() -> None:
    there = account(accounts=(WeightedPermission(Name("alice"), ACTIVE, 1),), waits=(Wait(3600, 1),))

    text = the_fault(verified(there), "others").text

    assert "alice@active" in text
    assert "3600 s" in text


def test_a_missing_link_is_a_failure() -> None:
    assert (
        "eosio::actfinkey is not linked"
        in the_fault(verified(account(linked_actions=LINKS[:3])), "links").text
    )


@pytest.mark.parametrize(
    ("link", "words", "remedy"),
    [
        (
            LinkedAction(EOSIO, Name("claimrewards")),
            "eosio::claimrewards is linked",
            "eosio claimrewards NULL",
        ),
        (LinkedAction(EOSIO, None), "all of eosio is linked", "eosio ALL NULL"),
        (LinkedAction(Name("eosio.token"), None), "all of eosio.token", "eosio.token ALL NULL"),
    ],
)
def test_a_link_more_is_a_failure(link: LinkedAction, words: str, remedy: str) -> None:
    check = the_fault(verified(account(linked_actions=(*LINKS, link))), "links")

    assert words in check.text
    assert f"cleos set action permission bravo {remedy}" in check.remedy


def test_links_that_the_node_does_not_tell_are_unknown() -> None:
    the_fault(verified(account(linked_actions=None)), "links", Verdict.UNKNOWN)
    the_fault(verified(account(any_links=None)), "any-links", Verdict.UNKNOWN)


def test_a_link_to_any_permission_is_a_failure() -> None:
    there = account(any_links=(LinkedAction(EOSIO, Name("sellram")), LinkedAction(EOSIO, None)))

    text = the_fault(verified(there), "any-links").text

    assert "eosio::sellram" in text
    assert "eosio::*" in text


def test_a_permission_below_is_a_failure() -> None:
    assert "sub is under it" in the_fault(verified(account(authority(Name("sub"), ROTATE))), "children").text


def test_a_rotation_key_in_another_authority_is_a_failure() -> None:
    there = account(authority(Name("claims"), ACTIVE, OWN))
    elsewhere = [
        Authorized(Name("alice"), ACTIVE, OWN, 1, 1),
        # The permission itself is where it should be.
        Authorized(PRODUCER, ROTATE, OWN, 1, 1),
    ]

    text = the_fault(verified(there, elsewhere), "elsewhere").text

    assert "bravo@claims" in text
    assert "alice@active" in text
    assert "bravo@rotate" not in text


def test_the_permission_as_a_part_of_another_authority_is_a_failure() -> None:
    part = (WeightedPermission(PRODUCER, ROTATE, 1),)

    assert (
        "part in bravo@claims"
        in the_fault(verified(account(authority(Name("claims"), ACTIVE, accounts=part))), "elsewhere").text
    )


def test_a_block_key_in_any_authority_of_the_account_is_a_failure() -> None:
    there = account(authority(Name("claims"), ACTIVE, two_nodes.B[0]))

    text = the_fault(verified(there), "block-keys").text

    assert f"{two_nodes.B[0]} of node b is in bravo@claims" in text


def test_a_block_key_in_an_authority_of_any_account_is_a_failure() -> None:
    found = verified(account(), [Authorized(Name("alice"), OWNER, two_nodes.A[1], 1, 2)])

    assert "alice@owner" in the_fault(found, "block-keys-anywhere").text


def test_whose_authorities_hold_block_keys_is_unknown_where_no_node_tells() -> None:
    checks = verify(account(), None, chain=CHAIN, own=[OWN], block_keys=BLOCK_KEYS)

    (unknown,) = (check for check in checks if check.verdict is not Verdict.OK)
    assert (unknown.name, unknown.verdict) == ("block-keys-anywhere", Verdict.UNKNOWN)


# -- using it ---------------------------------------------------------------------------------------------


def test_a_key_that_alone_satisfies_the_permission_signs() -> None:
    heavy = account(threshold=2, keys=(WeightedKey(OWN, 2), WeightedKey(OTHER, 1)))

    assert signers(heavy, CHAIN, [OTHER, OWN]) == (OWN,)
    assert signers(replace(heavy, permissions=()), CHAIN, [OWN]) == ()


@pytest.mark.parametrize(
    ("there", "keys", "reason"),
    [
        (account(), [OWN], ""),
        (None, [OWN], "there is no account bravo"),
        (replace(account(), permissions=()), [OWN], "has no permission rotate"),
        (account(), [], "can sign"),
        (account(), [COLD], "satisfies bravo@rotate by itself"),
        (account(threshold=2), [OWN], "satisfies bravo@rotate by itself"),
        (account(linked_actions=()), [OWN], "eosio::regproducer of bravo is not linked to rotate"),
        (account(linked_actions=LINKS[1:]), [OWN], "is not linked to rotate"),
        # What nobody tells is not held against it; the dry run tells.
        (account(linked_actions=None), [OWN], ""),
        # All of eosio is more than enough.
        (account(linked_actions=(LinkedAction(EOSIO, None),)), [OWN], ""),
        (account(linked_actions=(), any_links=LINKS[:1]), [OWN], ""),
        # An action's own link comes before that of all actions, and a parent may do what its child may.
        (
            account(
                authority(Name("claims"), ACTIVE, linked_actions=LINKS[:1]),
                linked_actions=(LinkedAction(EOSIO, None),),
            ),
            [OWN],
            "is linked to claims, not to rotate",
        ),
        (account(authority(Name("sub"), ROTATE, linked_actions=LINKS[:1]), linked_actions=()), [OWN], ""),
    ],
)
def test_why_a_permission_is_of_no_use(there: Account | None, keys: list[PublicKey], reason: str) -> None:
    found = unusable(there, CHAIN, keys)

    assert bool(found) == bool(reason)
    assert reason in found
