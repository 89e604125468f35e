"""`signer audit`: does a log hold, and what is its last line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from signer.commands.exit_code import ExitCode
from signer.errors import AuditError, FormatError
from signer.signing import audit_reader
from signer.signing.audit import Anchor

if TYPE_CHECKING:
    import argparse


def verify(arguments: argparse.Namespace) -> int:
    """Check each log, and that the anchored line is in it."""
    anchored = _anchor(arguments.anchor) if arguments.anchor else None
    reports = [audit_reader.verify(Path(file), anchored) for file in arguments.files]
    if arguments.json:
        print(json.dumps([report.to_json() for report in reports], indent=2))
    else:
        print("\n".join(line for report in reports for line in report.lines()))
    return ExitCode.OK if all(report.ok for report in reports) else ExitCode.FINDINGS


def anchor(arguments: argparse.Namespace) -> int:
    """Print an anchor for a log that holds."""
    print(audit_reader.anchor(Path(arguments.file)).to_json(), end="")
    return ExitCode.OK


def _anchor(file: str) -> Anchor:
    try:
        return Anchor.from_json(Path(file).read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise AuditError(f"anchor {file} cannot be read: {error.strerror}") from None
    except FormatError as error:
        raise FormatError(f"anchor {file}: {error}") from None
