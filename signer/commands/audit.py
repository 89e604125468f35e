"""`signer audit`: does a log hold, what is its last line, and its lines for other programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from signer import config_file
from signer.antelope.keys import PublicKey
from signer.commands.exit_code import ExitCode
from signer.errors import AuditError, FormatError
from signer.signing import audit_reader, checkpoint
from signer.signing.audit import AT, Anchor, timestamp

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def log_path(given: str | None, config: str | None) -> Path:
    """Return the log that a command is about: `given`, else the configuration's.

    Raises:
        ConfigError: none is given, and there is no configuration.
    """
    if given is not None:
        return Path(given)
    return config_file.load(config_file.find(config)).audit_log


def verify(arguments: argparse.Namespace) -> int:
    """Check each log, and that every anchored line is in it."""
    files = arguments.files or [str(log_path(None, arguments.config))]
    text = _text(arguments.anchor) if arguments.anchor else ""
    try:
        anchors = _anchors(text, arguments) if arguments.anchor else []
    except AuditError as error:
        print(f"signer: {error}", file=sys.stderr)
        return ExitCode.FINDINGS
    reports = [audit_reader.verify(Path(file), anchors, begins=arguments.begins) for file in files]
    if arguments.json:
        print(json.dumps([report.to_json() for report in reports], indent=2))
    else:
        print("\n".join(line for report in reports for line in report.lines()))
    return ExitCode.OK if all(report.ok for report in reports) else ExitCode.FINDINGS


def anchor(arguments: argparse.Namespace) -> int:
    """Print an anchor for a log that holds."""
    path = log_path(arguments.file, arguments.config)
    print(audit_reader.anchor(path, begins=arguments.begins).to_json(), end="")
    return ExitCode.OK


def export(arguments: argparse.Namespace) -> int:
    """Print the lines of a while as they are, each checked against those before it."""
    since = "" if arguments.since is None else timestamp(_moment(arguments.since))
    until = "~" if arguments.until is None else timestamp(_moment(arguments.until))
    reading = audit_reader.read(log_path(arguments.file, arguments.config), begins=arguments.begins)
    for line, fields in reading.lines():
        if since <= str(fields[AT]) <= until:
            sys.stdout.write(line.decode("ascii"))
    if reading.fault is not None:
        print(f"signer: {reading.report().verdict}; what follows it is not printed", file=sys.stderr)
        return ExitCode.FINDINGS
    return ExitCode.OK


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FormatError(f"{text!r} is no time; write it as 2026-11-27T10:00:00Z") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise AuditError(f"anchor {file} cannot be read: {error.strerror}") from None


def _anchors(text: str, arguments: argparse.Namespace) -> list[Anchor]:
    """Return what the anchor file proves.

    Raises:
        AuditError: a checkpoint in it is not what its signature says.
        FormatError: it has neither an anchor nor a checkpoint that a known audit key claims.
    """
    file = arguments.anchor
    if not checkpoint.has_any(text):
        try:
            return [Anchor.from_json(text)]
        except FormatError as error:
            raise FormatError(f"anchor {file}: {error}, nor a file of checkpoints") from None
    keys = _audit_keys(arguments)
    try:
        found = checkpoint.read(text, keys)
    except AuditError as error:
        raise AuditError(f"anchor {file}: {error}") from None
    if not found:
        named = ", ".join(map(str, keys))
        raise FormatError(f"anchor {file}: has checkpoints, and none by {named}")
    return checkpoint.anchors(found)


def _audit_keys(arguments: argparse.Namespace) -> Sequence[PublicKey]:
    """Return the keys that checkpoints are believed of.

    Raises:
        FormatError: a key is none, or there is none.
        ConfigError: no key is given, and there is no configuration.
    """
    if arguments.key:
        return [PublicKey.parse(key) for key in arguments.key]
    path = config_file.find(arguments.config)
    keys = [key.public_key for key in config_file.load(path).keys if key.role == "audit"]
    if not keys:
        raise FormatError(f"{path}: has no key of role audit; name the one that signed with --key")
    return keys
