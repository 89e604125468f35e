"""`signer doctor`: what can make a producer miss or leak, a line for each, with what to do."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from signer import __version__, config_file
from signer.admin_client import AdminClient
from signer.commands.colour import Colour, Palette
from signer.commands.exit_code import ExitCode
from signer.commands.table import plain
from signer.config_rules import nearest
from signer.doctor import service, settings
from signer.doctor.examination import Examination, Wanted
from signer.errors import AdminUnreachableError, ConfigError, ConfigForbiddenError
from signer.rotation.permission import Verdict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from signer.doctor.finding import Finding

#: What stands last on a terminal is what is seen: the worst.
_ORDER: Final = (Verdict.OK, Verdict.UNKNOWN, Verdict.WARNING, Verdict.FAILURE)
_COLOURS: Final[dict[Verdict, Colour]] = {
    Verdict.OK: "green",
    Verdict.UNKNOWN: "cyan",
    Verdict.WARNING: "yellow",
    Verdict.FAILURE: "red",
}
#: Of the text, from its left edge on.
_INDENT: Final = 9
_MIN_WIDTH: Final = 60
_MAX_WIDTH: Final = 140
_UNBROKEN: Final = 100_000


def doctor(arguments: argparse.Namespace) -> int:
    """Look at everything. A failure is a finding; with --strict a warning and what is not known, too."""
    path = config_file.find(arguments.config)
    try:
        config = config_file.load(path)
    except ConfigForbiddenError:
        raise
    except ConfigError as fault:
        found = _without_config(path, fault)
    else:
        for kind, given, known in (
            ("chain", arguments.chain, config.chains),
            ("node", arguments.node, config.nodes),
        ):
            for name in given or ():
                if name not in known:
                    raise ConfigError(
                        f"{path}: has no {kind} {name}{nearest(name, known)}; known are: {', '.join(known)}"
                    )
        wanted = Wanted(
            production=arguments.production,
            chains=tuple(arguments.chain or ()),
            nodes=tuple(arguments.node or ()),
            quick=arguments.quick,
            token_file=arguments.token_file,
        )
        found = list(Examination(path, config, AdminClient(config.admin_socket), wanted).findings())
    counts = Counter(each.verdict for each in found)
    worst = max((each.verdict for each in found), key=_ORDER.index)
    if arguments.json:
        answer = {
            "config": str(path),
            "version": __version__,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "production": arguments.production,
            "verdict": worst.value,
            "counts": {each.value: counts[each] for each in _ORDER},
            "findings": [asdict(each) for each in found],
        }
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(_report(found, counts)))
    bad = worst is Verdict.FAILURE or (arguments.strict and worst is not Verdict.OK)
    return ExitCode.FINDINGS if bad else ExitCode.OK


def _without_config(path: Path, fault: ConfigError) -> list[Finding]:
    """Look at what runs all the same.

    Raises:
        ConfigError: not even the admin socket is in the file.
    """
    site = config_file.locate(path)
    found = list(settings.invalid(str(fault)))
    try:
        found += service.check(AdminClient(site.admin_socket).get("/v1/status"), __version__)
    except AdminUnreachableError as error:
        found += service.down(str(error), running=error.running)
    return found


def _report(found: Iterable[Finding], counts: Counter[Verdict]) -> list[str]:
    palette = Palette.of_stdout()
    width = _UNBROKEN  # for grep
    if sys.stdout.isatty():
        width = min(max(shutil.get_terminal_size().columns, _MIN_WIDTH), _MAX_WIDTH)
    text = []
    for each in sorted(found, key=lambda one: _ORDER.index(one.verdict)):
        text += _lines(each, palette, width)
    summary = ", ".join(f"{counts[each]} {_words(each, counts[each])}" for each in reversed(_ORDER))
    return [*text, "", f"doctor: {summary}"]


def _words(verdict: Verdict, count: int) -> str:
    counted = verdict in (Verdict.FAILURE, Verdict.WARNING) and count != 1
    return f"{verdict.value}s" if counted else verdict.value


def _lines(found: Finding, palette: Palette, width: int) -> list[str]:
    what = f"{found.check} {found.subject}".strip()
    word = f"{found.verdict.value:<{_INDENT - 1}} "
    blank = " " * _INDENT
    said = textwrap.wrap(
        plain(f"{what}: {found.text}"),
        width,
        initial_indent=blank,
        subsequent_indent=f"{blank}  ",
        break_on_hyphens=False,
    )
    said[0] = palette.paint(_COLOURS[found.verdict], word) + said[0][_INDENT:]
    if found.remedy:
        said += textwrap.wrap(
            plain(f"do: {found.remedy}"),
            width,
            initial_indent=f"{blank}  ",
            subsequent_indent=f"{blank}      ",
            break_on_hyphens=False,
            break_long_words=False,
        )
    return said
