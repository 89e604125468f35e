"""`signer nodes config`: what to paste into a nodeos' config.ini."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from signer import config_file
from signer.commands.exit_code import ExitCode
from signer.config_rules import nearest
from signer.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from signer.config import Config

_SIGN_DIGEST: Final = "/v1/wallet/sign_digest"
_WHY_NO_PATH: Final = "no path after the socket: nodeos from Leap 5.0 on hangs for ever where one follows"


def config(arguments: argparse.Namespace) -> int:
    """Print the lines for one node."""
    path = config_file.find(arguments.config)
    settings = config_file.load(path)
    if arguments.name not in settings.nodes:
        raise ConfigError(
            f"{path}: has no node {arguments.name}{nearest(arguments.name, settings.nodes)}; "
            f"known are: {', '.join(settings.nodes) or 'none'}"
        )
    url, socket = addresses(settings, arguments.name)
    if arguments.unix and socket is None:
        raise ConfigError(
            f"{path}: node {arguments.name} has no unix socket; add a listener with unix, or leave out --unix"
        )
    text = _lines(settings, arguments.name, url, socket, unix=arguments.unix or url is None)
    if arguments.json:
        node = settings.nodes[arguments.name]
        answer = {
            "node": arguments.name,
            "chain": node.chain,
            "chain_id": settings.chains[node.chain].id,
            "timeout_ms": node.timeout_ms,
            "url": url,
            "socket": socket,
            "public_keys": block_keys(settings, arguments.name),
            "lines": [line for line in text if not line.startswith("#")],
        }
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(text))
    return ExitCode.OK


def addresses(settings: Config, node: str) -> tuple[str | None, str | None]:
    """Return the URL and the unix socket of a node's first listener of each form, None where it has none."""
    own = [listener for listener in settings.listeners if listener.node == node]
    tcp = next((listener.tcp for listener in own if listener.tcp is not None), None)
    unix = next((listener.unix for listener in own if listener.unix is not None), None)
    return (f"http://{tcp}{_SIGN_DIGEST}" if tcp else None), (str(unix) if unix else None)


def block_keys(settings: Config, node: str) -> list[str]:
    """Return a node's keys in PUB_ form."""
    return [str(key.public_key) for key in settings.keys if key.node == node]


def _lines(settings: Config, name: str, url: str | None, socket: str | None, *, unix: bool) -> list[str]:
    node = settings.nodes[name]
    keys = block_keys(settings, name)
    text = [
        f"# for config.ini of node {name} (chain {node.chain})",
        "# nodeos reads these lines at start only: list every key that production may move to",
        f"keosd-provider-timeout = {node.timeout_ms}",
    ]
    if url is not None:
        if any(
            listener.node == name and listener.tcp and listener.tcp.unspecified
            for listener in settings.listeners
        ):
            text.append(
                "# the signer listens on every address: put the one that this nodeos reaches into the URL"
            )
        mark = "# " if unix else ""
        if unix:
            text.append("# or by TCP:")
        text += [f"{mark}signature-provider = {key}=KEOSD:{url}" for key in keys]
    if socket is not None:
        mark = "" if unix else "# "
        text.append(f"# {'' if unix else 'or '}by unix socket ({_WHY_NO_PATH}):")
        text += [f"{mark}signature-provider = {key}=KEOSD:unix://{socket}" for key in keys]
    return text
