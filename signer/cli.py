"""The command line `signer`: the arguments of every command, and the way from an exception to an exit code.

A command's module is imported only when the command is given, so that each starts as fast as it can.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from signer import __version__
from signer.commands import exit_code
from signer.commands.exit_code import ExitCode
from signer.errors import (
    AdminRefusedError,
    AdminUnreachableError,
    ConfigError,
    ConfigForbiddenError,
    FormatError,
    SignerError,
)

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Sequence

    _Commands = _SubParsersAction["_Parser"]

_FORBIDDEN_STATUS: Final = 403
#: The first that fits counts.
_CODES: Final = (
    (ConfigForbiddenError, ExitCode.FORBIDDEN),
    (ConfigError, ExitCode.USAGE),
    (FormatError, ExitCode.USAGE),
    (AdminUnreachableError, ExitCode.UNREACHABLE),
    (PermissionError, ExitCode.FORBIDDEN),
    (SignerError, ExitCode.FAILED),
    (OSError, ExitCode.FAILED),
)
#: Exceptions of hsm.errors by name, because importing that takes time; any other is a problem with a token.
_HSM_CODES: Final = {"UriError": ExitCode.USAGE, "ProvisionError": ExitCode.FAILED}
_MAX_DAYS: Final = 3650
#: signer.control.auth.Scope, which takes time to import.
_SCOPES: Final = """\
scopes, none of which implies another:
  view     read the signer's status
  operate  for daily operation; nothing asks for it in this version
  approve  for agreeing to what another person asked for; nothing asks for it in this version
  admin    for settings and other people's access; nothing asks for it in this version"""
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
    if isinstance(error, AdminRefusedError) and error.status == _FORBIDDEN_STATUS:
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
    _add_config(commands)
    _add_keys(commands)
    _add_tokens(commands)
    _add_audit(commands)
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
    serve.add_argument("--only", choices=("signing", "control"), help="start one of the two processes only")
    _add(commands, "reload", ("process", "reload"), "serve with the configuration as it is now")
    _add(commands, "stop", ("process", "stop"), "end the signer and wait until it is gone")
    status = _add(commands, "status", ("process", "status"), "show what runs, and what needs attention")
    status.add_argument(
        "--strict",
        action="store_true",
        help="exit with 5 when the signer is ready and something needs attention (the lines `attention:`)",
    )


def _add_freeze(commands: _Commands) -> None:
    freeze = _add(commands, "freeze", ("freeze", "freeze"), "stop signatures at once")
    unfreeze = _add(commands, "unfreeze", ("freeze", "unfreeze"), "end a freeze")
    for parser, required in ((freeze, True), (unfreeze, False)):
        scope = parser.add_mutually_exclusive_group(required=True)
        scope.add_argument("--key", metavar="KEY", help="one key: the public key in any form, or its label")
        scope.add_argument("--node", metavar="NODE", help="all keys of one node")
        scope.add_argument("--all", action="store_true", help="every key")
        parser.add_argument("--reason", required=required, type=_reason, help="for those who wonder")


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; say why in a few words")
    return text


def _add_config(commands: _Commands) -> None:
    check = _add(commands, "check-config", ("check", "check"), "check the configuration")
    check.add_argument(
        "--strict", action="store_true", help="also what is unwise, or does not work on this machine"
    )
    nodes = _group(commands, "nodes", "nodeos instances")
    config = _add(nodes, "config", ("nodes", "config"), "print what to paste into a node's config.ini")
    config.add_argument("name", metavar="NAME", help="the node, as in [nodes]")
    config.add_argument("--unix", action="store_true", help="by unix socket instead of TCP")


def _add_keys(commands: _Commands) -> None:
    keys = _group(commands, "keys", "keys in tokens")
    _add(keys, "list", ("keys", "list_keys"), "show all keys and how they fare")
    show = _add(keys, "show", ("keys", "show"), "show one key")
    show.add_argument("key", metavar="KEY", help="the public key in any form, or its label")
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
    create.add_argument("--days", type=_days, metavar="N", help="days until it expires; default never")
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
    verify = _add(audit, "verify", ("audit", "verify"), "check that logs are whole")
    verify.add_argument("files", nargs="+", metavar="FILE")
    verify.add_argument("--anchor", metavar="FILE", help="an anchor that must be in every log named")
    anchor = _add(audit, "anchor", ("audit", "anchor"), "print an anchor for a log's last line", json=False)
    anchor.add_argument("file", metavar="FILE")


if __name__ == "__main__":
    sys.exit(main())
