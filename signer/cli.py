"""The command line `signer`: the arguments of every command, and the way from an exception to an exit code.

A command's module is imported only when the command is given, so that each starts as fast as it can.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NoReturn

from signer import __version__
from signer.commands import exit_code
from signer.commands.exit_code import ExitCode
from signer.errors import (
    AdminRefusedError,
    AdminUnreachableError,
    ConfigError,
    ConfigForbiddenError,
    ControlRefusedError,
    ControlUnreachableError,
    FormatError,
    SignerError,
)

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Sequence

    _Commands = _SubParsersAction["_Parser"]

_FORBIDDEN_STATUSES: Final = (401, 403)
#: The first that fits counts.
_CODES: Final = (
    (ConfigForbiddenError, ExitCode.FORBIDDEN),
    (ConfigError, ExitCode.USAGE),
    (FormatError, ExitCode.USAGE),
    (AdminUnreachableError, ExitCode.UNREACHABLE),
    (ControlUnreachableError, ExitCode.UNREACHABLE),
    (PermissionError, ExitCode.FORBIDDEN),
    (SignerError, ExitCode.FAILED),
    (OSError, ExitCode.FAILED),
)
#: Exceptions of hsm.errors by name, because importing that takes time; any other is a problem with a token.
_HSM_CODES: Final = {"UriError": ExitCode.USAGE, "ProvisionError": ExitCode.FAILED}
#: How long an access token lasts, and may at most: nobody remembers what never ends.
_DAYS: Final = 90
_MAX_DAYS: Final = 3650
#: signer.control.auth.Scope, which takes time to import.
_SCOPES: Final = """\
scopes, none of which implies another:
  view     read everything but access tokens, and try a rotation without doing it
  operate  ask for a rotation, end it, freeze, and say what a node lists
  approve  agree to a rotation that another person asked for
  admin    make and end access tokens, end a freeze, and release a key for its destruction"""
_ROTATE: Final = """\
A rotation goes on by itself once it is asked for; this command only watches it. Without --wait it ends when nothing
was in the way, and says how to watch on.

exit codes with --wait:
  0    done, or registered-unscheduled: the key is registered and the producer is not elected
  1    refused, failed, aborted, superseded or returned; or --timeout is over
  3    the signer cannot be reached
  130  interrupted: the rotation goes on
With --json the last thing on standard output is one JSON object."""
_MAX_COUNT: Final = 2**31 - 1
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_MAX_UNITS: Final = 100_000
_ROLES: Final = ("block", "rotation", "account", "audit", "probe")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone; nothing more can be said, also not by Python on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        _say(error)
        return code


def _run(arguments: Sequence[str] | None) -> int:
    given = _parser().parse_args(arguments)
    module, function = given.run
    code: int = getattr(importlib.import_module(f"signer.commands.{module}"), function)(given)
    sys.stdout.flush()
    return code


def _code(error: Exception) -> ExitCode | None:
    """Return the exit code for an expected exception, None for one that is a fault of this program."""
    if isinstance(error, AdminRefusedError | ControlRefusedError) and error.status in _FORBIDDEN_STATUSES:
        return ExitCode.FORBIDDEN
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    if type(error).__module__ == "hsm.errors":
        return _HSM_CODES.get(type(error).__name__, ExitCode.TOKEN)
    return None


def _say(error: Exception) -> None:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    for line in [*text.splitlines(), *getattr(error, "__notes__", [])]:
        print(f"signer: {line}", file=sys.stderr)


# -- arguments --------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"signer: {message}; see `{self.prog} --help`", file=sys.stderr)
        sys.exit(ExitCode.USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="signer",
        description="Remote signer for Antelope block producers, with keys in PKCS#11 tokens.",
        epilog=exit_code.TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration (TOML)")
    parser.add_argument("--version", action="version", version=f"signer {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_process(commands)
    _add_freeze(commands)
    _add_rotation(commands)
    _add_config(commands)
    _add_keys(commands)
    _add_tokens(commands)
    _add_audit(commands)
    _add_alarms(commands)
    _add_lease(commands)
    return parser


def _add(commands: _Commands, name: str, run: tuple[str, str], text: str, *, json: bool = True) -> _Parser:
    """Add a command that `signer.commands.<run[0]>.<run[1]>` carries out."""
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=run)
    # Without a default, so that --config before the command is not overwritten.
    parser.add_argument(
        "--config", metavar="FILE", default=argparse.SUPPRESS, help="the configuration (TOML)"
    )
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return parser


def _group(commands: _Commands, name: str, text: str) -> _Commands:
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.add_argument(
        "--config", metavar="FILE", default=argparse.SUPPRESS, help="the configuration (TOML)"
    )
    return parser.add_subparsers(metavar="COMMAND", required=True)


def _add_process(commands: _Commands) -> None:
    serve = _add(commands, "serve", ("serve", "serve"), "serve until stopped", json=False)
    serve.add_argument(
        "--only", choices=("signing", "control"), help="start one process only, as a unit of its own"
    )
    _add(commands, "reload", ("process", "reload"), "serve with the configuration as it is now")
    _add(
        commands,
        "upgrade",
        ("upgrade", "upgrade"),
        "let the code that is on disk now take over, without closing a listener",
    )
    stop = _add(commands, "stop", ("process", "stop"), "end the signer and wait until it is gone")
    stop.add_argument(
        "--lose-audit",
        action="store_true",
        help="also when lines of the audit log wait for a disk that is full; they are lost",
    )
    status = _add(commands, "status", ("process", "status"), "show what runs, and what needs attention")
    status.add_argument(
        "--strict",
        action="store_true",
        help="exit with 5 when the signer is ready and something needs attention (the lines `attention:`)",
    )

    _add_doctor(commands)


def _add_doctor(commands: _Commands) -> None:
    watch = _add_control(commands, "watch", ("watch", "watch"), "watch it in this terminal", json=False)
    watch.description = (
        "Who signs now, the last slots, tokens and lanes, the last requests with their latency, alarms and a live "
        "rotation, in this terminal, until Ctrl-C."
    )
    doctor = _add_control(
        commands, "doctor", ("doctor", "doctor"), "say what can make a producer miss or leak, and what to do"
    )
    doctor.description = (
        "Look at everything that can make a producer miss or leak: each line is ok, warning, failure or unknown, with "
        "what to do. The worst stand last. Works while the signer is down, too; nothing is changed."
    )
    doctor.add_argument(
        "--production", action="store_true", help="also what will do for a trial only is a failure"
    )
    doctor.add_argument(
        "--strict", action="store_true", help="exit with 5 for warnings and for what is not known, too"
    )
    doctor.add_argument("--quick", action="store_true", help="measure nothing; takes a second or two")
    doctor.add_argument("--chain", action="append", metavar="CHAIN", help="this chain only; can be repeated")
    doctor.add_argument("--node", action="append", metavar="NODE", help="this node only; can be repeated")


def _add_freeze(commands: _Commands) -> None:
    freeze = _add(commands, "freeze", ("freeze", "freeze"), "stop signatures at once")
    unfreeze = _add(commands, "unfreeze", ("freeze", "unfreeze"), "end a freeze")
    for parser, required in ((freeze, True), (unfreeze, False)):
        scope = parser.add_mutually_exclusive_group(required=True)
        scope.add_argument("--key", metavar="KEY", help="one key: the public key in any form, or its label")
        scope.add_argument("--node", metavar="NODE", help="all keys of one node")
        scope.add_argument("--all", action="store_true", help="every key")
        parser.add_argument("--reason", required=required, type=_reason, help="for those who wonder")


def _add_alarms(commands: _Commands) -> None:
    alarms = _group(commands, "alarms", "what a person has to look at")
    _add(alarms, "list", ("alarms", "list_alarms"), "show the alarms in force")
    clear = _add(alarms, "clear", ("alarms", "clear"), "end an alarm that somebody has looked at")
    clear.add_argument("name", metavar="NAME", help="the alarm, as `signer alarms list` shows it")
    clear.add_argument(
        "subject", metavar="SUBJECT", nargs="?", help="what it is about; default all of that name"
    )
    clear.add_argument("--reason", required=True, type=_reason, help="for the audit log")


def _add_lease(commands: _Commands) -> None:
    lease = _group(commands, "lease", "which node may sign for a producer")
    _add(lease, "show", ("lease", "show"), "show who holds the lease of each chain's producer")
    take = _add(
        lease, "take", ("lease", "take"), "give the lease to a node; the others are refused from then on"
    )
    take.add_argument("node", metavar="NODE", help="the node, as in [nodes]")
    take.add_argument("--reason", required=True, type=_reason, help="for the audit log")


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; say why in a few words")
    return text


def _add_control(
    commands: _Commands, name: str, run: tuple[str, str], text: str, *, json: bool = True
) -> _Parser:
    """Add a command that asks the control API."""
    parser = _add(commands, name, run, text, json=json)
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="your access token; default $SIGNER_TOKEN_FILE, else control.token beside the configuration",
    )
    return parser


def _add_rotation(commands: _Commands) -> None:
    producer = _add_control(commands, "producer", ("producer", "producer"), "show who signs now")
    producer.add_argument("--chain", metavar="CHAIN", help="one chain only")
    _add_rotate(commands)
    rotations = _group(commands, "rotations", "rotations, past and live")
    listed = _add_control(rotations, "list", ("rotations", "list_rotations"), "show rotations, newest first")
    listed.add_argument("--limit", type=_count, default=20, metavar="N", help="at most so many; default 20")
    for name, text in (
        ("show", "show one with its history"),
        ("watch", "follow one to its end; exit codes as of rotate --wait"),
        ("abort", "end one whose key is not registered yet"),
        ("approve", "agree to one that somebody else asked for"),
    ):
        one = _add_control(rotations, name, ("rotations", name), text)
        one.add_argument(
            "id", type=_count, metavar="ID", help="its number, as `signer rotations list` shows it"
        )
        if name == "watch":
            _add_timeout(one)
    permission = _group(commands, "permission", "the permission that the rotation keys have")
    lines = _add(
        permission, "print", ("permission", "print_lines"), "print the cleos lines for the account's owner"
    )
    verify = _add_control(
        permission,
        "verify",
        ("permission", "verify"),
        "check the permission on chain; 5 if it is not as it should be",
    )
    for each in (lines, verify):
        each.add_argument("--chain", metavar="CHAIN", help="default: the only chain that has a producer")


def _add_rotate(commands: _Commands) -> None:
    rotate = _add_control(commands, "rotate", ("rotate", "rotate"), "move production to another key")
    rotate.formatter_class = argparse.RawDescriptionHelpFormatter
    rotate.description = "Move production to a key of another node, or to a fresh key of the same one."
    rotate.epilog = _ROTATE
    what = rotate.add_mutually_exclusive_group(required=True)
    what.add_argument("--to-node", metavar="NODE", help="production moves to this node")
    what.add_argument("--cycle", action="store_true", help="a fresh key for the node that produces")
    rotate.add_argument("--node", metavar="NODE", help="with --cycle: the node, where the chain cannot tell")
    rotate.add_argument("--key", metavar="KEY", help="the public key to register; default: the ring's next")
    rotate.add_argument("--chain", metavar="CHAIN", help="default: the only chain that has a producer")
    rotate.add_argument(
        "--emergency",
        action="store_true",
        help="the old node is dead: only blockers stop it, approval comes afterwards; needs --reason",
    )
    rotate.add_argument(
        "--reason", type=_reason, metavar="TEXT", help="why, for the journal and the audit log"
    )
    rotate.add_argument("--i-know", action="store_true", help="go on in spite of warnings")
    rotate.add_argument(
        "--reactivate", action="store_true", help="register the producer again if it is unregistered"
    )
    rotate.add_argument("--no-return", action="store_true", help="never register the old key again by itself")
    rotate.add_argument(
        "--unattended",
        action="store_true",
        help="for timers: waits, joins a live rotation of the same kind, takes warnings on, and wants proof of what "
        "the node lists",
    )
    rotate.add_argument(
        "--not-within",
        type=_duration,
        metavar="TIME",
        help="with --cycle: do nothing if the last one ended within this time, as 12h, 90m or 2d",
    )
    rotate.add_argument("--dry-run", action="store_true", help="find out what would happen; nothing is done")
    rotate.add_argument("--wait", action="store_true", help="watch it to its end")
    _add_timeout(rotate)
    rotate.add_argument(
        "--idempotency-key",
        metavar="TEXT",
        help="the same text stands for the same rotation: asked again, it is not made again",
    )


def _add_timeout(parser: _Parser) -> None:
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help="stop watching after this many seconds; the rotation goes on",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MAX_COUNT:
        raise argparse.ArgumentTypeError("is not a number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MAX_COUNT:
        raise argparse.ArgumentTypeError("is not a number of seconds from 1 on")
    return float(text)


def _duration(text: str) -> timedelta:
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not number.isascii() or not number.isdigit() or not 1 <= int(number) <= _MAX_UNITS:
        raise argparse.ArgumentTypeError("is not a time as 12h: a number, and s, m, h or d")
    return int(number) * unit


def _add_config(commands: _Commands) -> None:
    check = _add(commands, "check-config", ("check", "check"), "check the configuration")
    check.add_argument(
        "--strict", action="store_true", help="also what is unwise, or does not work on this machine"
    )
    policy = _group(commands, "policy", "what account keys may sign")
    test = _add(
        policy, "test", ("policy", "test"), "say whether a transaction would be signed, and why; 1 if not"
    )
    test.add_argument(
        "transaction", metavar="TX.json", help="what `cleos ... --dont-broadcast --skip-sign --json` printed"
    )
    test.add_argument(
        "--key", metavar="KEY", help="an account key: its label or public key; default: the only one"
    )
    test.add_argument("--chain", metavar="CHAIN", help="for which chain; default: the key's")
    nodes = _group(commands, "nodes", "nodeos instances")
    _add_control(nodes, "list", ("attest", "list_nodes"), "show what is known of the keys that nodes list")
    attest = _add_control(
        nodes,
        "attest",
        ("attest", "attest"),
        "read what a running nodeos lists, on its host, and tell the signer",
    )
    attest.add_argument("name", metavar="NAME", help="the node, as in [nodes]")
    attest.add_argument(
        "--config-ini", required=True, metavar="FILE", help="the config.ini that it runs with"
    )
    attest.add_argument("--pid", required=True, type=_count, metavar="PID", help="its process")
    attest.add_argument(
        "--strict",
        action="store_true",
        help="exit with 5 if it does not list every key, or anything is not in order",
    )
    config = _add(nodes, "config", ("nodes", "config"), "print what to paste into a node's config.ini")
    config.add_argument("name", metavar="NAME", help="the node, as in [nodes]")
    config.add_argument("--unix", action="store_true", help="by unix socket instead of TCP")


def _add_keys(commands: _Commands) -> None:
    keys = _group(commands, "keys", "keys in tokens")
    _add(keys, "list", ("keys", "list_keys"), "show all keys and how they fare")
    show = _add(keys, "show", ("keys", "show"), "show one key")
    show.add_argument("key", metavar="KEY", help="the public key in any form, or its label")
    _add_control(keys, "ring", ("ring", "ring"), "show how many nights each node's keys last")
    destroy = _add_control(
        keys,
        "destroy",
        ("destroy", "destroy"),
        "delete a key that nothing needs any more from its token, for good",
    )
    destroy.add_argument("key", metavar="KEY", help="the public key in any form")
    destroy.add_argument("--yes", action="store_true", help="do it")
    generate = _add(keys, "generate", ("generate", "generate"), "make a key in a token")
    generate.add_argument("--token", required=True, metavar="TOKEN", help="the token, as in [tokens]")
    generate.add_argument(
        "--curve", choices=("r1", "k1"), default="r1", help="default r1: one operation per signature"
    )
    generate.add_argument("--role", choices=_ROLES, default="block", help="what it will sign; default block")
    generate.add_argument("--node", metavar="NODE", help="the node of a block key")
    generate.add_argument("--chain", metavar="CHAIN", help="the chain of a rotation or account key")
    generate.add_argument("--label", required=True, metavar="LABEL", help="its CKA_LABEL, new in this token")
    generate.add_argument(
        "--append", action="store_true", help="append the [[keys]] block to the configuration"
    )


def _add_tokens(commands: _Commands) -> None:
    tokens = _group(commands, "token", "PKCS#11 tokens, and the access tokens of the control API")
    retry = _add(tokens, "retry", ("token", "retry"), "try a PKCS#11 token's refused PIN again")
    retry.add_argument("name", metavar="NAME", help="the token, as in [tokens]")
    create = _add(tokens, "create", ("access", "create"), "issue an access token, shown once", json=False)
    create.formatter_class = argparse.RawDescriptionHelpFormatter
    create.epilog = _SCOPES
    create.add_argument("name", metavar="NAME", help="the person who will use it")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        metavar="SCOPE",
        help="what for, see below; may be repeated",
    )
    create.add_argument(
        "--days", type=_days, metavar="N", default=_DAYS, help=f"days until it expires; default {_DAYS}"
    )
    create.add_argument("--out", metavar="FILE", help="write it to this new file instead of standard output")
    _add(tokens, "list", ("access", "list_tokens"), "show who has an access token")
    revoke = _add(tokens, "revoke", ("access", "revoke"), "end an access token")
    revoke.add_argument("name", metavar="NAME", help="the person who has it")


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"is not a number of days from 1 to {_MAX_DAYS}")
    return int(text)


def _add_audit(commands: _Commands) -> None:
    audit = _group(commands, "audit", "the audit log")
    verify = _add(audit, "verify", ("audit", "verify"), "check that logs are whole, with their older files")
    verify.add_argument("files", nargs="*", metavar="FILE", help="by default the configuration's log")
    verify.add_argument(
        "--anchor", metavar="FILE", help="an anchor, or checkpoints as a file or a syslog server has them"
    )
    verify.add_argument(
        "--key",
        action="append",
        metavar="KEY",
        help="the audit key that signed the checkpoints, by default those of the configuration",
    )
    anchor = _add(audit, "anchor", ("audit", "anchor"), "print an anchor for a log's last line", json=False)
    export = _add(
        audit, "export", ("audit", "export"), "print lines of a log, one JSON object each", json=False
    )
    export.add_argument("--since", metavar="TIME", help="the first, as 2026-11-27T10:00:00Z")
    export.add_argument("--until", metavar="TIME", help="the last")
    for each in (anchor, export):
        each.add_argument("file", nargs="?", metavar="FILE", help="by default the configuration's log")
    for each in (verify, anchor, export):
        each.add_argument(
            "--begins",
            type=_count,
            default=1,
            metavar="LINE",
            help="number of the first line that is still here, where older files were moved away",
        )
    reconcile = _add(
        audit,
        "reconcile",
        ("reconcile", "reconcile"),
        "compare the signatures in the log with the producer's irreversible blocks, both ways",
    )
    reconcile.add_argument("--chain", metavar="NAME", help="by default the only one with a producer")
    where = reconcile.add_mutually_exclusive_group()
    where.add_argument("--from", dest="first", type=_count, metavar="BLOCK", help="the first block")
    where.add_argument(
        "--hours",
        type=float,
        default=1.0,
        metavar="N",
        help="how far back from the last irreversible block; 1",
    )


if __name__ == "__main__":
    sys.exit(main())
