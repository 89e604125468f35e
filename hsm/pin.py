"""Where a PIN comes from, and how it is kept from showing itself.

What it guarantees: a PIN is read only from a regular file that nobody else can read, and through no link, or was typed
by a person; the text of a `Pin` never appears in `repr`, `str`, a format or a pickle; errors name the source, not its
content.
What it leaves to others: remembering that a token refused a PIN (hsm.refused), and asking a person.
"""

from __future__ import annotations

import errno
import hmac
import os
import pwd
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, Protocol

from hsm.errors import PinAwaitedError, PinSourceError
from hsm.hardening import locked_page

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The longest PIN source that is read, in bytes. SoftHSM takes PINs up to 255 bytes; others take fewer.
MAX_PIN_BYTES: Final = 256

_OWN_MODES: Final = frozenset({0o400, 0o600})
#: systemd lets the service user in by an ACL, which shows as group read (systemd.exec(5), LoadCredential=).
_CREDENTIAL_MODES: Final = _OWN_MODES | {0o440}
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}")


class Fingerprint(NamedTuple):
    """Which state of a PIN source was read. Says nothing about the PIN but its length."""

    dev: int
    inode: int
    mtime_ns: int
    size: int


class Pin:
    """A PIN that does not show itself; `reveal()` is the only way to the text.

    Attributes:
        fingerprint: the state of the source it was read from; None where a person typed it.
    """

    __slots__ = ("_text", "fingerprint")

    def __init__(self, text: str, fingerprint: Fingerprint | None = None) -> None:
        """Keep `text`.

        Raises:
            PinSourceError: the text is empty, longer than `MAX_PIN_BYTES`, or has a control character.
        """
        if not text:
            raise PinSourceError("the PIN is empty")
        if len(text.encode("utf-8", "surrogatepass")) > MAX_PIN_BYTES:
            raise PinSourceError(f"the PIN is longer than {MAX_PIN_BYTES} bytes")
        if not text.isprintable():
            raise PinSourceError("the PIN has a control character; the source must hold one line, the PIN")
        self._text = text
        self.fingerprint = fingerprint

    def reveal(self) -> str:
        """Return the text. Give it to the module and to nothing else."""
        return self._text

    def __repr__(self) -> str:
        return "Pin(redacted)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Pin is not pickled")


class PinSource(Protocol):
    """A place that a PIN can be read from, whenever a lane is started."""

    def read(self) -> Pin:
        """Return the PIN, with the fingerprint of the state that was read. Raises PinSourceError."""

    def fingerprint(self) -> Fingerprint:
        """Return the state of the source now, without reading the PIN. Raises PinSourceError."""

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PinFile:
    """A PIN in a file: regular, no link, mode 0400 or 0600, owned by this process's user or root.

    One newline at the end is not part of the PIN.
    """

    path: Path

    def __str__(self) -> str:
        return f"PIN file {self.path}"

    def read(self) -> Pin:
        """Return the PIN. Raises PinSourceError with the remedy."""
        return _read(self.path, str(self), _OWN_MODES)

    def fingerprint(self) -> Fingerprint:
        """Return the state of the file now. Raises PinSourceError where it is absent."""
        return _fingerprint(self.path, str(self))


@dataclass(frozen=True, slots=True)
class PinCredential:
    """A PIN in a systemd credential: the file NAME in the folder that $CREDENTIALS_DIRECTORY names."""

    name: str

    def __str__(self) -> str:
        return f"PIN credential {self.name}"

    def read(self) -> Pin:
        """Return the PIN. Raises PinSourceError with the remedy."""
        return _read(self._path(os.environ), str(self), _CREDENTIAL_MODES)

    def fingerprint(self) -> Fingerprint:
        """Return the state of the credential now. Raises PinSourceError where it is absent."""
        return _fingerprint(self._path(os.environ), str(self))

    def _path(self, environ: Mapping[str, str]) -> Path:
        if not _CREDENTIAL_NAME.fullmatch(self.name):
            raise PinSourceError("a credential's name has letters, digits, '.', '_' and '-' only")
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise PinSourceError(
                f"{self}: CREDENTIALS_DIRECTORY is not set; "
                f"start the service by systemd with LoadCredentialEncrypted={self.name}:..."
            )
        return Path(folder) / self.name


class TypedPin:
    """A PIN that a person types while the signer runs: none before, none after `wipe`.

    It is kept in a page of its own that is not swapped out (hsm.hardening), and `wipe` overwrites it there. Copies that
    Python made on the way (the text of a `Pin`, a message between processes) are freed and not overwritten.

    Args:
        remedy: how a person types it, for the error while there is none.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._page = locked_page()
        self._length = 0
        self._fingerprint = Fingerprint(0, 0, 0, 0)

    def __str__(self) -> str:
        return "PIN that a person types"

    def __repr__(self) -> str:
        return "TypedPin(redacted)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PIN is not pickled")

    @property
    def present(self) -> bool:
        """Whether there is one now."""
        return self._length > 0

    def set(self, text: str) -> None:
        """Take what was typed, in the place of anything before.

        Raises:
            PinSourceError: it cannot be a PIN.
        """
        Pin(text)
        self.wipe()
        content = text.encode()
        self._page[: len(content)] = content
        self._length = len(content)
        # Each typing is a state of its own: a refusal of the last one does not bind this one (hsm.refused).
        self._fingerprint = Fingerprint(0, 0, time.time_ns(), 0)

    def wipe(self) -> None:
        """Overwrite it."""
        self._page[:MAX_PIN_BYTES] = bytes(MAX_PIN_BYTES)
        self._length = 0

    def read(self) -> Pin:
        """Return the PIN. Raises PinAwaitedError while there is none."""
        fingerprint = self.fingerprint()
        return Pin(self._page[: self._length].decode(), fingerprint)

    def fingerprint(self) -> Fingerprint:
        """Return which typing it is. Raises PinAwaitedError while there is none."""
        if not self._length:
            raise PinAwaitedError(self._remedy)
        return self._fingerprint


def same_pin(source: PinSource, text: str) -> bool:
    """Return whether `text` is the PIN of `source`, in a time that tells nothing of it. No token is asked.

    Raises:
        PinSourceError: the source cannot be read.
    """
    return hmac.compare_digest(source.read().reveal().encode(), text.encode("utf-8", "surrogatepass"))


def _read(path: Path, what: str, modes: frozenset[int]) -> Pin:
    try:
        # O_NONBLOCK: a FIFO in the place of the file must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise PinSourceError(_open_failure(what, path, error)) from None
    try:
        status = os.fstat(descriptor)
        _check(status, what, modes)
        content = os.read(descriptor, MAX_PIN_BYTES + 2)  # a newline, and a byte that shows it is too long
    except OSError as error:
        raise PinSourceError(f"{what} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    try:
        text = content.removesuffix(b"\n").decode("utf-8")
        return Pin(text, _of(status))
    except UnicodeDecodeError:
        raise PinSourceError(f"{what} is not UTF-8 text") from None
    except PinSourceError as error:
        raise PinSourceError(f"{what}: {error}") from None


def _check(status: os.stat_result, what: str, modes: frozenset[int]) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PinSourceError(f"{what} is not a regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode not in modes:
        raise PinSourceError(f"{what} has mode {mode:04o}; others may read it. Run chmod 0400 on it")
    if status.st_uid not in {os.geteuid(), 0}:
        raise PinSourceError(
            f"{what} belongs to {_name(status.st_uid)}; "
            f"it must belong to uid {os.geteuid()}, who runs this, or to root. {_run_as(status)}"
        )


def _name(uid: int) -> str:
    try:
        return f"uid {uid} ({pwd.getpwuid(uid).pw_name})"
    except KeyError:
        return f"uid {uid}"


def _run_as(status: os.stat_result) -> str:
    """Return how root runs the command as the file's owner."""
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return (
            "Or run this as its owner, which root does with: "
            f"setpriv --reuid {status.st_uid} --regid {status.st_gid} --clear-groups COMMAND"
        )
    return f"Or run this as its owner, which root does with: runuser -u {user} -- COMMAND"


def _open_failure(what: str, path: Path, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT:
            return f"{what} does not exist"
        case errno.ELOOP:
            return f"{what} is a symbolic link; name the file itself"
        case errno.EACCES:
            failure = f"{what} cannot be opened by uid {os.geteuid()}; it must belong to that user"
            try:
                status = path.lstat()
            except OSError:
                return failure
            if status.st_uid == os.geteuid():
                return f"{failure} and have mode 0400 or 0600"
            remedy = f"chown {os.geteuid()} {path}"
            # What needs no root is never told to run as root.
            other = f". {_run_as(status)}" if status.st_uid else ""
            return f"{failure}, and it belongs to {_name(status.st_uid)}: {remedy}{other}"
        case _:
            return f"{what} cannot be opened: {error.strerror}"


def _fingerprint(path: Path, what: str) -> Fingerprint:
    try:
        return _of(path.lstat())
    except OSError as error:
        raise PinSourceError(_open_failure(what, path, error)) from None


def _of(status: os.stat_result) -> Fingerprint:
    return Fingerprint(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
