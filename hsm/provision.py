"""A new token: a free slot is initialised with random PINs that go to two files and nowhere else.

What it guarantees: an initialised token and an existing file are never overwritten; the PIN files are on disk
before the token knows the PINs, so no token is left with a PIN that nobody has.
"""

from __future__ import annotations

import os
import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pkcs11 import TokenFlag

from hsm.cryptoki import LABEL_BYTES
from hsm.errors import HsmError, PinRefusedError, ProvisionError
from hsm.folder import sync_folder
from hsm.pin import MAX_PIN_BYTES, Pin
from hsm.translation import translate
from hsm.uri import TokenUri

if TYPE_CHECKING:
    from pathlib import Path

    from pkcs11.types import Slot, Token

    from hsm.module import Module

#: Letters and digits only: every token we know takes them.
_ALPHABET: Final = string.ascii_letters + string.digits
#: 16 characters of 62 are 95 bits. A software token's files can be tried offline.
DEFAULT_PIN_LENGTH: Final = 16
#: SoftHSM takes no shorter PIN; 4 random characters are for devices that allow few tries.
MIN_PIN_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was initialised. Nothing of it is secret.

    Attributes:
        label: its label.
        serial: its serial number.
        uri: the URI that names it by its label.
    """

    label: str
    serial: str
    uri: TokenUri


def init_token(
    module: Module, label: str, pin_file: Path, so_pin_file: Path, *, pin_length: int = DEFAULT_PIN_LENGTH
) -> NewToken:
    """Initialise a free slot of `module` as token `label`, and write its two PINs.

    Args:
        module: no other session of this process may be open in it: it may be stopped and started.
        label: at most 32 bytes of printable UTF-8; no other token of the module has it.
        pin_file: where the user's PIN goes; made with mode 0600, must not exist.
        so_pin_file: where the security officer's PIN goes, in the same way.
        pin_length: characters of each PIN, 4 to 256.

    Raises:
        ProvisionError: an argument cannot be used, a file or a token exists already, or no slot is free. The
            module was not touched.
        PinRefusedError: the token's rules refuse such a PIN; try another length.
        TokenAbsentError: the token did not come back after it was initialised.
        DeviceError: the module failed. The message says whether the PIN files were kept.
    """
    _check(label, pin_file, so_pin_file, pin_length)
    slot = _free_slot(module, label)
    user_pin, so_pin = _two_pins(pin_length)
    _write(pin_file, user_pin)
    try:
        _write(so_pin_file, so_pin)
    except ProvisionError:
        pin_file.unlink()
        raise
    try:
        module.init_token(slot, so_pin, label)
    except PinRefusedError as error:
        pin_file.unlink()
        so_pin_file.unlink()
        error.add_note("nothing was made; the token may want another PIN length, or has an SO PIN already")
        raise
    except HsmError as error:
        # The token may have taken the SO PIN before it failed; without it, it would be lost.
        error.add_note(f"the PIN files {pin_file} and {so_pin_file} were kept; the token may know the SO PIN")
        raise
    try:
        token = _set_user_pin(module, label, user_pin, so_pin)
    except HsmError as error:
        error.add_note(f"token {label} is initialised but has no user PIN; its SO PIN is in {so_pin_file}")
        raise
    serial = token.serial.decode("utf-8", "replace").rstrip("\0 ")
    return NewToken(label, serial, TokenUri(module.path, token=label))


def _check(label: str, pin_file: Path, so_pin_file: Path, pin_length: int) -> None:
    if not label.strip() or label != label.strip() or not label.isprintable():
        raise ProvisionError("a token's label is printable text without blanks at its ends")
    if len(label.encode()) > LABEL_BYTES:
        raise ProvisionError(f"a token's label has at most {LABEL_BYTES} bytes")
    if not MIN_PIN_LENGTH <= pin_length <= MAX_PIN_BYTES:
        raise ProvisionError(f"a PIN's length is {MIN_PIN_LENGTH} to {MAX_PIN_BYTES} characters")
    if pin_file.resolve() == so_pin_file.resolve():
        raise ProvisionError("the two PINs need two files; whoever reads one must not have the other")
    for path in (pin_file, so_pin_file):
        if path.exists() or path.is_symlink():
            raise ProvisionError(f"{path} exists already and is not overwritten; name another file")
        if not path.parent.is_dir():
            raise ProvisionError(f"the folder {path.parent} does not exist; make it with mode 0700")


def _free_slot(module: Module, label: str) -> Slot:
    free: list[Slot] = []
    for slot in module.slots():
        with translate(f"read slot {slot.slot_id} of {module.path}"):
            token = slot.get_token()
        if not token.flags & TokenFlag.TOKEN_INITIALIZED:
            free.append(slot)
        elif token.label == label:
            raise ProvisionError(f"token {label} exists already and is not overwritten; choose another label")
    if not free:
        raise ProvisionError(f"{module.path} has no slot with a token that is not initialised yet")
    return free[0]


def _two_pins(length: int) -> tuple[Pin, Pin]:
    user = "".join(secrets.choice(_ALPHABET) for _ in range(length))
    officer = user
    while officer == user:
        officer = "".join(secrets.choice(_ALPHABET) for _ in range(length))
    return Pin(user), Pin(officer)


def _write(path: Path, pin: Pin) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ProvisionError(f"PIN file {path} cannot be made: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(pin.reveal() + "\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        path.unlink()
        raise ProvisionError(f"PIN file {path} cannot be written: {error.strerror}") from error


def _set_user_pin(module: Module, label: str, user_pin: Pin, so_pin: Pin) -> Token:
    uri = TokenUri(module.path, token=label)
    # SoftHSM gives a new token another slot number, which shows only after a new start (softhsm2-util(1)).
    module.reinitialize()
    session = module.open_officer_session(module.find_token(uri), so_pin)
    try:
        with translate(f"set the user PIN of token {label}"):
            session.init_pin(user_pin.reveal())
    finally:
        module.close_session(session)
    token = module.find_token(uri)
    if not token.flags & TokenFlag.USER_PIN_INITIALIZED:
        raise ProvisionError(f"token {label} took its user PIN but does not say so; do not use it")
    return token
