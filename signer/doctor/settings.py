"""What is valid in the configuration and still unwise, where no other check says it better.

`signer check-config --strict` says the same, of the file alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from signer import config_warnings
from signer.doctor.finding import Finding, failure, ok, unless, warning
from signer.policy.bypass import bypasses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.config import Config

#: Said with more detail by signer.doctor.tokens, .pins, .keys, .sockets and the policies below.
_ELSEWHERE: Final = re.compile(r"tokens\.[^:]*\.(software|pin_file)|policies\[.*|nodes\.[^:.]*: has one key")


def check(config: Config, path: str) -> Iterator[Finding]:
    """Yield what is unwise in the file at `path`, and which policies lead around the preflight of a rotation."""
    lines = [line for line in config_warnings.warnings(config) if not _ELSEWHERE.match(line)]
    yield from unless((_finding(line) for line in lines), ok("config", "", f"{path} is valid"))
    around = [
        failure(
            "bypass",
            each.chain,
            f"{each.at}: {each.text}",
            "take the rule out of the policy; signer rotate does that with preflight, approval and journal",
        )
        for each in bypasses(config)
    ]
    if any(key.role == "account" for key in config.keys):
        yield from unless(around, ok("bypass", "", "no policy lets an account key register a block key"))


def invalid(fault: str) -> Iterator[Finding]:
    """Yield what a file comes to that would not be served."""
    for line in fault.splitlines():
        text, _, remedy = line.partition("; ")
        yield failure(
            "config",
            "",
            f"{text}; a running signer goes on with what it has, a start or a reload fails",
            remedy or "correct it, then: signer check-config",
        )


def _finding(line: str) -> Finding:
    at, _, rest = line.partition(": ")
    text, _, remedy = rest.rpartition("; ")
    return warning("config", at, text or rest, remedy if text else "signer check-config --strict")
