"""The text of a trial's signer.toml, commented for the person who reads it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hsm.uri import TokenUri
from trial.layout import CONTROL, NODES, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trial.chain import Producer
    from trial.layout import Layout
    from trial.ring import RingKey

#: What the config calls the one chain of a trial.
CHAIN: Final = "local"
#: The id of the chain that nodeos makes without --genesis-json (Leap's and Spring's default genesis).
LOCAL_CHAIN_ID: Final = "8a34ec7df1b8cd06ff4a8abbaa7cc50300823350cadc59ab296cb00d104d2b8f"

#: Added to the port of `primary`.
PORT_OFFSETS: Final = {"primary": 0, "standby": 1, CONTROL: 2}


def config_text(
    layout: Layout, keys: tuple[RingKey, ...], module: str, port: int, chain: tuple[str, Producer] | None
) -> str:
    """Return signer.toml: listeners from `port` on, one token and one node each for primary and standby.

    `chain` is its id, and the producer whose keys are rotated there.
    """
    parts = [
        "# Made by deploy/quickstart for a trial. SoftHSM is a software token: it protects against nobody",
        "# who can read this folder. deploy/signer.example.toml explains every setting. Edits here are kept;",
        "# after one, run 'signer check-config' and 'signer reload' with this file as --config.",
        "",
        'state_dir = "state"',
        "",
        *_chain(chain),
        "",
    ]
    for name in TOKENS:
        parts += _token(name, module)
    for name in NODES:
        parts += [
            f"[nodes.{name}]",
            f'chain = "{CHAIN}"',
            "timeout_ms = 5  # nodeos' keosd-provider-timeout",
            "",
        ]
    for name in NODES:
        parts += _listener("node", unix=_path(layout, layout.sign_socket(name)), node=name)
        parts += _listener("node", tcp=port + PORT_OFFSETS[name], node=name)
    parts += _listener("wallet", unix=_path(layout, layout.wallet_socket))
    parts += _listener("admin", unix=_path(layout, layout.admin_socket))
    parts += _listener("control", tcp=port + PORT_OFFSETS[CONTROL])
    for key in keys:
        parts += _key(key)
    return "\n".join(parts)


def _chain(chain: tuple[str, Producer] | None) -> list[str]:
    if chain is None:
        return [
            "# The chain that nodeos makes without --genesis-json. Put the id of your test chain here.",
            f"[chains.{CHAIN}]",
            f'id = "{LOCAL_CHAIN_ID}"',
        ]
    chain_id, producer = chain
    lines = [
        "# The chain of the nodes below, and the producer whose block-signing key this signer registers there.",
        f"[chains.{CHAIN}]",
        f'id = "{chain_id}"',
        f"api = {_list(producer.api)}",
        f'producer = "{producer.name}"',
    ]
    if producer.other_rotation_keys:
        lines.append(f"other_rotation_keys = {_list(map(str, producer.other_rotation_keys))}")
    return lines


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _path(layout: Layout, path: Path) -> str:
    return str(path.relative_to(layout.folder)) if path.is_relative_to(layout.folder) else str(path)


def _token(name: str, module: str) -> list[str]:
    return [
        f"[tokens.{name}]",
        f'uri = "{TokenUri(module, token=name)}"',
        "software = true",
        f'environment = {{ SOFTHSM2_CONF = "softhsm/{name}/softhsm2.conf" }}',
        f'pin_file = "pins/{name}.pin"',
        f'purpose = "{"control" if name == CONTROL else "block"}"',
        "",
    ]


def _listener(
    kind: str, *, unix: str | None = None, tcp: int | None = None, node: str | None = None
) -> list[str]:
    lines = ["[[listeners]]", f'kind = "{kind}"']
    if node is not None:
        lines.append(f'node = "{node}"')
    lines.append(f'unix = "{unix}"' if unix is not None else f'tcp = "127.0.0.1:{tcp}"')
    return [*lines, ""]


def _key(key: RingKey) -> list[str]:
    lines = ["[[keys]]", f'public_key = "{key.public_key}"', f'role = "{key.wanted.role}"']
    if key.wanted.node is not None:
        lines.append(f'node = "{key.wanted.node}"')
    if key.wanted.role == "rotation":
        lines.append(f'chain = "{CHAIN}"')
    return [*lines, f'token = "{key.wanted.token}"', f'label = "{key.wanted.label}"', ""]
