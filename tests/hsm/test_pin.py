"""PIN sources: what is read, what is refused, and that a PIN never shows."""

from __future__ import annotations

import errno
import os
import pickle
import pwd
import traceback
from typing import TYPE_CHECKING

import pytest

from hsm.errors import PinAwaitedError, PinSourceError
from hsm.pin import MAX_PIN_BYTES, Pin, PinCredential, PinFile, TypedPin, same_pin

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse"  # noqa: S105  # the point of the test


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A PIN file of mode 0600."""
    path = tmp_path / "token.pin"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_that_only_its_owner_reads_is_accepted(file: Path, mode: int) -> None:
    """Both modes that the documentation names are accepted."""
    file.chmod(mode)

    assert PinFile(file).read().reveal() == SECRET


def test_one_newline_at_the_end_is_not_part_of_the_pin(file: Path) -> None:
    """Blanks are; a second line is refused."""
    file.write_text("a pin \n")
    assert PinFile(file).read().reveal() == "a pin "

    file.write_text("a pin ")
    assert PinFile(file).read().reveal() == "a pin "

    file.write_text("a pin\n\n")
    with pytest.raises(PinSourceError, match="one line"):
        PinFile(file).read()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o440, 0o700, 0o500, 0o000, 0o4600])
def test_any_other_mode_is_refused(file: Path, mode: int) -> None:
    """The message names the mode and the remedy."""
    file.chmod(mode)

    with pytest.raises(PinSourceError, match=f"mode {mode:04o}.*chmod 0400|cannot be opened by uid"):
        PinFile(file).read()


def test_a_symbolic_link_is_refused(file: Path) -> None:
    """Also when what it points to is in order."""
    link = file.with_name("link")
    link.symlink_to(file)

    with pytest.raises(PinSourceError, match="symbolic link"):
        PinFile(link).read()


def test_a_missing_file_is_refused(file: Path) -> None:
    """By `read` and by `fingerprint`."""
    source = PinFile(file.with_name("absent"))

    with pytest.raises(PinSourceError, match="does not exist"):
        source.read()
    with pytest.raises(PinSourceError, match="does not exist"):
        source.fingerprint()


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_file_is_refused(file: Path, content: bytes) -> None:
    """An empty PIN is never tried."""
    file.write_bytes(content)

    with pytest.raises(PinSourceError, match="empty"):
        PinFile(file).read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\n", "not UTF-8"),
        (b"pin\r\n", "control character"),
        (b"pin\0\n", "control character"),
        (b"p" * (MAX_PIN_BYTES + 1), "longer than"),
        (b"p" * 100_000, "longer than"),
    ],
)
def test_content_that_is_no_pin_is_refused(file: Path, content: bytes, message: str) -> None:
    """A wrong file is refused before a token sees it."""
    file.write_bytes(content)

    with pytest.raises(PinSourceError, match=message):
        PinFile(file).read()


def test_the_longest_pin_is_read_whole(file: Path) -> None:
    """The limit is inclusive."""
    file.write_bytes(b"p" * MAX_PIN_BYTES + b"\n")

    assert len(PinFile(file).read().reveal()) == MAX_PIN_BYTES


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A FIFO does not hang, and a folder is no PIN."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)

    with pytest.raises(PinSourceError, match="not a regular file"):
        PinFile(fifo).read()
    with pytest.raises(PinSourceError, match="not a regular file"):
        PinFile(tmp_path).read()


def test_a_file_of_another_user_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the file could change the PIN."""
    if os.geteuid() == 0:
        os.chown(file, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(PinSourceError, match="belongs to uid"):
        PinFile(file).read()


def test_a_file_of_another_user_tells_how_to_run_as_that_user(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the name of a user that has one, with numbers for one that has none."""
    owner = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if os.getuid() == 0:
        os.chown(file, 65534, 65534)
        owner = pwd.getpwuid(65534).pw_name
    with pytest.raises(PinSourceError, match=f"runuser -u {owner} -- COMMAND"):
        PinFile(file).read()

    if os.getuid() == 0:
        os.chown(file, 54321, 54322)
        with pytest.raises(
            PinSourceError, match="setpriv --reuid 54321 --regid 54322 --clear-groups COMMAND"
        ):
            PinFile(file).read()


def test_a_file_that_may_not_be_opened_says_whose_it_has_to_be(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may open everything, so the kernel's answer is put in its place; nobody is told to run as root."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(
        PinSourceError, match=f"must belong to that user, and it belongs .*: chown 12345 {file}"
    ) as seen:
        PinFile(file).read()
    assert "runuser -u root" not in str(seen.value)


def test_the_fingerprint_follows_the_source(file: Path) -> None:
    """It is the same while the file is untouched, and another after it was written."""
    source = PinFile(file)
    first = source.fingerprint()

    assert source.read().fingerprint == first == source.fingerprint()

    file.write_text(f"{SECRET}-2\n")
    assert source.fingerprint() != first


def test_a_file_that_is_replaced_by_an_equal_one_has_another_fingerprint(file: Path) -> None:
    """An operator who writes the PIN again means: try again."""
    before = PinFile(file).fingerprint()
    new = file.with_name("new")
    new.write_text(file.read_text())
    new.replace(file)

    assert PinFile(file).fingerprint() != before


def test_a_systemd_credential_is_read_from_its_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The access list that systemd sets shows as mode 0440."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    source = PinCredential(file.name)

    for mode in (0o400, 0o440):
        file.chmod(mode)
        pin = source.read()
        assert (pin.reveal(), pin.fingerprint) == (SECRET, source.fingerprint())


def test_a_credential_without_systemd_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what the unit needs."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)

    with pytest.raises(PinSourceError, match="LoadCredential"):
        PinCredential("primary-pin").read()


@pytest.mark.parametrize("name", ["", ".", "..", "../primary", "a/b", "/etc/shadow", ".hidden", "a\0b"])
def test_a_credential_name_stays_in_its_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is one path component."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    with pytest.raises(PinSourceError, match="name"):
        PinCredential(name).read()


def test_a_pin_does_not_show_itself() -> None:
    """Not in repr, str, formats, pickles, or attributes by way of vars()."""
    pin = Pin(SECRET)

    for shown in (repr(pin), str(pin), f"{pin}", f"{pin!r:>40}", "%s" % pin, repr([pin]), repr({"pin": pin})):  # noqa: UP031
        assert SECRET not in shown
        assert "redacted" in shown
    assert not hasattr(pin, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(pin)


def test_errors_do_not_show_the_content(file: Path) -> None:
    """Neither the message nor the traceback of a refused PIN file has the PIN."""
    file.write_text(f"{SECRET}\x01{SECRET}")

    with pytest.raises(PinSourceError) as caught:
        PinFile(file).read()

    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_typed_pin_is_there_until_it_is_wiped() -> None:
    """Each typing is a state of its own, so a refusal of one does not bind the next."""
    typed = TypedPin("type it there")
    for ask in (typed.read, typed.fingerprint):
        with pytest.raises(PinAwaitedError, match="type it there"):
            ask()
    typed.set(SECRET)
    first = typed.fingerprint()
    assert typed.present
    assert typed.read().reveal() == SECRET
    assert typed.read().fingerprint == first
    typed.set(SECRET)
    assert typed.fingerprint() != first
    typed.wipe()
    assert not typed.present
    with pytest.raises(PinAwaitedError):
        typed.read()


def test_a_wiped_pin_is_overwritten() -> None:
    """The bytes themselves, not only the name for them."""
    typed = TypedPin("")
    typed.set(SECRET)
    kept = typed._page  # noqa: SLF001 - what is overwritten is nowhere else to be seen
    assert SECRET.encode() in kept[:]
    typed.wipe()

    assert not kept[:].strip(b"\0")


def test_a_typed_pin_shows_itself_nowhere() -> None:
    typed = TypedPin("")
    typed.set(SECRET)

    assert all(SECRET not in text for text in (repr(typed), str(typed), f"{typed}"))
    with pytest.raises(TypeError):
        pickle.dumps(typed)


@pytest.mark.parametrize("text", ["", "a\nb", "x" * (MAX_PIN_BYTES + 1)])
def test_what_cannot_be_a_pin_leaves_the_typed_one(text: str) -> None:
    typed = TypedPin("")
    typed.set(SECRET)

    with pytest.raises(PinSourceError):
        typed.set(text)
    assert typed.read().reveal() == SECRET


def test_a_pin_is_compared_without_a_token(file: Path) -> None:
    assert same_pin(PinFile(file), SECRET)
    for text in ("", SECRET[:-1], SECRET + "x", "\ud800"):
        assert not same_pin(PinFile(file), text)
