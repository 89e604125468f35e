"""The actions that the signer reads without a configured ABI: the common ones of eosio, and eosio.token::transfer.

Written from the contracts' documentation. A field with `$` is in newer contracts only and may be missing.

Sources: VaultaFoundation system-contracts contracts/eosio.system/include/eosio.system/eosio.system.hpp:1559-1585,
:1690, :1744; contracts/eosio.system/include/eosio.system/native.hpp:25-260; contracts/eosio.token/include/eosio.token/
eosio.token.hpp:107.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signer.antelope.abi import Abi
from signer.antelope.name import Name

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM: Final = Name("eosio")
TOKEN: Final = Name("eosio.token")

_STRUCTS: Final = {
    "key_weight": {"key": "public_key", "weight": "uint16"},
    "permission_level": {"actor": "name", "permission": "name"},
    "permission_level_weight": {"permission": "permission_level", "weight": "uint16"},
    "wait_weight": {"wait_sec": "uint32", "weight": "uint16"},
    "authority": {
        "threshold": "uint32",
        "keys": "key_weight[]",
        "accounts": "permission_level_weight[]",
        "waits": "wait_weight[]",
    },
    "block_signing_authority_v0": {"threshold": "uint32", "keys": "key_weight[]"},
}
_SYSTEM_ACTIONS: Final = {
    "regproducer": {
        "producer": "name",
        "producer_key": "public_key",
        "url": "string",
        "location": "uint16",
    },
    "regproducer2": {
        "producer": "name",
        "producer_authority": "block_signing_authority",
        "url": "string",
        "location": "uint16",
    },
    "unregprod": {"producer": "name"},
    "claimrewards": {"owner": "name"},
    "voteproducer": {"voter": "name", "proxy": "name", "producers": "name[]"},
    "linkauth": {
        "account": "name",
        "code": "name",
        "type": "name",
        "requirement": "name",
        "authorized_by": "name$",
    },
    "unlinkauth": {"account": "name", "code": "name", "type": "name", "authorized_by": "name$"},
    "updateauth": {
        "account": "name",
        "permission": "name",
        "parent": "name",
        "auth": "authority",
        "authorized_by": "name$",
    },
    "deleteauth": {"account": "name", "permission": "name", "authorized_by": "name$"},
    "newaccount": {"creator": "name", "name": "name", "owner": "authority", "active": "authority"},
}
_TOKEN_ACTIONS: Final = {"transfer": {"from": "name", "to": "name", "quantity": "asset", "memo": "string"}}


def _abi(structs: Mapping[str, Mapping[str, str]], actions: Mapping[str, Mapping[str, str]]) -> Abi:
    return Abi.of(
        {
            "version": "eosio::abi/1.2",
            "structs": [
                {
                    "name": name,
                    "base": "",
                    "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
                }
                for name, fields in (*structs.items(), *actions.items())
            ],
            "actions": [{"name": name, "type": name} for name in actions],
            "variants": [{"name": "block_signing_authority", "types": ["block_signing_authority_v0"]}]
            if structs
            else [],
        }
    )


#: By the account that has the contract.
ABIS: Final[Mapping[Name, Abi]] = {
    SYSTEM: _abi(_STRUCTS, _SYSTEM_ACTIONS),
    TOKEN: _abi({}, _TOKEN_ACTIONS),
}
