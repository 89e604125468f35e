"""Keys: were their attributes audited, do they sign, are there enough in enough places. Pure.

At each opening of its token a key is audited and signs a random digest that is verified; a K1 key signs the same one
twice, because a token with deterministic nonces could never sign half of all digests as nodeos wants them
(signer.signing.keyring). So an active key has passed, and a quarantined one says what it failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from signer.doctor.finding import Finding, failure, ok, unfit, unless, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signer.config import Config

#: Of signer.signing.keyring's text about a token that makes the same signature twice.
_DETERMINISTIC: Final = "deterministic"
_ROTATION_ROLES: Final = ("rotation", "audit")


def check(config: Config, keys: Sequence[Mapping[str, Any]], *, production: bool) -> Iterator[Finding]:
    """Yield what the running signer knows of its keys, a line for each that does not sign, else one for each node.

    Args:
        config: the configuration.
        keys: the keys of `signer status`.
        production: whether a node needs more than one key.
    """
    for node in config.nodes:
        own = [key for key in keys if key.get("role") == "block" and key.get("node") == node]
        fine = ok("keys", node, f"{len(own)} block keys active: attributes audited, a probe of each verified")
        yield from unless(_unusable(own), fine)
        yield from _spare(config, node, production=production)
    yield from _others(keys)
    yield from _nonces(keys)


def _others(keys: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for role in (*_ROTATION_ROLES, "account", "probe"):
        own = [key for key in keys if key.get("role") == role]
        if own:
            yield from unless(_unusable(own), ok("keys", role, f"{len(own)} active"))


def _unusable(keys: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield one line for each reason that keys of one node or role do not sign for."""
    away = [key for key in keys if key.get("state") != "active"]
    for state, reason in dict.fromkeys((key.get("state"), str(key.get("reason") or "")) for key in away):
        own = [key for key in away if (key.get("state"), str(key.get("reason") or "")) == (state, reason)]
        yield _away(own, str(state), reason)


def _away(keys: Sequence[Mapping[str, Any]], state: str, reason: str) -> Finding:
    """What keys come to that do not sign for one reason."""
    labels = [str(key.get("label") or key.get("public_key")) for key in keys]
    token, role = str(keys[0].get("token")), keys[0].get("role")
    text = f"{role} {'key is' if len(keys) == 1 else 'keys are'} {state}"
    if state == "quarantined":
        text, remedy = f"{text}: {reason}", "runbook, Key quarantined; then signer reload"
    elif state == "frozen":
        text, remedy = f"{text}: {reason}", "see the line of the freeze"
    elif reason.endswith("the check of its keys is not done"):
        text, remedy = (
            f"{text}: {reason}",
            "normal for a moment; if it lasts: runbook, Logged in and does not sign",
        )
    elif reason.startswith(f"token {token} is"):
        remedy = f"see the line of token {token}"
    else:
        text, remedy = f"{text}: {reason}", f"see the line of token {token}"
    blocks = role == "block" or state == "quarantined"
    return (failure if blocks else warning)("keys", ", ".join(labels), text, remedy)


def _spare(config: Config, node: str, *, production: bool) -> Iterator[Finding]:
    own = [key for key in config.keys if key.role == "block" and key.node == node]
    if len(own) == 1:
        yield unfit(
            "spare-key",
            node,
            "one block key: moving to another needs a restart of its nodeos",
            f"signer keys generate --token {own[0].token} --node {node} --append --label LABEL; runbook, Add a key",
            production=production,
        )


def _nonces(keys: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield the verdict of the nonce probe that each opening makes, for tokens with K1 block keys."""
    tokens = sorted({str(key.get("token")) for key in keys if _is_k1(key)})
    for token in tokens:
        own = [key for key in keys if _is_k1(key) and key.get("token") == token]
        if any(_DETERMINISTIC in str(key.get("reason")) for key in own):
            yield failure(
                "nonces",
                token,
                "it makes the same K1 signature twice of one digest, so half of all blocks could never be signed",
                "use R1 keys in this token, or set it to random nonces",
            )
        elif any(key.get("state") == "active" for key in own):
            yield ok("nonces", token, "its K1 signatures have random nonces, by a probe when it was opened")


def _is_k1(key: Mapping[str, Any]) -> bool:
    return key.get("curve") == "K1" and key.get("role") == "block"
