"""A loaded PKCS#11 module: tokens are found in it, sessions are opened and logged in.

What it guarantees:
- The module is initialised once per process, with locking. Without it SoftHSM crashes when two threads sign.
- A token is used only if it is the one token that matches its URI.
- A refused PIN leaves no session behind.
- A user PIN is not sent to a token that says that a wrong one would lock it.

Login belongs to the process, not to the session (PKCS#11 2.40, C_Login): one process holds one logged-in
session here. `Session.close()` of our sessions does not log out; `Module.close_session` does.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pkcs11 import TokenFlag, _pkcs11
from pkcs11.exceptions import PKCS11Error

from hsm import cryptoki
from hsm.errors import (
    ModuleError,
    PinRefusedError,
    PinWithheldError,
    TokenAbsentError,
    TokenAmbiguousError,
    from_code,
)
from hsm.translation import code_of, translate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pkcs11.types import Session, Slot, Token

    from hsm.pin import Pin
    from hsm.uri import TokenUri


class _LockingLibrary(_pkcs11.lib):
    """The binding's library without its C_Initialize(NULL); `Module` has called C_Initialize before."""

    def initialize(self) -> None:
        """Do nothing."""


class Module:
    """One PKCS#11 library, loaded and initialised in this process.

    Attributes:
        path: the library's absolute path.
    """

    def __init__(self, path: str | Path) -> None:
        """Load and initialise the library at `path`.

        Raises:
            ModuleError: it is no PKCS#11 module, is initialised in this process already, or refuses to start.
        """
        self.path = str(path)
        if not Path(self.path).is_absolute():
            # A bare name would load whatever the loader finds first.
            raise ModuleError(f"the path of a PKCS#11 module must be absolute, not {self.path}")
        try:
            self._c = cryptoki.Cryptoki(self.path)
        except (OSError, AttributeError) as error:
            raise ModuleError(f"{self.path} cannot be loaded as a PKCS#11 module: {error}") from error
        self._initialize()
        try:
            self._library = _LockingLibrary(self.path)
        except PKCS11Error as error:
            self._c.finalize()
            raise ModuleError(f"{self.path} was loaded but does not answer: {code_of(error)}") from error

    def _initialize(self) -> None:
        code = self._c.initialize()
        if code == cryptoki.CKR_OK:
            return
        hint = {
            cryptoki.CKR_CANT_LOCK: "; it cannot lock, so it cannot be used by a process with threads",
            cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED: "; one process has one Module for a library",
        }.get(code, "; see the module's own configuration and log (SoftHSM: the file in SOFTHSM2_CONF)")
        raise ModuleError(f"{self.path} cannot be initialised: {cryptoki.name_of(code)}{hint}")

    @property
    def name(self) -> str:
        """Maker, description and version of the library, as it says them."""
        library = self._library
        version = ".".join(str(part) for part in library.library_version)
        return f"{library.manufacturer_id.strip()} {library.library_description.strip()} {version}"

    def finalize(self) -> None:
        """End every session of the process and stop the module. A stopped module is not used again."""
        self._c.finalize()

    def reinitialize(self) -> None:
        """Stop and start the module, so that it looks at its slots afresh. Every session and token ends.

        Raises:
            ModuleError: it refuses to start.
        """
        self._c.finalize()
        self._initialize()

    def slots(self) -> list[Slot]:
        """Return the slots that hold a token, initialised or not.

        Raises:
            DeviceError: the module does not list its slots.
        """
        with translate(f"list the slots of {self.path}"):
            return self._library.get_slots(token_present=True)

    def tokens(self) -> list[Token]:
        """Return the initialised tokens that answer.

        Raises:
            DeviceError: the module does not list its slots.
        """
        return self._tokens()[0]

    def _tokens(self) -> tuple[list[Token], list[str]]:
        answered: list[Token] = []
        silent: list[str] = []
        for slot in self.slots():
            try:
                token = slot.get_token()
            except PKCS11Error as error:
                # One broken token must not stop the others; it is named if the wanted one is not found.
                silent.append(f"slot {slot.slot_id} ({code_of(error)})")
                continue
            if token.flags & TokenFlag.TOKEN_INITIALIZED:
                answered.append(token)
        return answered, silent

    def find_token(self, uri: TokenUri) -> Token:
        """Return the one token that `uri` names.

        Raises:
            TokenAbsentError: none matches. The message lists the labels that are there.
            TokenAmbiguousError: more than one matches. The message says what to add to the URI.
            DeviceError: the module does not list its slots.
        """
        answered, silent = self._tokens()
        matching = [token for token in answered if _matches(token, uri)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            serials = ", ".join(sorted(_serial(token) for token in matching))
            raise TokenAmbiguousError(
                f"{len(matching)} tokens match {uri}; add ;serial=NUMBER before the '?' (one of: {serials})"
            )
        there = ", ".join(sorted(repr(token.label) for token in answered)) or "none"
        unanswered = f"; these did not answer: {', '.join(silent)}" if silent else ""
        raise TokenAbsentError(f"no token matches {uri}; the module has: {there}{unanswered}")

    def open_session(self, token: Token, pin: Pin | None, *, write: bool = False) -> Session:
        """Open a session on `token` and log in as the user.

        Args:
            token: from `find_token`.
            pin: the user's PIN; None opens without a login.
            write: open read-write, to generate keys.

        Raises:
            PinRefusedError: the token refused the PIN. No session stays open.
            PinWithheldError: as the token was found, a wrong PIN would lock it. It was not asked.
            TokenAbsentError: the token is gone.
            DeviceError: anything else, with its code.
        """
        if pin is not None:
            for flag in (TokenFlag.USER_PIN_LOCKED, TokenFlag.USER_PIN_FINAL_TRY):
                if token.flags & flag:
                    raise PinWithheldError(f"log in to token {token.label}", f"CKF_{flag.name}")
        try:
            return self._open(token, pin, cryptoki.CKU_USER, write=write)
        except PinRefusedError as error:
            error.again = bool(token.flags & TokenFlag.USER_PIN_COUNT_LOW)
            raise

    def open_officer_session(self, token: Token, so_pin: Pin) -> Session:
        """Open a read-write session on `token` as the security officer. Raises as `open_session`."""
        return self._open(token, so_pin, cryptoki.CKU_SO, write=True)

    def _open(self, token: Token, pin: Pin | None, user: int, *, write: bool) -> Session:
        with translate(f"open a session on token {token.label}"):
            session = token.open(rw=write)
        if pin is None:
            return session
        code = self._c.login(session.handle, user, pin.reveal())  # type: ignore[attr-defined]  # not in the stubs
        if code == cryptoki.CKR_OK:
            return session
        failure = from_code(f"log in to token {token.label}", cryptoki.name_of(code))
        try:
            session.close()
        except PKCS11Error as error:
            failure.add_note(f"closing the session failed too: {code_of(error)}")
        raise failure

    def close_session(self, session: Session) -> None:
        """Log the process out of the session's token and close the session. A dead session is no error."""
        self._c.logout(session.handle)  # type: ignore[attr-defined]  # not in the stubs
        try:
            session.close()
        except PKCS11Error:
            return  # it is gone, which is what was asked for

    @contextmanager
    def session(self, uri: TokenUri, pin: Pin, *, write: bool = False) -> Iterator[Session]:
        """Find the token, log in, and log out at the end. Raises as `find_token` and `open_session`."""
        session = self.open_session(self.find_token(uri), pin, write=write)
        try:
            yield session
        finally:
            self.close_session(session)

    def init_token(self, slot: Slot, so_pin: Pin, label: str) -> None:
        """Initialise the token in `slot`. Everything on it is destroyed; the caller knows that it is empty.

        Raises:
            PinRefusedError: the token refuses the PIN, by its rules or because it has another one.
            TokenAbsentError: the token is gone.
            DeviceError: anything else, with its code.
        """
        code = self._c.init_token(slot.slot_id, so_pin.reveal(), label)
        if code != cryptoki.CKR_OK:
            raise from_code(f"initialise token {label}", cryptoki.name_of(code))


def _serial(token: Token) -> str:
    return token.serial.decode("utf-8", "replace").rstrip("\0 ")


def _matches(token: Token, uri: TokenUri) -> bool:
    pairs = (
        (uri.token, token.label),
        (uri.serial, _serial(token)),
        (uri.manufacturer, token.manufacturer_id),
        (uri.model, token.model),
    )
    return all(wanted is None or wanted == found for wanted, found in pairs)
