"""The command `signer-hsm`: make a token, make keys on it, list them, audit them, destroy them.

Public keys are printed in hex; `signer keys` prints Antelope's text forms. PINs are read from files and
written to files: none is an argument, printed, or in the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pkcs11 import TokenFlag

from hsm.errors import (
    DeviceError,
    HsmError,
    ModuleError,
    PinRefusedError,
    PinSourceError,
    TokenAbsentError,
    TokenAmbiguousError,
    UriError,
)
from hsm.fitness import audit_key
from hsm.hardening import harden, lock_memory
from hsm.keys import describe, destroy_key, generate_key, list_keys
from hsm.module import Module
from hsm.pin import PinFile
from hsm.provision import DEFAULT_PIN_LENGTH, init_token
from hsm.softhsm import CONFIG_VARIABLE, write_configuration
from hsm.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hsm.keys import KeyRecord
    from hsm.point import Curve

PROGRAM: Final = "signer-hsm"

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
FINDINGS: Final = 5
TOKEN: Final = 6
#: 128 + SIGINT, as shells report it.
INTERRUPTED: Final = 130

#: What a token tells of PINs that were wrong (PKCS#11 2.40, CK_TOKEN_INFO).
_PIN_FLAGS: Final = (
    TokenFlag.USER_PIN_COUNT_LOW,
    TokenFlag.USER_PIN_FINAL_TRY,
    TokenFlag.USER_PIN_LOCKED,
)

_EXIT_CODES: Final = """\
exit codes:
  0  done
  1  failed or refused; nothing was overwritten
  2  the command line or the token URI is wrong
  5  done, and a key has findings, or the token tells of wrong PINs
  6  a problem of the module, the token or the PIN
"""

_TOKEN_ERRORS: Final = (
    ModuleError,
    TokenAbsentError,
    TokenAmbiguousError,
    PinSourceError,
    PinRefusedError,
    DeviceError,
)

_CURVES: Final[dict[str, Curve]] = {"r1": "prime256v1", "k1": "secp256k1"}

_EXAMPLE_MODULE: Final = "/usr/lib/softhsm/libsofthsm2.so"
_EXAMPLE_TOKEN: Final = (
    f"--uri 'pkcs11:token=primary?module-path={_EXAMPLE_MODULE}' \\\n      --pin-file primary.pin"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        harden()  # before a PIN is read: it must not be left in a core dump
        lock_memory()
    except OSError as error:
        print(f"{PROGRAM}: this process cannot be protected: {error.strerror}", file=sys.stderr)
        return FAILED
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except HsmError as error:
        # One line, with the remedy; a traceback would not help the reader.
        text = "; ".join((str(error), *getattr(error, "__notes__", ())))
        print(f"{PROGRAM}: {text}", file=sys.stderr)
        return _exit_code(error)
    except BrokenPipeError:
        # The reader has gone. Nothing is left to be said, also not by the interpreter's own flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return code


def _exit_code(error: HsmError) -> int:
    if isinstance(error, UriError):
        return USAGE
    return TOKEN if isinstance(error, _TOKEN_ERRORS) else FAILED


def _init_token(options: argparse.Namespace) -> int:
    configuration = None
    if options.softhsm_dir is not None:
        configuration = write_configuration(options.softhsm_dir)
        os.environ[CONFIG_VARIABLE] = str(configuration)  # a path; the module reads it when it is loaded
    module = Module(options.module)
    token = init_token(
        module, options.label, options.pin_file, options.so_pin_file, pin_length=options.pin_length
    )
    if options.json:
        shown = {"label": token.label, "serial": token.serial, "uri": str(token.uri)}
        if configuration is not None:
            shown["softhsm2_conf"] = str(configuration)
        print(json.dumps(shown))
        return OK
    print(f"token {token.label} (serial {token.serial})")
    print(f"uri {token.uri}")
    print(
        f"user PIN in {options.pin_file}, SO PIN in {options.so_pin_file}: keep the SO PIN off this machine"
    )
    if configuration is not None:
        print(f"before every command: export {CONFIG_VARIABLE}={configuration}")
    return OK


def _generate(options: argparse.Namespace) -> int:
    uri = parse_uri(options.uri)
    pin = PinFile(options.pin_file).read()
    with Module(uri.module_path).session(uri, pin, write=True) as session:
        record = generate_key(session, options.label, _CURVES[options.curve], bare=options.bare_template)
        findings = audit_key(session, record.label, record.id)
    print(json.dumps(_shown(record)) if options.json else _line(record))
    for finding in findings:
        print(f"{PROGRAM}: key '{record.label}': {finding}", file=sys.stderr)
    return FINDINGS if findings else OK


def _list(options: argparse.Namespace) -> int:
    records = _records(options)
    if options.json:
        print(json.dumps([_shown(record) for record in records]))
    else:
        for record in records:
            print(_line(record))
        if not records:
            print(f"{PROGRAM}: the token has no private key", file=sys.stderr)
    return OK


def _records(options: argparse.Namespace) -> list[KeyRecord]:
    uri = parse_uri(options.uri)
    pin = PinFile(options.pin_file).read()
    with Module(uri.module_path).session(uri, pin) as session:
        return list_keys(session)


def _show(options: argparse.Namespace) -> int:
    """Tell whether the token is there. No PIN is needed, so nothing is counted by the token."""
    uri = parse_uri(options.uri)
    module, name, flags, problem = None, "", [], ""
    try:
        module = Module(uri.module_path)
        name, token = module.name, module.find_token(uri)
        flags = [f"CKF_{flag.name}" for flag in _PIN_FLAGS if token.flags & flag]
    except (ModuleError, TokenAbsentError, TokenAmbiguousError, DeviceError) as error:
        problem = str(error)
    if options.json:
        print(json.dumps({"module": name, "present": not problem, "flags": flags, "problem": problem}))
    elif not problem:
        print(f"{uri}: present, {name}{', ' if flags else ''}{', '.join(flags)}")
    else:
        print(f"{PROGRAM}: {problem}", file=sys.stderr)
    if problem:
        return TOKEN
    return FINDINGS if flags else OK


def _audit(options: argparse.Namespace) -> int:
    uri = parse_uri(options.uri)
    pin = PinFile(options.pin_file).read()
    with Module(uri.module_path).session(uri, pin) as session:
        records = list_keys(session)
        # By label alone, as the signer finds a key, so that a doubled label shows.
        audited = [(record, audit_key(session, record.label)) for record in records]
    if options.json:
        print(json.dumps([_shown(record) | {"findings": findings} for record, findings in audited]))
    else:
        for record, findings in audited:
            print(f"key '{record.label}' (id {record.id.hex()}): {'; '.join(findings) or 'fit'}")
    if not audited:
        # An audit of nothing is not a pass: the URI may name the wrong token.
        print(f"{PROGRAM}: the token has no private key; is it the right token?", file=sys.stderr)
        return FINDINGS
    return FINDINGS if any(findings for _, findings in audited) else OK


def _destroy(options: argparse.Namespace) -> int:
    uri = parse_uri(options.uri)
    pin = PinFile(options.pin_file).read()
    with Module(uri.module_path).session(uri, pin, write=True) as session:
        if not options.yes and not _confirmed(options, list_keys(session)):
            return FAILED
        record = destroy_key(session, options.label, options.id)
    print(json.dumps(_shown(record)) if options.json else f"destroyed {_line(record)}")
    return OK


def _confirmed(options: argparse.Namespace, records: list[KeyRecord]) -> bool:
    """Show what would be destroyed, and let a person type its label. Everything goes to standard error."""
    name = describe(options.label, options.id)
    for record in records:
        if record.label == options.label and options.id in (None, record.id):
            print(f"{PROGRAM}: {_line(record)}", file=sys.stderr)
    print(
        f"{PROGRAM}: nothing looks at the chain here, nor at the signer; `signer keys destroy` does, and is safe\n"
        f"{PROGRAM}: to destroy {name} for good, type its label: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if sys.stdin.readline().rstrip("\n") == options.label:
        return True
    print(f"{PROGRAM}: that is not the label; nothing was destroyed (--yes asks nobody)", file=sys.stderr)
    return False


def _shown(record: KeyRecord) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "label": record.label,
        "id": record.id.hex(),
        "curve": record.point.curve if record.point else None,
        "public_key_hex": record.point.compressed.hex() if record.point else None,
    }
    return shown | ({"problem": record.problem} if record.problem else {})


def _line(record: KeyRecord) -> str:
    told = f"{record.point.curve} {record.point.compressed.hex()}" if record.point else f"- {record.problem}"
    return f"{record.label} id {record.id.hex()} {told}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Make a PKCS#11 token, and make, list and audit signing keys on it.",
        epilog=_EXIT_CODES + f"\nRun '{PROGRAM} COMMAND --help' for an example of each command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = _command(
        commands,
        "init-token",
        "initialise a free slot with random PINs",
        f"{PROGRAM} init-token --module {_EXAMPLE_MODULE} --label primary \\\n"
        "      --pin-file primary.pin --so-pin-file primary.so-pin --softhsm-dir softhsm",
    )
    command.add_argument(
        "--module", required=True, metavar="FILE", help="absolute path of the PKCS#11 library"
    )
    command.add_argument("--label", required=True, help="label of the new token, at most 32 bytes")
    command.add_argument(
        "--pin-file", required=True, type=Path, metavar="FILE", help="write the user PIN here, mode 0600"
    )
    command.add_argument(
        "--so-pin-file",
        required=True,
        type=Path,
        metavar="FILE",
        help="write the security officer's PIN here, mode 0600; it can reset the user PIN",
    )
    command.add_argument(
        "--pin-length",
        type=int,
        default=DEFAULT_PIN_LENGTH,
        metavar="N",
        help="characters of each PIN (default: %(default)s); some devices take 8 at most",
    )
    command.add_argument(
        "--softhsm-dir",
        type=Path,
        metavar="DIR",
        help=f"SoftHSM only: keep tokens and softhsm2.conf here instead of what {CONFIG_VARIABLE} names",
    )
    command.set_defaults(run=_init_token)

    command = _command(
        commands,
        "generate",
        "make a key pair: sensitive, not extractable, for signing only",
        f"{PROGRAM} generate {_EXAMPLE_TOKEN} \\\n      --label primary-r1-1 --curve r1",
    )
    _add_token(command)
    command.add_argument(
        "--label", required=True, help="label of the new key; no key of the token may have it"
    )
    command.add_argument(
        "--curve",
        required=True,
        choices=sorted(_CURVES, reverse=True),
        help="r1: prime256v1, one HSM operation per signature; k1: secp256k1, about two",
    )
    command.add_argument(
        "--bare-template",
        action="store_true",
        help="leave out the attributes that say what the key may do, for modules that refuse them "
        "(tpm2-pkcs11); the key is audited at once, and findings are printed",
    )
    command.set_defaults(run=_generate)

    command = _command(commands, "list", "list the private keys", f"{PROGRAM} list {_EXAMPLE_TOKEN}")
    _add_token(command)
    command.set_defaults(run=_list)

    command = _command(
        commands,
        "show",
        "say whether a token is there, without its PIN",
        f"{PROGRAM} show --uri 'pkcs11:token=primary?module-path={_EXAMPLE_MODULE}'",
    )
    _add_uri(command)
    command.set_defaults(run=_show)

    command = _command(
        commands, "audit", "say what makes a key unfit to sign", f"{PROGRAM} audit {_EXAMPLE_TOKEN} --json"
    )
    _add_token(command)
    command.set_defaults(run=_audit)

    command = _command(
        commands,
        "destroy",
        "destroy a key for good, whatever still needs it; `signer keys destroy` is the safe way",
        f"{PROGRAM} destroy {_EXAMPLE_TOKEN} --label primary-r1-1",
    )
    _add_token(command)
    command.add_argument("--label", required=True, help="label of the key; it is asked for once more")
    command.add_argument(
        "--id", type=_key_id, metavar="HEX", help="its id, where several keys have the label"
    )
    command.add_argument("--yes", action="store_true", help="do not ask: for programs that have asked")
    command.set_defaults(run=_destroy)
    return parser


def _key_id(text: str) -> bytes:
    try:
        key_id = bytes.fromhex(text)
    except ValueError:
        key_id = b""
    if not key_id:
        raise argparse.ArgumentTypeError("an id is bytes in hex, as `list` shows it")
    return key_id


def _command(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:  # noqa: ANN401
    # argparse has no public type for the object that add_subparsers returns.
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  {example}\n\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument("--json", action="store_true", help="print JSON, for programs")
    return command


def _add_uri(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--uri",
        required=True,
        help="token URI (RFC 7512): pkcs11:token=LABEL?module-path=FILE, without a PIN",
    )


def _add_token(command: argparse.ArgumentParser) -> None:
    _add_uri(command)
    command.add_argument(
        "--pin-file",
        required=True,
        type=Path,
        metavar="FILE",
        help="file with the user PIN, mode 0400 or 0600",
    )


if __name__ == "__main__":
    sys.exit(main())
