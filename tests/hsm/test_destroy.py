"""A key destroyed on a real SoftHSM: that one, both halves, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from rig.hsm_home import COMMAND

from hsm.errors import DeviceError, KeyAbsentError, KeyAmbiguousError, KeyUnfitError
from hsm.keys import destroy_key, find_private_object, generate_key, list_keys
from hsm.point import EC_PARAMS

if TYPE_CHECKING:
    from pkcs11.types import Session
    from rig.hsm_home import Home

    from hsm.module import Module
    from hsm.pin import Pin
    from hsm.point import Curve
    from hsm.uri import TokenUri

#: A process that is logged in as a lane is. It signs when it is told to, and says what came of it.
LANE = """
import sys
from pkcs11 import Mechanism
from pkcs11.exceptions import PKCS11Error
from hsm.keys import find_private
from hsm.module import Module
from hsm.pin import PinFile
from hsm.uri import parse_uri

uri = parse_uri(sys.argv[1])
with Module(uri.module_path).session(uri, PinFile(sys.argv[2]).read()) as session:
    keys = {label: find_private(session, label) for label in sys.argv[3:]}
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            print(len(keys[line.strip()].sign(b"d" * 32, mechanism=Mechanism.ECDSA)), flush=True)
        except PKCS11Error as error:
            print(type(error).__name__, flush=True)
"""


def make_raw(session: Session, label: str, key_id: bytes, public_label: str | None = None) -> None:
    """Make a key pair as another tool might: it can be changed and copied, its halves may have two labels."""
    domain = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: EC_PARAMS["prime256v1"]}, local=True
    )
    domain.generate_keypair(
        id=key_id,
        label=label,
        store=True,
        mechanism=Mechanism.EC_KEY_PAIR_GEN,
        public_template={Attribute.LABEL: public_label or label},
    )


def halves(session: Session, label: str) -> list[ObjectClass]:
    """The objects that have the label."""
    return [each[Attribute.CLASS] for each in session.get_objects({Attribute.LABEL: label})]


@pytest.mark.parametrize("curve", ["secp256k1", "prime256v1"])
def test_both_halves_are_gone_and_no_other_key(session: Session, label: str, curve: Curve) -> None:
    """Though neither can be changed: CKA_MODIFIABLE does not keep an object. The label is free again."""
    record = generate_key(session, label, curve)
    others = [generate_key(session, f"{label}{end}", "prime256v1") for end in ("0-", "-b")]
    before = list_keys(session)
    assert find_private_object(session, label)[Attribute.MODIFIABLE] is False

    assert destroy_key(session, label) == record

    assert halves(session, label) == []
    assert list_keys(session) == [each for each in before if each != record]
    assert all(len(halves(session, each.label)) == 2 for each in others)
    with pytest.raises(KeyAbsentError, match="signer-hsm list"):
        destroy_key(session, label)
    assert generate_key(session, label, curve).point != record.point


def test_a_key_that_is_not_the_expected_one_is_kept(session: Session, label: str) -> None:
    """A label can be a slip; a public key is none."""
    record = generate_key(session, label, "prime256v1")
    other = generate_key(session, f"{label}-other", "prime256v1")
    assert record.point is not None
    assert other.point is not None

    with pytest.raises(KeyUnfitError, match="not the expected key; nothing was destroyed"):
        destroy_key(session, label, expected_point=other.point.compressed)
    with pytest.raises(KeyAbsentError):
        destroy_key(session, label, other.id)
    assert len(halves(session, label)) == 2

    assert destroy_key(session, label, record.id, expected_point=record.point.compressed) == record
    assert halves(session, label) == []
    assert len(halves(session, other.label)) == 2


def test_of_two_keys_with_one_label_none_is_guessed(session: Session, label: str) -> None:
    """The id tells them apart."""
    first, second = f"{label}-first".encode(), f"{label}-second".encode()
    make_raw(session, label, first)
    make_raw(session, label, second)

    with pytest.raises(KeyAmbiguousError, match="nothing was destroyed"):
        destroy_key(session, label)
    assert len(halves(session, label)) == 4

    assert destroy_key(session, label, first).id == first
    assert destroy_key(session, label).id == second


def test_an_id_on_two_private_keys_destroys_neither(session: Session, label: str) -> None:
    """One of them would lose its public half."""
    make_raw(session, label, label.encode())
    copy = find_private_object(session, label).copy({Attribute.LABEL: f"{label}-copy"})  # type: ignore[attr-defined]  # not in the protocol

    for name in (label, f"{label}-copy"):
        with pytest.raises(KeyAmbiguousError, match="by label or id; nothing was destroyed"):
            destroy_key(session, name)
    assert len(halves(session, label)) == 2

    copy.destroy()
    assert destroy_key(session, label).label == label


def test_what_an_interrupted_run_left_is_removed(session: Session, label: str) -> None:
    """The public half alone keeps the label occupied. Without its public half a key can still be destroyed."""
    record = generate_key(session, label, "prime256v1")
    find_private_object(session, label).destroy()  # type: ignore[attr-defined]  # as above
    assert destroy_key(session, label).id == record.id
    assert halves(session, label) == []

    record = generate_key(session, label, "prime256v1")
    next(
        iter(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: label}))
    ).destroy()
    assert record.point is not None
    with pytest.raises(KeyUnfitError, match="no public key"):
        destroy_key(session, label, expected_point=record.point.compressed)
    assert destroy_key(session, label).point is None
    assert halves(session, label) == []


def test_a_public_key_that_belongs_to_another_label_is_no_way_to_its_private_key(
    session: Session, label: str
) -> None:
    """Another tool may have named the halves apart."""
    make_raw(session, label, label.encode(), public_label=f"{label}-public")

    with pytest.raises(KeyUnfitError, match="another label"):
        destroy_key(session, f"{label}-public")

    assert destroy_key(session, label).point is not None
    assert halves(session, f"{label}-public") == []


def test_a_key_without_an_id_is_kept(session: Session, label: str) -> None:
    """Its public half could be anybody's."""
    make_raw(session, label, b"")

    with pytest.raises(KeyUnfitError, match="no CKA_ID"):
        destroy_key(session, label)

    assert len(halves(session, label)) == 2
    for half in session.get_objects({Attribute.LABEL: label}):
        half.destroy()


def test_a_read_only_session_destroys_nothing(module: Module, uri: TokenUri, pin: Pin, label: str) -> None:
    """The answer of the module is named, and the half; the key is whole."""
    with module.session(uri, pin, write=True) as session:
        record = generate_key(session, label, "prime256v1")
    with module.session(uri, pin) as session:
        with pytest.raises(
            DeviceError, match=f"destroy the private half of key '{label}'.*CKR_SESSION_READ_ONLY"
        ):
            destroy_key(session, label)
        assert record in list_keys(session)


def test_other_processes_on_the_token_lose_that_key_and_no_other(home: Home) -> None:
    """They are logged in, as the lanes of a signer are."""
    for label in ("gone", "kept"):
        home.generate(label, "r1")
    with subprocess.Popen(
        [sys.executable, "-c", LANE, home.uri, str(home.pin_file), "gone", "kept"],
        env=home.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as lane:
        assert lane.stdin is not None
        assert lane.stdout is not None

        def sign(label: str) -> str:
            assert lane.stdin is not None
            assert lane.stdout is not None
            lane.stdin.write(f"{label}\n")
            lane.stdin.flush()
            return lane.stdout.readline().strip()

        assert lane.stdout.readline() == "ready\n"
        assert [sign("gone"), sign("kept")] == ["64", "64"]
        assert home.on_token("destroy", "--label", "gone", "--yes").returncode == 0
        assert sign("kept") == "64"
        assert sign("gone") == "ObjectHandleInvalid"
        assert sign("kept") == "64"
        lane.stdin.close()
        assert lane.wait() == 0


# -- the command ------------------------------------------------------------------------------------------


def asked(home: Home, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command without --yes, and type `answer`."""
    return subprocess.run(
        [COMMAND, "destroy", "--uri", home.uri, "--pin-file", home.pin_file, *arguments],
        env=home.environment,
        input=answer,
        capture_output=True,
        text=True,
        check=False,
    )


def listed(home: Home) -> list[str]:
    return [each["label"] for each in json.loads(home.on_token("list", "--json").stdout)]


def test_the_label_is_asked_for_before_anything_is_destroyed(home: Home) -> None:
    """Anything else, or nobody there, destroys nothing. The safe way is named, and what the key is."""
    key = home.generate("old", "r1")
    home.generate("older", "r1")
    for answer in ("", "yes\n", "older\n", "OLD\n"):
        done = asked(home, answer, "--label", "old")
        assert done.returncode == 1
        assert done.stdout == ""
        assert "nothing was destroyed" in done.stderr
        assert "`signer keys destroy` does, and is safe" in done.stderr
        assert key["public_key_hex"] in done.stderr
    assert listed(home) == ["old", "older"]

    done = asked(home, "old\n", "--label", "old")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"destroyed old id {key['id']} prime256v1 {key['public_key_hex']}\n"
    assert listed(home) == ["older"]


def test_a_program_that_has_asked_says_yes(home: Home) -> None:
    """And reads JSON. SoftHSM keeps no file of the key."""
    files = set(home.folder.rglob("*.object"))
    key = home.generate("old", "k1")
    assert len(set(home.folder.rglob("*.object")) - files) == 2

    done = home.on_token("destroy", "--label", "old", "--id", key["id"], "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == key
    assert set(home.folder.rglob("*.object")) == files


def test_a_key_that_is_not_there_is_a_failure(home: Home) -> None:
    """Of another label or id; and an id that is none is a mistake of the command line."""
    key = home.generate("old", "r1")
    for arguments in (("--label", "ol"), ("--label", "old", "--id", key["id"][2:])):
        done = home.on_token("destroy", *arguments, "--yes")
        assert done.returncode == 1
        assert "is not on token primary" in done.stderr
    for wrong in ("", "xyz", "0"):
        assert home.on_token("destroy", "--label", "old", "--id", wrong, "--yes").returncode == 2
    assert listed(home) == ["old"]
