"""The permission that rotation keys have: the cleos lines that make it, and whether an account has it. Pure.

A key of it can register, unregister and re-key the producer, and can change its own permission: nodeos lets every
permission update, delete and relink itself (Leap libraries/chain/authorization_manager.cpp:316-420). It can touch
nothing else, as long as what `verify` looks at holds.
"""

from __future__ import annotations

import enum
import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from signer.antelope.keys import PublicKey
    from signer.chain.values import Account, Authorized, LinkedAction, Permission
    from signer.config import Chain

#: The contract, and its actions that a rotation is made of.
CONTRACT: Final = "eosio"
ACTIONS: Final = ("regproducer", "regproducer2", "unregprod", "actfinkey")
#: The permission that the new one is put under, by the owner's hand.
_PARENT: Final = "active"
#: One signer is destroyed, the other one still registers.
_MIN_KEYS: Final = 2

LIMIT: Final = (
    "each key of this permission can register, unregister and re-key the producer and activate its finalizer keys, "
    "and can change, delete and relink this permission itself; it cannot touch other permissions or tokens"
)


class Verdict(enum.StrEnum):
    """What a check found."""

    OK = "ok"
    FAILURE = "failure"
    WARNING = "warning"
    #: The API node cannot answer.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: its stable name.
        verdict: what was found.
        text: for a person.
        remedy: what to do about it; empty if nothing is to be done.
    """

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""


# -- making it ------------------------------------------------------------------------------------------------


def expected_keys(chain: Chain, own: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """The keys that the permission should have, in the order that nodeos asks for (authority.hpp:309-330)."""
    return tuple(sorted({*own, *chain.other_rotation_keys}))


def commands(chain: Chain, own: Iterable[PublicKey], actions: Sequence[str] = ACTIONS) -> list[list[str]]:
    """The arguments of each `cleos` call that the account's owner makes once, in this order.

    Args:
        chain: the chain's table of the configuration.
        own: the rotation keys of this signer for it.
        actions: what the permission may do.

    Raises:
        ConfigError: the chain has no producer, or nobody has a rotation key.
    """
    producer = _producer(chain)
    keys = expected_keys(chain, own)
    if not keys:
        raise ConfigError("there is no rotation key; make one with `signer keys generate --role rotation`")
    authority = {
        "threshold": 1,
        "keys": [{"key": key.fc, "weight": 1} for key in keys],
        "accounts": [],
        "waits": [],
    }
    by = ["-p", f"{producer}@{_PARENT}"]
    name = chain.rotation_permission
    text = json.dumps(authority, separators=(",", ":"))
    return [
        ["set", "account", "permission", producer, name, text, _PARENT, *by],
        *(["set", "action", "permission", producer, CONTRACT, action, name, *by] for action in actions),
    ]


def as_typed(chain: Chain, arguments: Sequence[str]) -> str:
    """Return one of `commands` as a line for a shell: `cleos` asks the chain's own node, where one is configured."""
    return shlex.join(["cleos", *(["--url", chain.api[0]] if chain.api else []), *arguments])


def too_few(chain: Chain, own: Iterable[PublicKey]) -> str:
    """A warning for whoever makes the permission with a single key, else nothing."""
    if len(expected_keys(chain, own)) >= _MIN_KEYS:
        return ""
    return (
        "the permission has one key: if its token is lost, only the owner's cold keys move production; list the "
        "rotation key of a second signer in other_rotation_keys"
    )


def _producer(chain: Chain) -> str:
    if chain.producer is None:
        raise ConfigError("the chain has no producer; give its account in [chains.NAME] producer")
    return chain.producer


# -- using it -------------------------------------------------------------------------------------------------


def signers(account: Account, chain: Chain, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """Those of `keys` whose signature alone satisfies the rotation permission."""
    permission = _find(account, chain.rotation_permission)
    if permission is None:
        return ()
    enough = {key for key, weight in permission.keys if weight >= permission.threshold}
    return tuple(key for key in keys if key in enough)


def unusable(account: Account | None, chain: Chain, keys: Collection[PublicKey]) -> str:
    """Why none of `keys` can register the producer's key, empty if one can.

    What the API node does not say is not held against it.

    Args:
        account: the producer's, None if there is no such account.
        chain: the chain's table of the configuration.
        keys: the rotation keys that this signer can sign with now.
    """
    if account is None:
        return f"there is no account {chain.producer}"
    name = chain.rotation_permission
    if _find(account, name) is None:
        return f"{account.name} has no permission {name}"
    if not keys:
        return "no rotation key of this signer can sign"
    if not signers(account, chain, keys):
        return f"no rotation key of this signer satisfies {account.name}@{name} by itself"
    return _unlinked(account, name)


def _unlinked(account: Account, name: str) -> str:
    """Why `name` may not do regproducer (authorization_manager.cpp, lookup_minimum_permission)."""
    links = {each.name: each.linked_actions for each in account.permissions}
    if None in links.values():
        return ""
    parents: Mapping[str, str | None] = {each.name: each.parent for each in account.permissions}
    for action in (ACTIONS[0], None):
        if any(_is(link, action) for link in account.any_links or ()):
            return ""
        for holder, linked in links.items():
            if any(_is(link, action) for link in linked or ()):
                # A permission may do what those below it may do.
                return (
                    ""
                    if name in _upwards(holder, parents)
                    else (f"{CONTRACT}::{ACTIONS[0]} of {account.name} is linked to {holder}, not to {name}")
                )
    return f"{CONTRACT}::{ACTIONS[0]} of {account.name} is not linked to {name}"


def _upwards(name: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    while name is not None:
        yield name
        name = parents.get(name)


def _is(link: LinkedAction, action: str | None) -> bool:
    return link.account == CONTRACT and link.action == action


def _find(account: Account, name: str) -> Permission | None:
    return next((each for each in account.permissions if each.name == name), None)


# -- verifying it ---------------------------------------------------------------------------------------------


def verify(
    account: Account | None,
    authorized: Sequence[Authorized] | None,
    *,
    chain: Chain,
    own: Collection[PublicKey],
    block_keys: Mapping[PublicKey, str],
) -> list[Check]:
    """Look at everything that the permission, and no other, should be.

    Args:
        account: the producer's; None if there is no such account.
        authorized: where `own` and `block_keys` take part in authorities of any account; None where no API node
            answers that.
        chain: the chain's table of the configuration.
        own: the rotation keys of this signer for this chain.
        block_keys: every block key of this signer -> its node.

    Raises:
        ConfigError: the chain has no producer.
    """
    producer, name = _producer(chain), chain.rotation_permission
    if account is None:
        return [
            Check(
                "account", Verdict.FAILURE, f"there is no account {producer}", "correct chains.NAME.producer"
            )
        ]
    permission = _find(account, name)
    found = (
        []
        if permission is None
        else [
            _parent(permission, producer),
            _threshold(permission),
            _keys(permission, chain, own),
            _two_keys(permission),
            _others(permission),
            _links(permission, producer),
        ]
    )
    return [
        _exists(account, name),
        *found,
        _any_links(account),
        _children(account, name),
        _elsewhere(account, authorized, name, own),
        _block_keys(account, block_keys),
        _block_keys_anywhere(authorized, block_keys),
        Check("limit", Verdict.OK, LIMIT),
    ]


def _judge(name: str, faults: Iterable[str], fine: str, remedy: str) -> Check:
    text = "; ".join(faults)
    return Check(name, Verdict.FAILURE, text, remedy) if text else Check(name, Verdict.OK, fine)


_SET_AGAIN: Final = "run the lines of `signer permission print` again"


def _exists(account: Account, name: str) -> Check:
    missing = [f"{account.name} has no permission {name}"] if _find(account, name) is None else []
    return _judge(
        "permission", missing, f"{account.name}@{name} exists", "run the lines of `signer permission print`"
    )


def _parent(permission: Permission, producer: str) -> Check:
    wrong = (
        []
        if permission.parent in (_PARENT, "owner")
        else [f"it is under {permission.parent}, whose keys can therefore change it"]
    )
    remedy = (
        f"delete it (`cleos set account permission {producer} {permission.name} NULL`), then {_SET_AGAIN}"
    )
    return _judge("parent", wrong, f"it is under {permission.parent}", remedy)


def _threshold(permission: Permission) -> Check:
    wrong = (
        []
        if permission.threshold == 1
        else [f"its threshold is {permission.threshold}: one key may not be enough"]
    )
    return _judge("threshold", wrong, "its threshold is 1: each key is enough by itself", _SET_AGAIN)


def _keys(permission: Permission, chain: Chain, own: Collection[PublicKey]) -> Check:
    expected = set(expected_keys(chain, own))
    there = {key for key, _ in permission.keys}
    faults = [f"{key} is missing" for key in sorted(expected - there)]
    faults += [f"{key} should not be there" for key in sorted(there - expected)]
    faults += [f"{key} should not be there" for key in permission.other_keys]
    if not own:
        faults.append("this signer has no rotation key")
    return _judge(
        "keys",
        faults,
        f"it has exactly the {len(expected)} expected keys",
        f"{_SET_AGAIN}; a second signer's key belongs into other_rotation_keys here",
    )


def _two_keys(permission: Permission) -> Check:
    count = len(permission.keys)
    if count >= _MIN_KEYS:
        return Check("two-keys", Verdict.OK, f"it has {count} keys: one token may be lost")
    return Check(
        "two-keys",
        Verdict.WARNING,
        f"it has {count} key: if that token is lost, only the owner's cold keys move production",
        "list the rotation key of a second signer in other_rotation_keys, and " + _SET_AGAIN,
    )


def _others(permission: Permission) -> Check:
    faults = [f"{actor}@{name} has a part in it" for actor, name, _ in permission.accounts]
    faults += [f"a delay of {seconds} s has a part in it" for seconds, _ in permission.waits]
    return _judge("others", faults, "no other account and no delay has a part in it", _SET_AGAIN)


def _links(permission: Permission, producer: str) -> Check:
    if permission.linked_actions is None:
        return Check(
            "links",
            Verdict.UNKNOWN,
            "the API node does not say which actions are linked to it",
            "ask a nodeos from Leap 3.1 on",
        )
    links = {(link.account, link.action) for link in permission.linked_actions}
    expected = {(CONTRACT, action) for action in ACTIONS}
    faults = [f"{CONTRACT}::{action} is not linked to it" for _, action in sorted(expected - links)]
    remedies = [_SET_AGAIN] if faults else []
    for account, action in sorted(links - expected, key=str):
        what = f"all of {account}" if action is None else f"{account}::{action}"
        faults.append(f"{what} is linked to it, which rotations do not need")
        remedies.append(
            f"`cleos set action permission {producer} {account} {action or 'ALL'} NULL -p {producer}@{_PARENT}`"
        )
    return _judge("links", faults, f"it may do {', '.join(ACTIONS)} and nothing else", "; ".join(remedies))


def _any_links(account: Account) -> Check:
    if account.any_links is None:
        return Check(
            "any-links",
            Verdict.UNKNOWN,
            "the API node does not say what is linked to eosio.any",
            "ask a nodeos from Leap 3.1 on",
        )
    faults = [
        f"{link.account}::{link.action or '*'} is linked to eosio.any: every permission may do it"
        for link in account.any_links
    ]
    return _judge(
        "any-links",
        faults,
        "nothing is linked to eosio.any",
        "remove these links with `cleos set action permission`",
    )


def _children(account: Account, name: str) -> Check:
    faults = [
        f"{each.name} is under it, so its keys may do all that {each.name} may do"
        for each in account.permissions
        if each.parent == name
    ]
    return _judge(
        "children",
        faults,
        "no permission is under it",
        f"delete what is under it with `cleos set account permission {account.name} CHILD NULL`",
    )


def _elsewhere(
    account: Account, authorized: Sequence[Authorized] | None, name: str, own: Collection[PublicKey]
) -> Check:
    """Rotation keys, and the permission itself, in other authorities: what they can do there is not limited."""
    faults = []
    for each in account.permissions:
        if each.name != name:
            faults += [
                f"rotation key {key} is in {account.name}@{each.name} too"
                for key, _ in each.keys
                if key in own
            ]
        faults += [
            f"{account.name}@{name} has a part in {account.name}@{each.name}"
            for actor, permission, _ in each.accounts
            if (actor, permission) == (account.name, name)
        ]
    faults += [
        f"rotation key {each.key} is in {each.account}@{each.permission} too"
        for each in authorized or ()
        if each.key in own and each.account != account.name
    ]
    return _judge(
        "elsewhere",
        faults,
        f"its keys are in no other authority of {account.name}",
        "take them out there: a rotation key must be able to do nothing else",
    )


_BLOCK_KEY: Final = (
    "a block key signs whatever a node asks for: take it out at once, and put another key there"
)


def _block_keys(account: Account, block_keys: Mapping[PublicKey, str]) -> Check:
    faults = [
        f"block key {key} of node {block_keys[key]} is in {account.name}@{each.name}: "
        f"who controls that node's socket controls this permission"
        for each in account.permissions
        for key, _ in each.keys
        if key in block_keys
    ]
    return _judge("block-keys", faults, f"no block key is in an authority of {account.name}", _BLOCK_KEY)


def _block_keys_anywhere(
    authorized: Sequence[Authorized] | None, block_keys: Mapping[PublicKey, str]
) -> Check:
    if authorized is None:
        return Check(
            "block-keys-anywhere",
            Verdict.UNKNOWN,
            "no API node tells whether a block key is in an authority of another account",
            "set enable-account-queries = true on an API node of your own",
        )
    faults = [
        f"block key {each.key} of node {block_keys[each.key]} is in {each.account}@{each.permission}"
        for each in authorized
        if each.key in block_keys
    ]
    return _judge("block-keys-anywhere", faults, "no block key is in an authority of any account", _BLOCK_KEY)
