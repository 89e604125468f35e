"""The module, its tokens and sessions, on a real SoftHSM."""

from __future__ import annotations

import _ctypes
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rig.hsm_home import SOFTHSM, Home

from hsm.errors import DeviceError, ModuleError, PinRefusedError, TokenAbsentError, TokenAmbiguousError
from hsm.module import Module
from hsm.pin import Pin, PinFile

if TYPE_CHECKING:
    from pathlib import Path

    from hsm.uri import TokenUri


def test_a_token_is_found_by_each_attribute_it_tells(module: Module, uri: TokenUri) -> None:
    """All attributes of a URI are compared; one that differs is another token."""
    token = module.find_token(uri)
    full = replace(uri, serial=token.serial.decode(), manufacturer=token.manufacturer_id, model=token.model)

    assert module.find_token(full).serial == token.serial
    assert module.find_token(replace(full, token=None)).serial == token.serial
    for field in ("token", "serial", "manufacturer", "model"):
        with pytest.raises(TokenAbsentError):
            module.find_token(replace(full, **{field: "another"}))


def test_an_absent_token_is_said_with_what_is_there(module: Module, uri: TokenUri) -> None:
    """A wrong label is seen at a glance."""
    with pytest.raises(TokenAbsentError, match=r"token=other.*'primary'"):
        module.find_token(replace(uri, token="other"))  # a label


def test_two_tokens_of_one_label_are_refused_until_the_serial_is_given(module: Module, uri: TokenUri) -> None:
    """The message tells the serial numbers to choose from."""
    for _ in range(2):
        free = next(slot for slot in module.slots() if not slot.get_token().label)
        module.init_token(free, Pin("12345678"), "twin")
        module.reinitialize()
    twins = replace(uri, token="twin")  # a label

    with pytest.raises(TokenAmbiguousError, match=r"2 tokens.*serial=NUMBER") as caught:
        module.find_token(twins)

    serials = {token.serial.decode() for token in module.tokens() if token.label == "twin"}
    assert len(serials) == 2
    for serial in serials:
        assert serial in str(caught.value)
        assert module.find_token(replace(twins, serial=serial)).serial == serial.encode()


def test_a_token_without_a_user_pin_is_refused(module: Module, uri: TokenUri) -> None:
    """A half-made token is a PIN problem, not a crash."""
    free = next(slot for slot in module.slots() if not slot.get_token().label)
    module.init_token(free, Pin("12345678"), "half")
    module.reinitialize()

    token = module.find_token(replace(uri, token="half"))  # a label

    with pytest.raises(PinRefusedError, match="CKR_USER_PIN_NOT_INITIALIZED"):
        module.open_session(token, Pin("12345678"))


def test_a_wrong_pin_is_refused_and_does_not_show(module: Module, uri: TokenUri) -> None:
    """Not even in a traceback with local variables."""
    wrong = Pin("tangerine"[::-1])  # so that the PIN does not stand in this file's lines
    with pytest.raises(PinRefusedError) as caught:
        module.open_session(module.find_token(uri), wrong)

    assert caught.value.code == "CKR_PIN_INCORRECT"
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert wrong.reveal() not in "".join(shown.format())


def test_a_wrong_pin_leaves_no_session_open(module: Module, uri: TokenUri, shared_home: Home) -> None:
    """The security officer can log in only while no read-only session is open (PKCS#11 2.40, C_Login)."""
    token = module.find_token(uri)
    so_pin = PinFile(shared_home.so_pin_file).read()
    with pytest.raises(PinRefusedError):
        module.open_session(token, Pin("tangerine"))

    module.close_session(module.open_officer_session(token, so_pin))

    held = module.open_session(token, None)
    with pytest.raises(DeviceError, match="CKR_SESSION_READ_ONLY_EXISTS"):
        module.open_officer_session(token, so_pin)
    module.close_session(held)


def test_a_second_login_is_refused(module: Module, uri: TokenUri, pin: Pin) -> None:
    """SoftHSM would take any PIN as right while the process is logged in; that must not pass as a success."""
    token = module.find_token(uri)
    with module.session(uri, pin), pytest.raises(DeviceError, match="CKR_USER_ALREADY_LOGGED_IN"):
        module.open_session(token, Pin("tangerine"))


def test_a_closed_session_is_logged_out(module: Module, uri: TokenUri, pin: Pin) -> None:
    """After it, the PIN is asked again."""
    with module.session(uri, pin):
        pass

    with pytest.raises(PinRefusedError):
        module.open_session(module.find_token(uri), Pin("tangerine"))


def test_closing_a_dead_session_is_no_error(module: Module, uri: TokenUri, pin: Pin) -> None:
    """The module was started anew meanwhile."""
    session = module.open_session(module.find_token(uri), pin)
    module.reinitialize()

    module.close_session(session)


def test_a_process_has_one_module(module: Module) -> None:
    """Two owners would log each other out."""
    with pytest.raises(ModuleError, match="CKR_CRYPTOKI_ALREADY_INITIALIZED"):
        Module(module.path)


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    """Absent, no library, no PKCS#11, no absolute path."""
    text = tmp_path / "module.so"
    text.write_text("not a library")

    for path in (tmp_path / "absent.so", text, _ctypes.__file__):
        with pytest.raises(ModuleError, match="cannot be loaded"):
            Module(path)
    with pytest.raises(ModuleError, match="absolute"):
        Module("libsofthsm2.so")


def test_a_module_without_its_configuration_is_refused(home: Home) -> None:
    """The message points to the module's own configuration."""
    home.configuration.write_text("directories.tokendir = /nonexistent\n")

    done = home.on_token("list")

    assert done.returncode == 6
    assert "cannot be initialised: CKR_GENERAL_ERROR" in done.stderr
    assert "SOFTHSM2_CONF" in done.stderr


def test_threads_may_sign_at_once(home: Home) -> None:
    """Without CKF_OS_LOCKING_OK, SoftHSM ends the process with a segmentation fault here."""
    home.generate("threads", "r1")

    done = home.python(f"""
import threading
from pathlib import Path
from pkcs11 import Mechanism
from hsm.keys import find_private
from hsm.module import Module
from hsm.pin import PinFile
from hsm.uri import parse_uri
uri = parse_uri({home.uri!r})
module = Module(uri.module_path)
token = module.find_token(uri)
first = module.open_session(token, PinFile(Path({str(home.pin_file)!r})).read())
sessions = [first] + [module.open_session(token, None) for _ in range(3)]
def sign(session):
    key = find_private(session, "threads")
    for _ in range(300):
        key.sign(bytes(32), mechanism=Mechanism.ECDSA)
    done.append(1)
done = []
threads = [threading.Thread(target=sign, args=(session,)) for session in sessions]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(done))
""")

    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr


def test_the_path_of_the_module_is_the_one_in_the_uri(module: Module) -> None:
    """So that what is loaded can be told from what is configured."""
    assert module.path == SOFTHSM
