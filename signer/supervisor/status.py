"""What `signer status` shows, put together from what each process says of itself. Pure, but for the disk's space."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from signer.channel import Message
    from signer.config import Config, Key
    from signer.supervisor.worker import Worker


@dataclass(frozen=True, slots=True)
class View:
    """A process as the supervisor sees it now.

    Attributes:
        worker: None where there is none.
        said: what it says of itself, None if it does not answer.
        silence: why nothing is known of it, in words; empty if it answered.
    """

    worker: Worker | None
    said: Message | None
    silence: str


def token_states(config: Config, views: dict[str, View]) -> dict[str, Any]:
    """Return every configured token, by name: purpose, state, reason, lanes, lanes_configured, proved_at.

    A token is `closed` while the process that works with it is not there. `views` has that process for each purpose
    of a token.
    """
    states: dict[str, Any] = {}
    for name, token in config.tokens.items():
        view = views[token.purpose]
        keeper = view.worker.keepers.get(name) if view.worker else None
        if keeper is None:
            states[name] = {
                "purpose": token.purpose,
                "state": "closed",
                "reason": view.silence or "the process that opens it has another configuration",
                "lanes": [],
                "lanes_configured": token.lanes,
                "proved_at": None,
            }
            continue
        known = {lane["id"]: lane["state"] for lane in (view.said or {}).get("lanes", {}).get(name, [])}
        lanes = [
            {"id": lane.id, "pid": lane.pid, "state": known.get(lane.id, "starting")}
            for lane in keeper.state.lanes.values()
        ]
        reason = keeper.state.reason or view.silence
        states[name] = {
            "purpose": token.purpose,
            "state": keeper.state.state,
            "reason": reason,
            "lanes": lanes,
            "lanes_configured": token.lanes,
            "proved_at": (view.said or {}).get("proved", {}).get(name),
        }
    return states


def key_states(config: Config, views: dict[str, View]) -> list[dict[str, Any]]:
    """Return every configured key, in the order of the configuration; `views` as in token_states."""
    known = {
        key["public_key"]: key for view in views.values() for key in (view.said["keys"] if view.said else [])
    }
    return [
        known.get(str(key.public_key)) or _unknown(key, views[config.tokens[key.token].purpose])
        for key in config.keys
    ]


def node_terms(config: Config) -> dict[str, Any]:
    """Return each node's chain, timeout and margin."""
    return {
        name: {"chain": node.chain, "timeout_ms": node.timeout_ms, "margin_ms": node.margin_ms}
        for name, node in config.nodes.items()
    }


def space(folder: Path) -> dict[str, int | None]:
    """Return free and all bytes of the file system that `folder` is on; None where it cannot be asked."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return {"free_bytes": None, "size_bytes": None}
    return {"free_bytes": found.f_bavail * found.f_frsize, "size_bytes": found.f_blocks * found.f_frsize}


def _unknown(key: Key, view: View) -> dict[str, Any]:
    return {
        "public_key": str(key.public_key),
        "legacy_public_key": key.public_key.legacy,
        "curve": key.public_key.curve.value,
        "role": key.role,
        "node": key.node,
        "token": key.token,
        "label": key.label,
        "state": "unavailable",
        "reason": view.silence or "the process that opens its token has another configuration",
    }


def key_problems(keys: list[dict[str, Any]]) -> list[str]:
    """Return one sentence for each key that a person has to look at."""
    found = []
    for key in keys:
        if key["state"] in ("quarantined", "frozen") and key["role"] != "probe":
            of = f" of node {key['node']}" if key["node"] else ""
            role = "" if key["role"] == "block" else f"{key['role']} "
            found.append(f"{role}key {key['label']}{of} is {key['state']}: {key['reason']}")
    return found
