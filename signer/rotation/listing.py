"""What a running nodeos lists, judged against the signer's configuration: evidence and findings. Pure.

A key counts as listed only where nodeos would ask a listener of this signer that belongs to the key's node. No
text here repeats anything that a nodeos was told but public keys: a private key may be in the wrong place.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.parse
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from signer.rotation.evidence import Evidence, EvidenceKind
from signer.rotation.finding import Finding, Level
from signer.rotation.nodeos_options import ProviderKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from signer.antelope.keys import PublicKey
    from signer.config import Config, Key, Listener
    from signer.rotation.nodeos_options import NodeosOptions, Provider

_SIGN_DIGEST: Final = "/v1/wallet/sign_digest"
_UNIX: Final = "unix://"
_RESTART: Final = "correct config.ini, restart this nodeos, and attest again"


class Listing(NamedTuple):
    """What one nodeos lists.

    Attributes:
        evidence: one for each block key of the node: `file` or `unlisted`.
        findings: what a person should put in order; all are warnings.
    """

    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]


def judge(
    config: Config, node: str, options: NodeosOptions, *, at: datetime, detail: str, by: str
) -> Listing:
    """Judge what the nodeos of `node` was told.

    Args:
        config: the signer's configuration.
        node: a name in its [nodes].
        options: what the nodeos was told.
        at: when it was read (UTC).
        detail: where, for a person.
        by: who looked.
    """
    own = [key.public_key for key in config.keys if key.role == "block" and key.node == node]
    findings = [
        *_producer(config, node, options),
        *_timeout(config, node, options),
        *_finalizer_keys(config, node, options),
    ]
    good: set[PublicKey] = set()
    bad: set[PublicKey] = set()
    for provider in options.providers:
        found = _provider(config, node, provider)
        if found is not None:
            findings.append(found)
        if provider.key is not None:
            (good if found is None else bad).add(provider.key)
    producer = config.chains[config.nodes[node].chain].producer
    # Without the producer's name a nodeos asks for no key at all.
    listed = good - bad if producer in (None, *options.producers) else set()
    findings += _twice(options)
    findings += _missing(node, [key for key in own if key not in listed], len(own))
    evidence = tuple(
        Evidence(node, EvidenceKind.FILE if key in listed else EvidenceKind.UNLISTED, key, at, detail, by)
        for key in own
    )
    return Listing(evidence, tuple(findings))


def _warning(rule: str, text: str, remedy: str = _RESTART) -> Finding:
    return Finding(rule, Level.WARNING, text, remedy)


def _producer(config: Config, node: str, options: NodeosOptions) -> Iterator[Finding]:
    producer = config.chains[config.nodes[node].chain].producer
    if producer is not None and producer not in options.producers:
        yield _warning(
            "producer-name",
            f"this nodeos does not have producer-name {producer}, so it never produces for it",
            f"add producer-name = {producer} to config.ini, restart this nodeos, and attest again",
        )


def _timeout(config: Config, node: str, options: NodeosOptions) -> Iterator[Finding]:
    expected = config.nodes[node].timeout_ms
    if options.timeout_ms != expected:
        has = "no readable number" if options.timeout_ms is None else f"{options.timeout_ms} ms"
        yield _warning(
            "timeout",
            f"this nodeos has keosd-provider-timeout {has}, and the signer reckons with {expected} ms",
            f"set keosd-provider-timeout = {expected} and restart this nodeos, or correct nodes.{node}.timeout_ms",
        )


def _finalizer_keys(config: Config, node: str, options: NodeosOptions) -> Iterator[Finding]:
    listed = {provider.finalizer: provider.place for provider in options.providers if provider.finalizer}
    own = config.nodes[node].finalizer_key
    if own is not None and own not in listed:
        yield _warning("finalizer-key", f"this nodeos does not list nodes.{node}.finalizer_key {own}")
    for name, other in config.nodes.items():
        if name != node and other.finalizer_key in listed:
            yield _warning(
                "finalizer-key",
                f"the finalizer key of node {name} is listed here too ({listed[other.finalizer_key]}): "
                "two nodes with one finalizer key can vote against each other",
            )


def _provider(config: Config, node: str, provider: Provider) -> Finding | None:
    """What is wrong with one provider, None if it asks this signer for a key of this node."""
    key, place = provider.key, provider.place
    if provider.kind is ProviderKind.MALFORMED:
        return _warning(
            "malformed",
            f"{place} is not PUBLIC_KEY=KEOSD:URL, without quotes or blanks: nodeos ignores it, or does not start",
        )
    if key is None:
        return None
    home = next((each for each in config.keys if each.public_key == key), None)
    if provider.kind is ProviderKind.KEY:
        ours = "" if home is None else f", though it is in token {home.token}"
        return _warning(
            "key-in-memory",
            f"{place} has {key} as KEY: this nodeos holds the private key itself{ours}",
            "use a key of this signer instead; only a peer key of p2p gossip has to be there",
        )
    return _asked(config, node, provider, key, home)


def _asked(config: Config, node: str, provider: Provider, key: PublicKey, home: Key | None) -> Finding | None:
    """What is wrong with one `KEOSD:URL`.

    Args:
        config: the signer's configuration.
        node: the node that is looked at.
        provider: what it lists.
        key: the key in it.
        home: that key in this signer's configuration, None where it has no such key.
    """
    place = f"{provider.place}, {key}"
    print_it = f"take the line that `signer nodes config {node}` prints"
    target = _target(config, provider.url)
    if isinstance(target, str):
        # A key that this signer does not have is another signer's business.
        return None if home is None else _warning("url", f"{place}: {target}", print_it)
    if target.node != node:
        return _warning(
            "other-listener", f"{place}: asks {target.address}, the listener of node {target.node}", print_it
        )
    if home is None:
        return _warning("unknown-key", f"{place}: asks this signer, which does not have this key")
    if home.node != node:
        whose = f"a key of node {home.node}" if home.node else f"the {home.role} key"
        return _warning("other-key", f"{place}: is {whose}, and will be refused here")
    return None


def _twice(options: NodeosOptions) -> Iterator[Finding]:
    for key, count in Counter(provider.key for provider in options.providers).items():
        if key is not None and count > 1:
            yield _warning("listed-twice", f"{key} is listed {count} times; nodeos uses the last one only")


def _missing(node: str, missing: list[PublicKey], count: int) -> Iterator[Finding]:
    if missing:
        yield _warning(
            "unlisted-keys",
            f"{len(missing)} of this node's {count} keys cannot be used by this nodeos: "
            + ", ".join(str(key) for key in missing),
            f"paste what `signer nodes config {node}` prints into config.ini, restart this nodeos, and attest again",
        )


# -- KEOSD:URL --------------------------------------------------------------------------------------------


def _target(config: Config, url: str) -> Listener | str:
    """The node listener of this signer that `url` reaches, or why it reaches none."""
    listeners = [listener for listener in config.listeners if listener.kind == "node"]
    if url.startswith(_UNIX):
        return _unix_target(listeners, url.removeprefix(_UNIX))
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or 80
        host = ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        return "names no IP address in its URL; nodeos resolves a host name on its main thread without a deadline"
    if parts.scheme != "http" or "@" in parts.netloc:
        return "its URL is not http://ADDRESS:PORT; nodeos speaks nothing else over TCP"
    for listener in listeners:
        tcp = listener.tcp
        if tcp is None or tcp.port != port:
            continue
        if tcp.unspecified or ipaddress.ip_address(tcp.host) == host:
            if parts.path != _SIGN_DIGEST or parts.query or parts.fragment:
                return f"its URL does not end in {_SIGN_DIGEST}, so every request is answered 404"
            return listener
    return "its URL is no listener of this signer"


def _unix_target(listeners: list[Listener], path: str) -> Listener | str:
    sockets = {os.path.normpath(each.unix): each for each in listeners if each.unix is not None}
    if path in sockets:
        return sockets[path]
    if any(path.startswith(f"{socket}/") for socket in sockets):
        return (
            "its URL has a path behind the socket; nodeos from Leap 5.0 on spins for ever at the first block"
        )
    return "its URL is no socket of this signer"
