"""What the audit key signs of the audit log, and how it is checked. Pure.

A checkpoint says that the log had a line with a certain hash, and with it all lines before that one. What is signed is
the SHA-256 of a text that begins with words of its own, so that it is never a block or a transaction.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from signer.antelope.keys import Digest, PublicKey
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.errors import AuditError, FormatError
from signer.signing.audit import KIND, Anchor, Checkpoint, Kind, admit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Before the fields in what is signed. A change of the fields needs another number.
_PURPOSE: Final = "antelope-signer audit checkpoint 1\n"
#: What a checkpoint's text has, as `to_json` puts it: a line of syslog may have anything before it.
_MARK: Final = f'{{"{KIND}":"{Kind.CHECKPOINT.value}"'
#: The text that a Checkpoint needs until it is signed.
_UNSIGNED: Final = "-"


def unsigned(at: str, upto: int, line_hash: str, signer: str, key: PublicKey) -> Checkpoint:
    """Return a checkpoint that is not signed yet.

    Raises:
        FormatError: a field has the wrong form.
    """
    checkpoint = Checkpoint(at, upto, line_hash, signer, str(key), _UNSIGNED)
    admit(checkpoint)
    return checkpoint


def digest(checkpoint: Checkpoint) -> Digest:
    """Return what the audit key signs: everything of the checkpoint but the signature."""
    fields = asdict(checkpoint)
    del fields["signature"]
    text = _PURPOSE + json.dumps(fields, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return Digest(hashlib.sha256(text.encode("ascii")).digest())


def to_json(checkpoint: Checkpoint) -> str:
    """Return the one line that is sent off the host, without a newline."""
    return json.dumps({KIND: Kind.CHECKPOINT.value, **asdict(checkpoint)}, separators=(",", ":"))


def check(checkpoint: Checkpoint) -> None:
    """Check the signature.

    Raises:
        AuditError: the key that the checkpoint names did not sign it.
    """
    try:
        signed_by = recover(digest(checkpoint), Signature.parse(checkpoint.signature))
    except FormatError as error:
        raise AuditError(f"the signature is none: {error}") from None
    if str(signed_by) != checkpoint.key:
        raise AuditError(f"it was not signed by {checkpoint.key}")


def has_any(text: str) -> bool:
    """Tell whether a text has something that looks like a checkpoint."""
    return _MARK in text


def read(text: str, keys: Collection[PublicKey]) -> list[Checkpoint]:
    """Return the checkpoints in `text` that claim to be signed by one of `keys`, each with a signature that holds.

    Args:
        text: a checkpoint file, or what a syslog server kept. Other lines are skipped, and so is what follows the last
            newline: a line that a power loss cut short.
        keys: the audit keys that are believed.

    Raises:
        AuditError: a line is no checkpoint although it begins as one, or its signature does not hold.
    """
    names = {str(key) for key in keys}
    found = []
    whole, _, torn = text.rpartition("\n")
    lines = [*whole.split("\n"), *([torn] if torn.endswith("}") else [])]
    for number, line in enumerate(lines, 1):
        start = line.find(_MARK)
        if start < 0:
            continue
        checkpoint = _parse(line[start:], number)
        if checkpoint.key not in names:
            continue
        try:
            check(checkpoint)
        except AuditError as error:
            raise AuditError(f"line {number}: {error}") from None
        found.append(checkpoint)
    return found


def anchors(checkpoints: Iterable[Checkpoint]) -> list[Anchor]:
    """Return what they prove."""
    return [Anchor(each.upto, each.hash) for each in checkpoints]


def _parse(text: str, number: int) -> Checkpoint:
    try:
        fields: Any = json.loads(text)
        del fields[KIND]
        checkpoint = Checkpoint(**fields)
        admit(checkpoint)
    except (ValueError, TypeError, KeyError, RecursionError, FormatError):
        raise AuditError(f"line {number} is not a checkpoint") from None
    return checkpoint
