"""A lane as a real process on a real SoftHSM; the test is its owner."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from rig.condition import HANG_S, until
from rig.hsm_home import SOFTHSM
from rig.shim import Shim

from hsm.curves import ORDERS, is_canonical
from hsm.frame import MAX_FRAME, Outcome, Reply, pack_cancel, pack_sign, unpack_reply

if TYPE_CHECKING:
    from types import TracebackType

    from rig.hsm_home import Home

_CURVES = {"secp256k1": ec.SECP256K1(), "prime256v1": ec.SECP256R1()}
_PATIENCE_NS = int(HANG_S * 1e9)


class Owner:
    """Starts a lane and talks to it."""

    def __init__(
        self, home: Home, keys: list[dict[str, Any]], *, pin: str = "", shim: Shim | None = None
    ) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(HANG_S)
        self.pin = pin or home.pin_file.read_text().strip()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hsm.lane", "--fd", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env=home.environment | (shim.environment if shim else {}),
        )
        theirs.close()
        module = SOFTHSM if shim is None else shim.library
        self._keys = keys
        uri = f"pkcs11:token=primary?module-path={module}"
        asked = [
            {
                "label": key["label"],
                "id": None,
                "curve": key["curve"],
                "point": key["public_key_hex"],
            }
            for key in keys
        ]
        self.sock.send(json.dumps({"uri": uri, "pin": self.pin, "keys": asked}).encode())
        self.opened: dict[str, Any] = json.loads(self.sock.recv(200_000))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()
        if kind is not None:
            self.process.kill()
        assert self.process.wait(HANG_S) in (0, -9)

    def send(
        self,
        index: int,
        digest: bytes,
        *,
        canonical: bool = False,
        within_ns: int = _PATIENCE_NS,
        number: int = 7,
    ) -> None:
        """Ask for a signature."""
        deadline_ns = time.monotonic_ns() + within_ns
        self.sock.send(pack_sign(index, number, deadline_ns, digest, canonical=canonical))

    def reply(self) -> Reply:
        """Return the next reply."""
        return unpack_reply(self.sock.recv(MAX_FRAME))

    def ask(self, index: int, *, canonical: bool = False, within_ns: int = _PATIENCE_NS) -> Reply:
        """Ask for a signature of a new digest and return the reply, verified if it is one."""
        digest = os.urandom(32)
        self.send(index, digest, canonical=canonical, within_ns=within_ns)
        reply = self.reply()
        if reply.outcome == Outcome.SIGNED:
            assert self.verifies(index, digest, reply.rs)
        return reply

    def verifies(self, index: int, digest: bytes, rs: bytes) -> bool:
        """Whether the key's owner made r || s, says OpenSSL, and s is low."""
        curve = self._keys[index]["curve"]
        point = bytes.fromhex(self._keys[index]["public_key_hex"])
        r, s = int.from_bytes(rs[:32]), int.from_bytes(rs[32:])
        key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], point)
        try:
            key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        except InvalidSignature:
            return False
        return s <= ORDERS[curve] // 2


@pytest.fixture(scope="module")
def two_keys(shared_home: Home) -> list[dict[str, Any]]:
    """A K1 and an R1 key that no test changes."""
    return [shared_home.generate("lane-k1", "k1"), shared_home.generate("lane-r1", "r1")]


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    """A shim in front of SoftHSM."""
    return Shim(SOFTHSM, tmp_path)


def test_it_opens_and_signs_on_both_curves_with_low_s(
    shared_home: Home, two_keys: list[dict[str, Any]]
) -> None:
    with Owner(shared_home, two_keys) as lane:
        assert lane.opened == {"ok": True, "findings": {}}
        for index in (0, 1) * 10:
            reply = lane.ask(index)
            assert (reply.outcome, reply.key_index, reply.request_id) == (Outcome.SIGNED, index, 7)
            assert (reply.tries, reply.reason) == (1, "")


def test_a_canonical_signature_is_tried_for_until_it_is_found(
    shared_home: Home, two_keys: list[dict[str, Any]]
) -> None:
    with Owner(shared_home, two_keys) as lane:
        replies = [lane.ask(0, canonical=True) for _ in range(30)]
        assert all(reply.outcome == Outcome.SIGNED and is_canonical(reply.rs) for reply in replies)
        # Half of all signatures are canonical: 30 first tries that all are have a chance of 2 ** -30.
        assert max(reply.tries for reply in replies) > 1


def test_an_r1_signature_is_not_tried_for_again(shared_home: Home, two_keys: list[dict[str, Any]]) -> None:
    with Owner(shared_home, two_keys) as lane:
        assert {lane.ask(1).tries for _ in range(20)} == {1}


def test_nothing_is_signed_after_the_deadline(shared_home: Home, two_keys: list[dict[str, Any]]) -> None:
    with Owner(shared_home, two_keys) as lane:
        reply = lane.ask(0, canonical=True, within_ns=0)
        assert (reply.outcome, reply.tries, reply.rs) == (Outcome.LATE, 0, bytes(64))
        assert lane.ask(0).outcome == Outcome.SIGNED


def digest_with_no_canonical_signature(lane: Owner, index: int) -> bytes:
    """Return a digest whose one signature by a deterministic token is not canonical."""
    while True:
        digest = os.urandom(32)
        lane.send(index, digest)
        if not is_canonical(lane.reply().rs):
            return digest


def test_no_try_begins_after_the_deadline(
    shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim
) -> None:
    """No try is begun after it: seven of 30 ms begin within 200 ms."""
    shim.tell("deterministic", delay_ms=30)
    with Owner(shared_home, two_keys, shim=shim) as lane:
        digest = digest_with_no_canonical_signature(lane, 0)
        lane.send(0, digest, canonical=True, within_ns=200_000_000)
        reply = lane.reply()
        assert reply.outcome == Outcome.LATE
        assert 1 <= reply.tries <= 7


def test_a_cancel_ends_the_tries_and_the_lane_serves_on(
    shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim
) -> None:
    shim.tell("deterministic")
    with Owner(shared_home, two_keys, shim=shim) as lane:
        digest = digest_with_no_canonical_signature(lane, 0)
        lane.send(0, digest, canonical=True, number=41)
        lane.sock.send(pack_cancel(40))  # of an earlier request: not meant
        assert not select.select([lane.sock], [], [], 0.05)[0]  # the law is that nothing comes
        lane.sock.send(pack_cancel(41))
        reply = lane.reply()
        assert (reply.outcome, reply.request_id) == (Outcome.CANCELLED, 41)
        assert lane.ask(1).outcome == Outcome.SIGNED


def test_a_cancel_after_the_answer_is_ignored(shared_home: Home, two_keys: list[dict[str, Any]]) -> None:
    with Owner(shared_home, two_keys) as lane:
        assert lane.ask(1).outcome == Outcome.SIGNED
        lane.sock.send(pack_cancel(7))
        assert lane.ask(1).outcome == Outcome.SIGNED


def test_a_wrong_pin_is_reported_as_such_after_one_login(
    shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim
) -> None:
    with Owner(shared_home, two_keys, pin="not the PIN", shim=shim) as lane:
        assert (lane.opened["ok"], lane.opened["kind"]) == (False, "pin-refused")
        assert "CKR_PIN_INCORRECT" in lane.opened["message"]
        assert "not the PIN" not in lane.opened["message"]
        assert lane.sock.recv(10) == b""
    assert shim.logins() == [0xA0]


@pytest.mark.parametrize("function", ["C_OpenSession", "C_Login", "C_FindObjectsInit"])
def test_an_error_of_the_module_at_the_opening_is_reported_and_ends_the_lane(
    shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim, function: str
) -> None:
    """And is not taken for a refusal of the PIN, after which nothing would be tried again."""
    shim.tell("0x30", at=function)
    with Owner(shared_home, two_keys, shim=shim) as lane:
        assert (lane.opened["ok"], lane.opened["kind"]) == (False, "away")
        assert "CKR_DEVICE_ERROR" in lane.opened["message"]
        assert lane.sock.recv(10) == b""
        assert lane.process.wait(HANG_S) == 0


def test_a_missing_key_is_found_at_the_opening_and_the_others_sign(
    shared_home: Home, two_keys: list[dict[str, Any]]
) -> None:
    keys = [{**two_keys[0], "label": "nobody"}, two_keys[1]]
    with Owner(shared_home, keys) as lane:
        assert list(lane.opened["findings"]) == ["0"]
        assert "key 'nobody' is not on token primary" in lane.opened["findings"]["0"][0]
        assert lane.ask(1).outcome == Outcome.SIGNED


def test_a_key_with_another_public_key_is_found_at_the_opening(
    shared_home: Home, two_keys: list[dict[str, Any]]
) -> None:
    other = shared_home.generate("lane-k1-other", "k1")
    keys = [{**two_keys[0], "public_key_hex": other["public_key_hex"]}]
    with Owner(shared_home, keys) as lane:
        assert "its public key is" in lane.opened["findings"]["0"][0]


def test_a_key_of_another_curve_is_found_at_the_opening(
    shared_home: Home, two_keys: list[dict[str, Any]]
) -> None:
    keys = [{**two_keys[0], "curve": "prime256v1"}]
    with Owner(shared_home, keys) as lane:
        assert "its curve is secp256k1, not prime256v1" in lane.opened["findings"]["0"]


def delete(home: Home, label: str) -> None:
    """Remove the objects with a label, as another application does."""
    done = home.python(
        "import pathlib\n"
        "from pkcs11 import Attribute\n"
        "from hsm.module import Module\nfrom hsm.pin import PinFile\nfrom hsm.uri import parse_uri\n"
        f"module = Module({SOFTHSM!r})\n"
        f"pin = PinFile(pathlib.Path({str(home.pin_file)!r})).read()\n"
        f"with module.session(parse_uri({home.uri!r}), pin, write=True) as session:\n"
        f"    found = list(session.get_objects({{Attribute.LABEL: {label!r}}}))\n"
        "    assert len(found) == 2\n"
        "    for one in found:\n"
        "        one.destroy()\n"
    )
    assert done.returncode == 0, done.stderr


def test_a_key_deleted_meanwhile_fails_and_the_others_sign_in_the_same_session(home: Home) -> None:
    keys = [home.generate("leaving", "k1"), home.generate("staying", "r1")]
    with Owner(home, keys) as lane:
        assert lane.ask(0).outcome == Outcome.SIGNED
        delete(home, "leaving")
        for _ in range(5):  # more than the failures after which a session is given up
            reply = lane.ask(0)
            assert reply.outcome == Outcome.KEY_FAILED
            assert "key 'leaving' is not on token primary" in reply.reason
            assert lane.ask(1).outcome == Outcome.SIGNED


def test_a_token_that_is_gone_ends_the_session_and_the_process(home: Home) -> None:
    keys = [home.generate("one", "r1"), home.generate("two", "r1")]
    with Owner(home, keys) as lane:
        assert lane.ask(0).outcome == Outcome.SIGNED
        shutil.move(home.folder / "softhsm" / "tokens", home.folder / "away")
        outcomes: list[int] = []
        while not outcomes or outcomes[-1] == Outcome.OPERATION_FAILED:
            outcomes.append(lane.ask(0).outcome)
        assert outcomes[-1] == Outcome.SESSION_LOST
        assert len(outcomes) <= 3
        assert lane.sock.recv(10) == b""
        assert lane.process.wait(HANG_S) == 0


def test_an_error_of_the_module_is_tried_over_once(
    shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim
) -> None:
    shim.tell("0x30", every=2)  # CKR_DEVICE_ERROR
    with Owner(shared_home, two_keys, shim=shim) as lane:
        for _ in range(20):
            assert lane.ask(1).outcome == Outcome.SIGNED


def test_a_module_that_only_fails_ends_the_session_at_the_third_request(
    shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim
) -> None:
    shim.tell("0x30")
    with Owner(shared_home, two_keys, shim=shim) as lane:
        replies = [lane.ask(1) for _ in range(3)]
        assert [reply.outcome for reply in replies] == [
            Outcome.OPERATION_FAILED,
            Outcome.OPERATION_FAILED,
            Outcome.SESSION_LOST,
        ]
        assert all("CKR_DEVICE_ERROR" in reply.reason for reply in replies)


def test_failures_that_are_not_in_a_row_do_not_end_the_session(
    shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim
) -> None:
    with Owner(shared_home, two_keys, shim=shim) as lane:
        for _ in range(5):
            shim.tell("0x30")
            assert lane.ask(1).outcome == Outcome.OPERATION_FAILED
            shim.tell("ok")
            assert lane.ask(1).outcome == Outcome.SIGNED


def test_a_lane_ends_when_its_owner_goes(shared_home: Home, two_keys: list[dict[str, Any]]) -> None:
    with Owner(shared_home, two_keys) as lane:
        lane.sock.close()
        assert lane.process.wait(HANG_S) == 0


def test_a_lane_whose_owner_does_not_wait_for_the_answer_ends_without_a_trace(
    shared_home: Home, two_keys: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    with Owner(shared_home, two_keys) as lane:
        for _ in range(3):
            lane.send(1, os.urandom(32))
        until(lambda: select.select([lane.sock], [], [], 0)[0], "a reply that is not read")
        lane.sock.close()  # what was sent is read all the same
        assert lane.process.wait(HANG_S) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("program", ["hsm.lane", "hsm.keymaker"])
def test_nothing_is_tried_for_an_owner_who_is_gone_already(
    program: str, shared_home: Home, two_keys: list[dict[str, Any]], shim: Shim
) -> None:
    """The kernel's signal at a parent's end is for those that asked for it before. A wrong PIN would cost a try."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    uri = f"pkcs11:token=primary?module-path={shim.library}"
    wish: dict[str, Any] = (
        {"keys": []} if program == "hsm.lane" else {"label": "orphan", "curve": "prime256v1"}
    )
    ours.send(json.dumps({"uri": uri, "pin": "0000-wrong-0000", **wish}).encode())
    ours.close()
    done = subprocess.run(
        [sys.executable, "-P", "-m", program, "--fd", str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        env=shared_home.environment | shim.environment,
        capture_output=True,
        check=False,
        timeout=HANG_S,
    )
    theirs.close()
    assert (done.returncode, done.stderr) == (0, b"")
    assert shim.logins() == []


def test_the_pin_is_in_no_argument_and_no_environment(
    shared_home: Home, two_keys: list[dict[str, Any]]
) -> None:
    with Owner(shared_home, two_keys) as lane:
        process = Path("/proc") / str(lane.process.pid)
        for name in ("cmdline", "environ"):
            shown = until((process / name).read_bytes, name)
            assert lane.pin.encode() not in shown
