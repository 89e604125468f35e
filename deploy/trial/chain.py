"""The chain of a trial that rotates keys: what `--chain` and its like name, and what its nodes say of themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import httpx

from signer.antelope.keys import PublicKey
from signer.antelope.name import parse_name
from signer.errors import FormatError
from trial.errors import TrialError

#: s. A node on another continent answers within one; people wait for this.
_TIMEOUT_S: Final = 5.0
_CHAIN_ID: Final = re.compile(r"[0-9a-f]{64}")


class UnreachableError(TrialError):
    """No node answers."""


@dataclass(frozen=True, slots=True)
class Producer:
    """Whose keys a trial rotates, and where its chain is asked.

    Attributes:
        api: HTTP APIs of nodes of the chain, `http://HOST:PORT`, at least one.
        name: the producer's account.
        other_rotation_keys: the rotation keys of its other signers.
    """

    api: tuple[str, ...]
    name: str
    other_rotation_keys: tuple[PublicKey, ...] = ()

    @classmethod
    def parse(cls, urls: str, name: str, other_rotation_keys: list[str]) -> Producer:
        """Return what the options say. `urls` is separated by commas.

        Raises:
            TrialError: one of them has a wrong form.
        """
        api = tuple(url.rstrip("/") for url in urls.split(","))
        for url in api:
            if api.count(url) > 1:
                raise TrialError(f"--chain names {url} twice; two answers of one node agree always")
        try:
            parse_name(name)
        except FormatError as error:
            raise TrialError(f"--producer {name}: {error}") from None
        try:
            keys = tuple(PublicKey.parse(text) for text in other_rotation_keys)
        except FormatError as error:
            raise TrialError(f"--other-rotation-key: {error}") from None
        return cls(api, name, keys)


def ask(api: tuple[str, ...]) -> tuple[str, list[str]]:
    """Ask every node for the id of its chain; return it, and what is wrong with nodes that do not answer.

    Raises:
        UnreachableError: none answers.
        TrialError: one is no nodeos, or two are of different chains.
    """
    ids: dict[str, str] = {}
    silent: list[str] = []
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as http:
        for url in api:
            try:
                answer = http.get(f"{url}/v1/chain/get_info")
            except httpx.TransportError as error:
                silent.append(f"{url} does not answer ({error or type(error).__name__})")
                continue
            except httpx.InvalidURL as error:
                raise TrialError(f"{url} is no URL ({error}); correct --chain") from None
            ids[url] = _chain_id(url, answer)
    if not ids:
        raise UnreachableError(
            f"{'; '.join(silent)}. Start nodeos with eosio::chain_api_plugin, or correct --chain"
        )
    if len(set(ids.values())) > 1:
        shown = ", ".join(f"{url} is of {chain_id[:16]}..." for url, chain_id in ids.items())
        raise TrialError(f"the nodes are of different chains: {shown}. Name nodes of one chain with --chain")
    return next(iter(ids.values())), silent


def _chain_id(url: str, answer: httpx.Response) -> str:
    try:
        content: Any = answer.json()
        chain_id = content["chain_id"]
        if answer.is_success and _CHAIN_ID.fullmatch(chain_id):
            return str(chain_id)
    except (ValueError, KeyError, TypeError):
        pass
    raise TrialError(
        f"{url} is no nodeos with eosio::chain_api_plugin: it answers /v1/chain/get_info with HTTP status "
        f"{answer.status_code} and no chain id. Correct --chain"
    )
