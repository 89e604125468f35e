"""The rules that bind one table of the configuration to another. Pure: nothing is looked up on this machine.

Each rule yields `Problem`s: the key, as `keys[3].token` (the first is 0), and a text that says what is wrong
and what would be right.
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, NamedTuple

from signer.antelope.name import Name
from signer.antelope.system_abis import ABIS
from signer.errors import FormatError
from signer.policy import rule
from signer.policy.abis import BUILTIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from signer.config import Chain, Config, Key, Listener, Policy, Rule, TcpAddress, Token

#: sun_path holds 108 bytes with its terminating zero (unix(7)).
MAX_UNIX_PATH_BYTES = 107

#: Roles that a block token may hold, and those that a control token may hold. A probe keeps either warm.
_FITS = {
    "block": frozenset({"block", "account", "probe"}),
    "control": frozenset({"rotation", "audit", "probe"}),
}

#: Settings that only a control listener on TCP has.
_OF_CONTROL_ON_TCP = ("tls_certificate", "tls_key", "tls_client_ca", "names")


class Problem(NamedTuple):
    """What is wrong with one key of the file, and what would be right."""

    key: str
    text: str


class BrokenRulesError(ValueError):
    """A ValueError, because pydantic collects those. Carries the problems to `config_file`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{key}: {text}" for key, text in problems))
        self.problems = problems


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "..."?)` for the known name nearest to `word`, or nothing if none is near."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{found[0]}"?)' if found else ""


def problems(config: Config) -> Iterator[Problem]:
    """Yield every broken rule of `config`."""
    yield from _chains(config)
    yield from _tokens(config)
    yield from _nodes(config)
    for index, listener in enumerate(config.listeners):
        yield from _listener(config, f"listeners[{index}]", listener)
    yield from _addresses(config)
    yield from _admin(config)
    for index, key in enumerate(config.keys):
        yield from _key(config, f"keys[{index}]", key)
    yield from _each_key_once(config)
    yield from _each_object_once(config)
    yield from _abis(config)
    yield from _policies(config)
    yield from _guards(config)


def _unknown(table: str, name: str, known: Mapping[str, object]) -> str:
    have = ", ".join(known) or "none"
    return f"no [{table}.{name}] in this file{nearest(name, known)}; known are: {have}"


def _chains(config: Config) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, chain in config.chains.items():
        if chain.id in seen:
            yield Problem(
                f"chains.{name}.id",
                f"is the id of chains.{seen[chain.id]} too; give a chain one name and use it",
            )
        seen.setdefault(chain.id, name)
        yield from _rotation(config, f"chains.{name}", chain)


def _rotation(config: Config, at: str, chain: Chain) -> Iterator[Problem]:
    """What registers a producer's key has to know the producer, and a node of the chain to tell."""
    if chain.producer is not None and not chain.api:
        yield Problem(
            f"{at}.api", "is missing beside producer; name the HTTP API of one node of this chain, better two"
        )
    if len(set(chain.api)) != len(chain.api):
        yield Problem(f"{at}.api", "names one node twice; two answers of one node agree always")
    if chain.rotation_permission in ("owner", "active"):
        yield Problem(
            f"{at}.rotation_permission",
            f'"{chain.rotation_permission}" can do everything with the account; use a permission of its own, "rotate"',
        )
    own = {str(key.public_key) for key in config.keys}
    for index, key in enumerate(chain.other_rotation_keys):
        if str(key) in own:
            yield Problem(
                f"{at}.other_rotation_keys[{index}]",
                f"{key} is among [[keys]] of this file; list the keys of other signers here",
            )


def _guards(config: Config) -> Iterator[Problem]:
    guards = config.guards
    if guards.height == "enforce":
        yield Problem(
            "guards.height",
            '"enforce" would lose blocks: after a change of forks a node rightly signs a lower or equal height, '
            'and the choice of forks on Savanna does not look at heights; use "observe"',
        )
    if guards.lease_silence_s is None:
        return
    for name, chain in config.chains.items():
        if guards.lease_silence_s < 2 * chain.round_s:
            yield Problem(
                "guards.lease_silence_s",
                f"{guards.lease_silence_s} s is less than two rounds of chains.{name}, {2 * chain.round_s} s: a holder "
                "that only waits for its turn would lose the lease; raise it, or correct "
                f"chains.{name}.producers = {chain.producers}",
            )


# -- tokens -----------------------------------------------------------------------------------------------


def _tokens(config: Config) -> Iterator[Problem]:
    devices: dict[object, str] = {}
    pins: dict[object, str] = {}
    for name, token in config.tokens.items():
        yield from _pin_source(name, token)
        yield from _wallet(config, name, token)
        yield from _shared(
            config, f"tokens.{name}.uri", name, devices, (token.uri, *token.environment.items())
        )
        for field, pin in (("pin_file", token.pin_file), ("pin_credential", token.pin_credential)):
            if pin is not None:
                other = pins.setdefault((field, os.path.normpath(pin)), name)
                if _two_purposes(config, name, other):
                    yield Problem(
                        f"tokens.{name}.{field}",
                        f"is that of tokens.{other}, so who can sign blocks could also rotate keys; "
                        "give each its own PIN, or set allow_shared_token = true",
                    )


def _pin_source(name: str, token: Token) -> Iterator[Problem]:
    given = [
        field
        for field, present in (
            ("pin_file", token.pin_file is not None),
            ("pin_credential", token.pin_credential is not None),
            ("pin_prompt", token.pin_prompt),
        )
        if present
    ]
    choice = "exactly one of pin_file, pin_credential and pin_prompt"
    if not given:
        yield Problem(f"tokens.{name}", f"has no PIN source; give {choice}")
    elif len(given) > 1:
        yield Problem(f"tokens.{name}.{given[1]}", f"is a second PIN source beside {given[0]}; give {choice}")


def _wallet(config: Config, name: str, token: Token) -> Iterator[Problem]:
    """What cleos may do with a token."""
    if token.pin_prompt and not any(listener.kind == "wallet" for listener in config.listeners):
        yield Problem(
            f"tokens.{name}.pin_prompt",
            'needs a listener of kind "wallet", where `cleos wallet unlock` takes the PIN; add one',
        )
    for field in ("pin_prompt", "allow_create_key", "allow_remove_key"):
        if getattr(token, field) and token.purpose != "block":
            yield Problem(f"tokens.{name}.{field}", 'is for tokens of purpose "block"; remove this line')
    if token.allow_create_key is not None and token.allow_create_key not in config.chains:
        yield Problem(
            f"tokens.{name}.allow_create_key", _unknown("chains", token.allow_create_key, config.chains)
        )


def _two_purposes(config: Config, name: str, other: str) -> bool:
    return not config.allow_shared_token and config.tokens[name].purpose != config.tokens[other].purpose


def _shared(
    config: Config, key: str, name: str, devices: dict[object, str], device: object
) -> Iterator[Problem]:
    other = devices.setdefault(device, name)
    if other == name:
        return
    if config.tokens[other].purpose == config.tokens[name].purpose:
        yield Problem(
            key, f"is the token of tokens.{other} again; list a token once and raise its lanes instead"
        )
    elif not config.allow_shared_token:
        yield Problem(
            key,
            f"is the token of tokens.{other}, which has the other purpose; "
            "use a token of its own, or set allow_shared_token = true",
        )


# -- nodes and listeners ----------------------------------------------------------------------------------


def _nodes(config: Config) -> Iterator[Problem]:
    for name, node in config.nodes.items():
        if node.chain not in config.chains:
            yield Problem(f"nodes.{name}.chain", _unknown("chains", node.chain, config.chains))
        if node.margin_ms >= node.timeout_ms:
            yield Problem(
                f"nodes.{name}.margin_ms",
                f"{node.margin_ms:g} leaves no time to sign within timeout_ms = {node.timeout_ms}; "
                "a margin of 0.5 is usual",
            )
        if not any(key.node == name for key in config.keys):
            yield Problem(
                f"nodes.{name}",
                f'has no key; add [[keys]] with role = "block" and node = "{name}", or remove the node',
            )
        if not any(listener.node == name for listener in config.listeners):
            yield Problem(
                f"nodes.{name}",
                f'has no listener; add [[listeners]] of kind "node" with node = "{name}", or remove the node',
            )


def _listener(config: Config, at: str, listener: Listener) -> Iterator[Problem]:
    if listener.allow_stop and listener.kind != "wallet":
        yield Problem(f"{at}.allow_stop", 'is for listeners of kind "wallet"; remove this line')
    if listener.kind == "node":
        if listener.node is None:
            yield Problem(
                f"{at}.node", 'is missing; a listener of kind "node" belongs to one node of [nodes]'
            )
        elif listener.node not in config.nodes:
            yield Problem(f"{at}.node", _unknown("nodes", listener.node, config.nodes))
    elif listener.node is not None:
        yield Problem(
            f"{at}.node", f'a listener of kind "{listener.kind}" belongs to no node; remove this line'
        )
    if (listener.unix is None) == (listener.tcp is None):
        wrong = "has no address" if listener.unix is None else "has both a unix socket and a TCP address"
        yield Problem(at, f"{wrong}; give exactly one of unix and tcp (two listeners may serve one node)")
        return
    yield from _unix(at, listener) if listener.tcp is None else _tcp(at, listener)


def _unix(at: str, listener: Listener) -> Iterator[Problem]:
    length = len(os.fsencode(str(listener.unix)))
    if length > MAX_UNIX_PATH_BYTES:
        yield Problem(
            f"{at}.unix",
            f"has {length} bytes as an absolute path, and the kernel takes {MAX_UNIX_PATH_BYTES} (unix(7)); "
            "use a shorter folder",
        )
    for field, given in (
        ("expose_beyond_loopback", listener.expose_beyond_loopback),
        ("allow_wallet_on_tcp", listener.allow_wallet_on_tcp),
    ):
        if given:
            yield Problem(f"{at}.{field}", "is for TCP and this listener is a unix socket; remove this line")
    for field in _OF_CONTROL_ON_TCP:
        if getattr(listener, field):
            yield Problem(f"{at}.{field}", "is for TCP and this listener is a unix socket; remove this line")


def _tcp(at: str, listener: Listener) -> Iterator[Problem]:
    tcp = listener.tcp
    assert tcp is not None  # noqa: S101 - for mypy; the caller looked
    if listener.kind == "admin":
        yield Problem(
            f"{at}.tcp", "an admin listener is a unix socket, where the kernel says who calls; give unix"
        )
    if listener.kind == "wallet" and not listener.allow_wallet_on_tcp:
        yield Problem(
            f"{at}.tcp",
            "a wallet on TCP is open to all local users; give unix, or set allow_wallet_on_tcp = true",
        )
    if listener.kind != "wallet" and listener.allow_wallet_on_tcp:
        yield Problem(f"{at}.allow_wallet_on_tcp", 'is for listeners of kind "wallet"; remove this line')
    if listener.kind != "node" and listener.expose_beyond_loopback:
        yield Problem(f"{at}.expose_beyond_loopback", 'is for listeners of kind "node"; remove this line')
    yield from _control_on_tcp(at, listener, tcp) if listener.kind == "control" else _plain(at, listener, tcp)
    for field in ("owner", "group", "peers"):
        if getattr(listener, field) is not None:
            yield Problem(
                f"{at}.{field}", "is for unix sockets and this listener is on TCP; remove this line"
            )


def _control_on_tcp(at: str, listener: Listener, tcp: TcpAddress) -> Iterator[Problem]:
    """A token is all that a person sends, so only this machine may see it in the clear."""
    given = [field for field in ("tls_certificate", "tls_key") if getattr(listener, field) is not None]
    if len(given) == 1:
        other = "tls_key" if given == ["tls_certificate"] else "tls_certificate"
        yield Problem(f"{at}.{other}", f"is missing beside {given[0]}; TLS needs both")
    elif not given and not tcp.loopback:
        yield Problem(
            f"{at}.tcp",
            f"{tcp} can be reached from other machines, and tokens would go there in the clear; "
            "use 127.0.0.1 or [::1], or give tls_certificate and tls_key",
        )
    if not given and listener.tls_client_ca is not None:
        yield Problem(
            f"{at}.tls_client_ca",
            "certificates are presented in TLS only; give tls_certificate and tls_key, or remove this line",
        )


def _plain(at: str, listener: Listener, tcp: TcpAddress) -> Iterator[Problem]:
    """What speaks no TLS stays on this machine, or says in so many words that it does not."""
    for field in _OF_CONTROL_ON_TCP:
        if getattr(listener, field):
            yield Problem(f"{at}.{field}", 'is for listeners of kind "control"; remove this line')
    if not tcp.loopback and listener.kind != "node":
        yield Problem(f"{at}.tcp", f"{tcp} can be reached from other machines; use 127.0.0.1 or [::1]")
    elif not tcp.loopback and not listener.expose_beyond_loopback:
        yield Problem(
            f"{at}.tcp",
            f"{tcp} can be reached from other machines, and whoever reaches it can have blocks signed; "
            "use 127.0.0.1 or [::1], or set expose_beyond_loopback = true",
        )


def _addresses(config: Config) -> Iterator[Problem]:
    paths: dict[str, int] = {}
    for index, listener in enumerate(config.listeners):
        if listener.unix is not None:
            first = paths.setdefault(os.path.normpath(listener.unix), index)
            if first != index:
                yield Problem(
                    f"listeners[{index}].unix", f"is the socket of listeners[{first}]; give each its own"
                )
        for earlier, other in enumerate(config.listeners[:index]):
            a, b = listener.tcp, other.tcp
            if a is None or b is None or a.port != b.port:
                continue
            if a.host == b.host or a.unspecified or b.unspecified:
                yield Problem(
                    f"listeners[{index}].tcp",
                    f"{a} collides with {b} of listeners[{earlier}]; give each its own port",
                )


def _admin(config: Config) -> Iterator[Problem]:
    admins = [index for index, listener in enumerate(config.listeners) if listener.kind == "admin"]
    if not admins:
        yield Problem(
            "listeners",
            'no listener of kind "admin": freeze, reload and stop need one; add [[listeners]] with unix',
        )
    for index in admins[1:]:
        yield Problem(
            f"listeners[{index}].kind", f"listeners[{admins[0]}] is the admin listener already; keep one"
        )


# -- keys -------------------------------------------------------------------------------------------------


def _key(config: Config, at: str, key: Key) -> Iterator[Problem]:
    yield from _key_owner(config, at, key)
    if key.token not in config.tokens:
        yield Problem(f"{at}.token", _unknown("tokens", key.token, config.tokens))
        return
    purpose = config.tokens[key.token].purpose
    if key.role not in _FITS[purpose] and not config.allow_shared_token:
        fitting = "block" if purpose == "control" else "control"
        yield Problem(
            f"{at}.token",
            f'tokens.{key.token} has purpose "{purpose}" and role "{key.role}" needs purpose "{fitting}"; '
            "use another token, or set allow_shared_token = true",
        )


def _key_owner(config: Config, at: str, key: Key) -> Iterator[Problem]:
    """The node or chain that the role asks for."""
    if key.role == "block":
        if key.node is None:
            yield Problem(f"{at}.node", "is missing; a block key belongs to one node of [nodes]")
        elif key.node not in config.nodes:
            yield Problem(f"{at}.node", _unknown("nodes", key.node, config.nodes))
        elif key.chain is not None and key.chain != config.nodes[key.node].chain:
            yield Problem(
                f"{at}.chain",
                f'"{key.chain}" is not the chain of nodes.{key.node}, "{config.nodes[key.node].chain}": '
                "a key signs for one chain; remove this line",
            )
        return
    if key.node is not None:
        yield Problem(
            f"{at}.node", f'is for role "block" and this key has role "{key.role}"; remove this line'
        )
    if key.role in ("rotation", "account"):
        if key.chain is None:
            yield Problem(
                f"{at}.chain", f"is missing; a key of role {key.role} belongs to one chain of [chains]"
            )
        elif key.chain not in config.chains:
            yield Problem(f"{at}.chain", _unknown("chains", key.chain, config.chains))
    elif key.chain is not None:
        yield Problem(f"{at}.chain", f'a key of role "{key.role}" belongs to no chain; remove this line')


def _each_key_once(config: Config) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, key in enumerate(config.keys):
        first = seen.setdefault(str(key.public_key), index)
        if first == index:
            continue
        other = config.keys[first]
        if key.node is not None and other.node is not None and key.node != other.node:
            why = (
                f'belongs to node "{other.node}" in keys[{first}] and to node "{key.node}" here; '
                "two nodes with one key sign two blocks for one slot, so give each its own key"
            )
        elif _chain(config, key) != _chain(config, other):
            why = (
                f'is for chain "{_chain(config, other)}" in keys[{first}], for "{_chain(config, key)}" here; '
                "a signature for one chain could be used on the other, so give each its own key"
            )
        else:
            why = f"is listed in keys[{first}] already; remove one of the two"
        yield Problem(f"keys[{index}].public_key", f"{key.public_key} {why}")


def _chain(config: Config, key: Key) -> str:
    if key.chain is None and key.node in config.nodes:
        return config.nodes[key.node].chain
    return key.chain or "none"


def _each_object_once(config: Config) -> Iterator[Problem]:
    seen: dict[tuple[str, str], int] = {}
    for index, key in enumerate(config.keys):
        first = seen.setdefault((key.token, key.label), index)
        other = config.keys[first]
        if first != index and (key.id is None or other.id is None or key.id == other.id):
            yield Problem(
                f"keys[{index}].label",
                f'"{key.label}" is the label of keys[{first}] in the same token, so it names two objects; '
                "give each a label of its own, or both a different id",
            )


# -- policies ---------------------------------------------------------------------------------------------


def _abis(config: Config) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(config.abis):
        first = seen.setdefault(entry.account, index)
        if first != index:
            yield Problem(f"abis[{index}].account", f"is that of abis[{first}] too; give a contract one ABI")


def _policies(config: Config) -> Iterator[Problem]:
    seen: dict[int, int] = {}
    for index, policy in enumerate(config.policies):
        at = f"policies[{index}]"
        found = _named(config, policy.key)
        yield from _policy_key(config, f"{at}.key", policy.key, found)
        if len(found) == 1:
            first = seen.setdefault(found[0], index)
            if first != index:
                yield Problem(
                    f"{at}.key", f"is the key of policies[{first}] too; put all its rules into one policy"
                )
        if not policy.rules:
            yield Problem(f"{at}.rules", "is missing; a policy without a rule allows nothing: remove it")
        yield from _rules(config, at, policy)


def _named(config: Config, name: str) -> list[int]:
    """The positions of the keys that a policy names. A label that is of several account keys names them all."""
    labelled = [index for index, key in enumerate(config.keys) if key.label == name]
    return (
        [index for index in labelled if config.keys[index].role == "account"]
        or labelled
        or [
            index for index, key in enumerate(config.keys) if name in (str(key.public_key), key.public_key.fc)
        ]
    )


def _policy_key(config: Config, at: str, name: str, found: list[int]) -> Iterator[Problem]:
    labels = [key.label for key in config.keys if key.role == "account"]
    if not found:
        have = ", ".join(labels) or "none"
        yield Problem(
            at, f"no account key of [[keys]] has this label or public key{nearest(name, labels)}; have {have}"
        )
    elif len(found) > 1:
        yield Problem(at, "is the label of several keys; name one by its public key")
    elif config.keys[found[0]].role != "account":
        role = config.keys[found[0]].role
        yield Problem(
            at, f'is a key of role "{role}", which signs no transactions of cleos; use an account key'
        )


def _rules(config: Config, at: str, policy: Policy) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, each in enumerate(policy.rules):
        where = f"{at}.rules[{index}]"
        first = seen.setdefault(each.name, index)
        if first != index:
            yield Problem(f"{where}.name", f"is that of rules[{first}] too; give each rule a name of its own")
        yield from _action(config, where, each)


def _action(config: Config, at: str, each: Rule) -> Iterator[Problem]:
    """A rule about a contract of [[abis]] is looked at when that file is read (signer.policy.policies)."""
    configured = {entry.account for entry in config.abis}
    try:
        known = BUILTIN.find(Name(each.contract), Name(each.action))
    except FormatError:
        if each.contract in configured:
            return
        if each.contract not in ABIS:
            names = [*ABIS, *configured]
            yield Problem(
                f"{at}.contract",
                f"no ABI for this contract{nearest(each.contract, names)}; known are: {', '.join(names)}; "
                "add [[abis]] for another",
            )
            return
        actions = BUILTIN.actions(Name(each.contract))
        yield Problem(
            f"{at}.action",
            f"no ABI for this action of {each.contract}{nearest(each.action, actions)}; "
            f"known are: {', '.join(actions)}; add [[abis]] for another",
        )
        return
    for argument, fault, names_of_arguments in rule.problems(each, known):
        hint = nearest(argument, names_of_arguments)
        have = f"; its arguments are: {', '.join(names_of_arguments)}" if names_of_arguments else ""
        yield Problem(f"{at}.arguments.{argument}", f"{fault}{hint}{have}")
