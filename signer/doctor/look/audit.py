"""The end of the audit log, read and followed from line to line."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from signer.doctor.facts import AuditFact
from signer.errors import AuditError
from signer.signing.audit import ChainError, line_hash, parse
from signer.signing.audit_reader import tail

if TYPE_CHECKING:
    from pathlib import Path

#: A thousand lines or so. All of it is what `signer audit verify` reads.
_BYTES: Final = 600_000
#: What signer.signing.audit_writer calls a file that it takes out of the way.
_ASIDE: Final = re.compile(r"\.(foreign|damaged|torn)(-\d+)*$")


def audit(path: Path) -> AuditFact:
    """Return what holds of the last lines of the log at `path`, and what is beside it."""
    return replace(_tail(path), aside=_aside(path))


def _aside(path: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(name for name in os.listdir(path.parent) if _ASIDE.search(name)))  # noqa: PTH208 - names
    except OSError:
        return ()


def _tail(path: Path) -> AuditFact:
    try:
        lines = [line for line in tail(path, _BYTES) if line.endswith(b"\n")]
    except AuditError as error:
        return AuditFact(0, problem=str(error))
    head, count = "", 0
    for number, line in enumerate(lines):
        try:
            fields = parse(line)
        except ChainError as error:
            if number == 0:
                continue  # its beginning is not among these bytes
            return AuditFact(count, fault=f"line {-(len(lines) - number)} from the end: {error}")
        if head and fields["prev"] != head:
            return AuditFact(
                count, fault=f"line with seq {fields['seq']} does not follow from the one before"
            )
        head, count = line_hash(line), count + 1
    return AuditFact(count)
