"""Finds lines of an audit log, the newest first: bounded in bytes, in lines and in time. Nothing is verified.

The log is read from its end, a block at a time, then its older files. A line is looked at as bytes first: it has one
way to be written (audit.serialise), so what does not hold the wanted field's text need not be parsed.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from signer.errors import AuditError
from signer.signing.audit import (
    ACT,
    BY,
    DIGEST,
    KEY,
    KIND,
    MAX_LINE,
    NODE,
    RULE,
    VERDICT,
    ChainError,
    Fields,
    Kind,
    parse,
)
from signer.signing.audit_files import older_than, open_file

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

#: Lines of one answer.
MAX_FOUND: Final = 100
#: At 600 bytes a line, some 100,000 decisions: three weeks of a producer of 21.
MAX_BYTES: Final = 64_000_000
#: Who searches waits no longer than this, in s.
MAX_S: Final = 3.0
_BLOCK: Final = 262_144
#: What is written for the signer itself and says nothing to a person.
_HIDDEN: Final = frozenset({Kind.COUNTERS, Kind.CHECKPOINT})


@dataclass(frozen=True, slots=True)
class Query:
    """What a line has to be like. An empty text is no condition.

    Attributes:
        key: the key, PUB_ form.
        node: the node's name.
        verdict: `signed`, `refused`, `failed` or `late`.
        rule: the rule that refused.
        digest: how the digest begins, hex.
        act: the name of an administrative act.
        by: how the person is called in an act, as the log has it.
        since: no line before this time, as a line has it (audit.timestamp).
        until: no line after this time.
    """

    key: str = ""
    node: str = ""
    verdict: str = ""
    rule: str = ""
    digest: str = ""
    act: str = ""
    by: str = ""
    since: str = ""
    until: str = ""

    def equal(self) -> dict[str, str]:
        """Return the fields that have to be exactly so."""
        wanted = {KEY: self.key, NODE: self.node, VERDICT: self.verdict, RULE: self.rule}
        return {name: text for name, text in (wanted | {ACT: self.act, BY: self.by}).items() if text}


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        lines: the newest first.
        searched_to: the time of the oldest line that was looked at; empty: there was none.
        whole: whether all of the log in the wanted time was looked at.
    """

    lines: tuple[Fields, ...]
    searched_to: str
    whole: bool


def search(
    path: Path,
    query: Query,
    *,
    limit: int = MAX_FOUND,
    max_bytes: int = MAX_BYTES,
    max_s: float = MAX_S,
) -> Found:
    """Return the newest lines of the log at `path` that `query` describes.

    Raises:
        AuditError: the log cannot be read.
    """
    equal = query.equal()
    needles = [json.dumps({name: text}, separators=(",", ":"))[1:-1].encode() for name, text in equal.items()]
    if query.digest:
        needles.append(f'"{DIGEST}":"{query.digest}'.encode())
    deadline = time.monotonic() + max_s
    found: list[Fields] = []
    searched_to = ""
    read = 0
    with closing(_whole_log(path)) as lines:
        try:
            for line in lines:
                read += len(line)
                at = _at(line)
                if at:
                    searched_to = at
                if query.since and at and at < query.since:
                    return Found(tuple(found), query.since, whole=True)
                if (not query.until or at <= query.until) and all(each in line for each in needles):
                    fields = _fields(line)
                    if fields is not None and _matches(fields, equal, query.digest):
                        found.append(fields)
                if len(found) >= limit or read > max_bytes or time.monotonic() > deadline:
                    return Found(tuple(found), searched_to, whole=False)
        except OSError as error:
            raise AuditError(f"audit log {path} cannot be read: {error.strerror}") from None
    return Found(tuple(found), searched_to, whole=True)


def _whole_log(path: Path) -> Generator[bytes]:
    """Yield the lines of every file of the log from the last to the first."""
    with open_file(path) as newest:
        older = older_than(newest, path)
        yield from _backwards(newest)
    for each in reversed(older):
        with open_file(each) as stream:
            yield from _backwards(stream)


def _backwards(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of the file as it is now from the last to the first; what is no whole line yet is left out."""
    place = stream.seek(0, os.SEEK_END)
    rest = b""
    first = True
    while place > 0:
        size = min(_BLOCK, place)
        place -= size
        stream.seek(place)
        lines = (stream.read(size) + rest).split(b"\n")
        rest = lines[0]
        if len(rest) > MAX_LINE + _BLOCK:
            return  # no log of ours
        for line in reversed(lines[1:]):
            if first:
                first = False  # after the last newline: nothing, or a line that is being written
                continue
            yield line
    if rest:
        yield rest


def _at(line: bytes) -> str:
    """Return the time of a line without parsing it."""
    mark = b'"at":"'
    start = line.find(mark)
    return (
        ""
        if start < 0
        else line[start + len(mark) : line.find(b'"', start + len(mark))].decode("ascii", "replace")
    )


def _fields(line: bytes) -> Fields | None:
    try:
        fields = parse(line + b"\n")
    except ChainError:
        return None  # damaged: `signer audit verify` says so
    return None if fields[KIND] in _HIDDEN else fields


def _matches(fields: Fields, equal: dict[str, str], digest: str) -> bool:
    exact = all(fields.get(name) == text for name, text in equal.items())
    return exact and (not digest or str(fields.get(DIGEST) or "").startswith(digest))
