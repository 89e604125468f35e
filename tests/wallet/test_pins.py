"""PINs that a person types: tried so that no token locks, kept in one place, wiped when they are not wanted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rig.condition import until
from rig.family import content, family
from rig.wallet_site import BLOCK, DEFAULT, OTHER
from rig.wire import request

if TYPE_CHECKING:
    from rig.shim import Shim
    from rig.wallet_site import WalletSite

_OK, _INCORRECT = 0, 0xA0
#: CK_TOKEN_INFO.flags (PKCS#11 2.40, pkcs11t.h).
_COUNT_LOW, _FINAL_TRY, _LOCKED = 0x10000, 0x20000, 0x40000
_WRONG = "0000-wrong-0000"


def _tries(shim: Shim) -> list[int]:
    """What became of each PIN that the token was sent."""
    return shim.logins()


def _state(site: WalletSite, token: str = DEFAULT) -> str:
    state: str = site.status()["tokens"][token]["state"]
    return state


def test_two_wrong_pins_and_no_more(site: WalletSite) -> None:
    """The first is followed by a pause, the second by the end: until a person with the admin socket allows more."""
    shim = site.shim(DEFAULT)
    site.start()

    first = site.refusal("unlock", [DEFAULT, _WRONG])
    too_soon = site.refusal("unlock", [DEFAULT, _WRONG])
    assert _tries(shim) == [_INCORRECT]
    assert first[0] == "wallet_invalid_password_exception"
    assert "wrong PINs in a row: 1; 1 more may be tried" in first[1]
    assert too_soon[0] == "signer_pin_tries_exception"
    assert "wait" in too_soon[1]
    assert site.program is not None
    second: list[tuple[str, str]] = []

    def is_tried() -> bool:
        second[:] = [site.refusal("unlock", [DEFAULT, _WRONG])]
        return second[0][0] == "wallet_invalid_password_exception"

    site.program.wait_for(is_tried, "the pause is over")
    assert "no more are tried until `signer token retry default`" in second[0][1]
    assert _tries(shim) == [_INCORRECT] * 2
    site.retry(OTHER)  # another token's retry changes nothing

    # Not even the right one, and a restart does not forget.
    site.program.stop()
    site.start()
    name, message = site.refusal("unlock", [DEFAULT, site.pin(DEFAULT)])
    assert name == "signer_pin_tries_exception"
    assert "signer token retry default" in message
    assert _tries(shim) == [_INCORRECT] * 2

    assert site.run("token", "retry", DEFAULT).returncode == 0
    site.unlock()
    assert _tries(shim)[2] == _OK
    assert f"{DEFAULT} *" in site.wallets()
    assert len(site.audited(2, act="wrong-pin")) == 2
    assert site.audited(act="unlock")


@pytest.mark.parametrize("flags", [_LOCKED, _COUNT_LOW | _FINAL_TRY])
def test_a_token_that_would_lock_is_sent_no_pin(site: WalletSite, flags: int) -> None:
    """Not the right one either: nobody knows that it is. `signer token retry` does not change what the token says."""
    shim = site.shim(DEFAULT)
    shim.flag(flags)
    site.start()

    for _ in range(2):
        name, message = site.refusal("unlock", [DEFAULT, site.pin(DEFAULT)])
        assert name == "signer_pin_tries_exception"
        assert "CKF_USER_PIN" in message
        site.retry()
    assert _tries(shim) == []
    shim.flag(0)
    site.unlock()
    assert _OK in _tries(shim)


def test_a_wrong_pin_that_others_tried_counts(site: WalletSite) -> None:
    """A token that says so had one already: this signer then tries only one."""
    shim = site.shim(DEFAULT)
    shim.flag(_COUNT_LOW)
    site.start()

    _, message = site.refusal("unlock", [DEFAULT, _WRONG])

    assert "wrong PINs in a row: 2" in message
    assert site.refusal("unlock", [DEFAULT, _WRONG])[0] == "signer_pin_tries_exception"
    assert _tries(shim) == [_INCORRECT]


def test_what_cannot_be_a_pin_is_not_tried(locked: WalletSite, shims: dict[str, Shim]) -> None:
    before = _tries(shims[DEFAULT]).count(_INCORRECT)

    for text in ("", "a\nb", "x" * 300):
        assert locked.refusal("unlock", [DEFAULT, text])[0] == "wallet_invalid_password_exception"
    assert _tries(shims[DEFAULT]).count(_INCORRECT) == before


def test_a_token_with_a_pin_source_is_left_alone(locked: WalletSite, shims: dict[str, Shim]) -> None:
    """Nobody locks it, and no PIN is tried on it, whatever cleos sends."""
    shim = shims[BLOCK]
    before = _tries(shim)

    assert locked.refusal("unlock", [BLOCK, _WRONG])[0] == "wallet_unlocked_exception"
    assert locked.refusal("lock", json.dumps(BLOCK))[0] == "signer_pin_source_exception"
    locked.do("lock_all")
    locked.do("set_timeout", 0)
    assert (
        locked.refusal("remove_key", [BLOCK, _WRONG, locked.key("block-r1", BLOCK)])[0]
        == "signer_forbidden_exception"
    )

    assert locked.wallets() == [DEFAULT, OTHER, f"{BLOCK} *"]
    assert _state(locked, BLOCK) == "logged-in"
    assert _tries(shim) == before == [_OK] * 2


def test_the_pin_serves_lanes_and_reloads_until_it_is_wiped(site: WalletSite) -> None:
    """A lane that dies is replaced, a reload keeps the wallet open; after a lock and after a restart nobody has it."""
    shim = site.shim(DEFAULT)
    site.start()
    site.unlock()
    assert site.program is not None
    site.program.wait_for(lambda: len(_lanes(site)) == 2, "both lanes are open")

    for lane in _lanes(site):
        os.kill(lane, signal.SIGKILL)
    killed = set(_lanes(site))
    site.program.wait_for(lambda: len(set(_lanes(site)) - killed) == 2, "other lanes are open")
    assert site.run("reload").returncode == 0
    assert f"{DEFAULT} *" in site.wallets()
    tries = len(_tries(shim))

    site.do("lock", json.dumps(DEFAULT))
    assert _state(site) == "locked"
    assert site.wallets() == [DEFAULT, OTHER, f"{BLOCK} *"]
    assert site.run("reload").returncode == 0
    assert site.wallets() == [DEFAULT, OTHER, f"{BLOCK} *"]
    assert len(_tries(shim)) == tries

    site.unlock()
    site.program.stop()
    site.start()
    assert _state(site) == "locked"
    assert "cleos --wallet-url" in site.status()["tokens"][DEFAULT]["reason"]


def _lanes(site: WalletSite) -> list[int]:
    return [lane["pid"] for lane in site.status()["tokens"][DEFAULT]["lanes"]]


def test_a_freeze_of_all_its_keys_locks_a_token(site: WalletSite) -> None:
    """Signing ends, and the PIN is wiped; a freeze of one key leaves the other one and the PIN alone."""
    site.start()
    site.unlock()

    assert site.run("freeze", "--key", site.key("account-k1"), "--reason", "one").returncode == 0
    assert _state(site) == "logged-in"
    assert site.run("freeze", "--all", "--reason", "all").returncode == 0
    assert _state(site) == "locked"
    assert site.run("unfreeze", "--all").returncode == 0
    assert _state(site) == "locked"
    assert site.audited(act="lock")[0]["detail"] == f"token {DEFAULT}: all its keys are frozen"


def test_an_idle_time_is_armed_by_a_person_and_ends_what_a_person_began(site: WalletSite) -> None:
    """Without set_timeout nothing locks; with it, use keeps a wallet open."""
    site.start()
    site.unlock()
    site.do("set_timeout", 1)
    assert site.program is not None

    # The status is asked on another socket, so it is no use.
    site.program.wait_for(lambda: _state(site) == "locked", "it locks by itself")

    assert site.audited(act="lock")[0]["detail"] == f"token {DEFAULT}: not used for 1 s"
    assert _state(site, BLOCK) == "logged-in"


def test_a_pin_is_in_no_file_and_no_argument(site: WalletSite) -> None:
    """Not right, not wrong, not as a key to import: no log, audit log or state has it, nor any command line."""
    site.settings = {DEFAULT: ["allow_remove_key = true"]}
    site.start()
    wif = "5J4Q6wYZbtVjuZ8U98SSBjz3A7tJBJHck6wfmHRukNN8Z1V8NDY"
    site.ask("unlock", [DEFAULT, _WRONG])
    site.ask("unlock", f'["{DEFAULT}","{_WRONG}"')  # not JSON
    site.ask("unlock", [DEFAULT, _WRONG], headers=("Origin: https://page.example",))
    site.retry()
    site.unlock()
    site.ask("unlock", [DEFAULT, _WRONG])
    site.ask("remove_key", [DEFAULT, _WRONG, site.key("account-k1")])
    site.ask("import_key", [DEFAULT, wif])
    site.ask("list_keys", [DEFAULT, _WRONG])
    site.audited(act="wrong-pin")
    lines = _command_lines()
    assert any(b"hsm.lane" in line for line in lines)
    assert site.program is not None
    site.program.stop()

    for secret in (_WRONG, site.pin(DEFAULT), wif):
        assert all(secret.encode() not in path.read_bytes() for path in site.files())
        assert all(secret.encode() not in line for line in lines)


def _command_lines() -> list[bytes]:
    """The arguments and the environment of every process that can be read."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # it has ended
                found.append((folder / name).read_bytes())
    return found


def test_a_stopped_client_does_not_keep_others_from_the_wallet(locked: WalletSite) -> None:
    """Half a request waits for nobody, and an unlock that nobody waits for ends well."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(locked.socket))
        silent.sendall(b"POST /v1/wallet/unlock HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[")
        body = json.dumps([DEFAULT, locked.pin(DEFAULT)]).encode()
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(str(locked.socket))
            gone.sendall(request("/v1/wallet/unlock", host="x", body=body))
        assert locked.program is not None
        locked.program.wait_for(lambda: f"{DEFAULT} *" in locked.wallets(), "it is unlocked all the same")


def test_ten_persons_at_once_spend_one_pin_try(locked: WalletSite, shims: dict[str, Shim]) -> None:
    """Whoever comes first is tried; the others are told to wait."""
    before = _tries(shims[DEFAULT]).count(_INCORRECT)
    names: list[str] = []

    def try_it() -> None:
        names.append(locked.refusal("unlock", [DEFAULT, _WRONG])[0])

    threads = [threading.Thread(target=try_it) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(names) == ["signer_pin_tries_exception"] * 9 + ["wallet_invalid_password_exception"]
    assert _tries(shims[DEFAULT]).count(_INCORRECT) == before + 1


def test_only_permitted_users_are_served(site: WalletSite) -> None:
    """The kernel says who calls, also where the file's mode lets others in."""
    site.start()
    for folder in (site.folder, site.socket.parent.parent, site.socket.parent):
        folder.chmod(0o755)
    site.socket.chmod(0o666)
    program = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
        "s.sendall(b'POST /v1/wallet/list_wallets HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n\\r\\n'); "
        "print(s.makefile().read())"
    )
    stranger = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    command = [*stranger, "/usr/bin/python3", "-c", program, str(site.socket)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "signer_peer_exception" in printed
    assert site.ask("list_wallets").status == 200


def test_a_typed_pin_outlives_an_upgrade(site: WalletSite) -> None:
    """Nobody types it again, and it is in no environment, command line or log; the idle time goes on."""
    shim = site.shim(DEFAULT)
    site.start()
    site.unlock()
    site.do("set_timeout", 3600)
    done = site.run("upgrade")
    assert done.returncode == 0, done.stderr
    assert _state(site) == "logged-in"
    assert f"{DEFAULT} *" in site.wallets()
    assert set(_tries(shim)) == {_OK}
    pin = site.pin(DEFAULT).encode()
    for process in site.processes():
        assert pin not in content(process, "environ") + content(process, "cmdline")
    assert site.program is not None
    assert pin not in site.program.log().encode()
    # The new image has it for lanes to come.
    os.kill(site.status()["tokens"][DEFAULT]["lanes"][0]["pid"], signal.SIGKILL)
    site.program.wait_for(
        lambda: _state(site) == "logged-in" and len(_tries(shim)) > 2, "another lane logs in"
    )
    site.do("lock_all")
    assert _state(site) == "locked"


def test_no_process_waits_for_a_supervisor_that_is_gone(site: WalletSite) -> None:
    """A person types a PIN, the token does not answer, and the supervisor is killed: the answer could come no more."""
    shim = site.shim(DEFAULT)
    site.start()
    assert site.program is not None
    shim.tell("hang", at="C_Login")
    typing = threading.Thread(target=_in_vain, args=(site,))
    typing.start()
    site.program.wait_for(lambda: _state(site) != "locked" or None, "the PIN is tried")
    everybody = family(site.program.pid)
    site.program.kill()
    # Less than the 90 s that a PIN may take.
    until(lambda: not any(each.exists() for each in everybody), "all are gone", timeout_s=45)
    typing.join()


def _in_vain(site: WalletSite) -> None:
    with contextlib.suppress(OSError, AssertionError, ValueError):
        site.unlock()
