"""The policy of each account key. A key without one signs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from signer.antelope.name import Name
from signer.errors import ConfigError, FormatError
from signer.policy import abis, rule
from signer.policy.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from signer.antelope.keys import PublicKey
    from signer.config import Config, Key
    from signer.policy.abis import Abis


@dataclass(frozen=True, slots=True)
class Policy:
    """What one key may sign.

    Attributes:
        label: the key's label, for messages.
        chain: the name of its chain.
        chain_id: the id of its chain (bytes, 32).
        max_expiration: the farthest from now that a transaction may expire.
        max_actions: the most actions of one transaction.
        rules: what an action may be: any of these, the first that fits counts.
    """

    label: str
    chain: str
    chain_id: bytes
    max_expiration: timedelta
    max_actions: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one configuration.

    Attributes:
        by_key: the policy of each account key that has one.
        abis: how data are read, also those of actions that no rule is about.
    """

    by_key: Mapping[PublicKey, Policy]
    abis: Abis


def owner(config: Config, key: str) -> list[Key]:
    """Return the account keys that `key` names, by label or by public key in any form."""
    keys = [each for each in config.keys if each.role == "account"]
    by_label = [each for each in keys if each.label == key]
    texts = [(each, {str(each.public_key), each.public_key.fc}) for each in keys]
    return by_label or [each for each, forms in texts if key in forms]


def load(config: Config) -> Policies:
    """Return the policies of `config`. Reads the files of [[abis]].

    Raises:
        ConfigError: a file cannot be used, or a rule does not fit the ABI in it.
    """
    known = abis.load(config)
    faults = list(_faults(config, known))
    if faults:
        raise ConfigError("\n".join(faults))
    by_key = {}
    for policy in config.policies:
        (key,) = owner(config, policy.key)
        chain = config.chain_of(key)
        assert chain is not None  # noqa: S101 - for mypy; an account key has one (config_rules)
        by_key[key.public_key] = Policy(
            label=key.label,
            chain=chain,
            chain_id=bytes.fromhex(config.chains[chain].id),
            max_expiration=timedelta(seconds=policy.max_expiration_s),
            max_actions=policy.max_actions,
            rules=tuple(
                Rule.of(each, known.find(Name(each.contract), Name(each.action))) for each in policy.rules
            ),
        )
    return Policies(by_key, known)


def _faults(config: Config, known: Abis) -> Iterator[str]:
    """Yield what is wrong with rules about contracts of [[abis]]; config_rules looked at the others."""
    for at, policy in enumerate(config.policies):
        for index, each in enumerate(policy.rules):
            where = f"policies[{at}].rules[{index}]"
            try:
                action = known.find(Name(each.contract), Name(each.action))
            except FormatError as error:
                have = ", ".join(known.actions(Name(each.contract)))
                yield f"{where}.action: {error}; the ABI has {have}"
                continue
            for argument, fault, names in rule.problems(each, action):
                hint = f"; its arguments are {', '.join(names)}" if names else ""
                yield f"{where}.arguments.{argument}: {fault}{hint}"
