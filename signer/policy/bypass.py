"""Policies that lead around the rotation: what an account key may sign for a producer's account.

A rotation has a preflight, an approval and a journal. A policy that lets an account key register the producer's key, or
change who may, has none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from signer.policy.policies import owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.config import Config

#: What changes who signs blocks, or which keys may change it. A permission can always change itself and what is below
#: it (Leap authorization_manager.cpp:316-420), and an approved proposal does what its actions say.
_DIRECT: Final = {
    "eosio": {
        "regproducer": "registers a block signing key",
        "regproducer2": "registers block signing keys",
        "unregprod": "takes the producer out of the election",
        "regfinkey": "registers a finalizer key",
        "actfinkey": "changes the finalizer key",
        "delfinkey": "removes a finalizer key",
        "updateauth": "changes the account's permissions",
        "deleteauth": "removes a permission of the account",
        "linkauth": "changes what a permission may do",
        "unlinkauth": "changes what a permission may do",
    },
    "eosio.msig": {"approve": "agrees to a proposal, whatever it does"},
}


class Bypass(NamedTuple):
    """A rule that leads around preflight and approval.

    Attributes:
        at: where it is in the configuration, as `policies[0].rules[1]`.
        key: the account key's label.
        chain: the name of the chain.
        text: what it allows, for a person.
    """

    at: str
    key: str
    chain: str
    text: str


def bypasses(config: Config) -> Iterator[Bypass]:
    """Yield the rules of `config` that let an account key do for a producer what only a rotation should."""
    for index, policy in enumerate(config.policies):
        for key in owner(config, policy.key):
            chain = config.chain_of(key)
            producer = config.chains[chain].producer if chain is not None else None
            for number, rule in enumerate(policy.rules):
                actor = rule.authorization.partition("@")[0]
                what = _DIRECT.get(rule.contract, {}).get(rule.action)
                if chain is None or what is None or actor != producer:
                    continue
                yield Bypass(
                    f"policies[{index}].rules[{number}]",
                    key.label,
                    chain,
                    f'"{key.label}" may sign {rule.contract}::{rule.action} for the producer {producer}, which {what} '
                    "with no preflight, no approval and no journal",
                )
