"""What cleos, keosd and wharfkit made, read by the antelope package and by the ecdsa package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import base58
import ecdsa
import pytest

from signer.antelope.keys import Curve, PublicKey, parse_digest
from signer.antelope.recovery import recover, verifier_for
from signer.antelope.signature import Signature, is_canonical_k1, is_low_s, split

ECDSA_CURVE = {Curve.K1: ecdsa.SECP256k1, Curve.R1: ecdsa.NIST256p}


def read(name: str) -> dict[str, Any]:
    """The vectors in the file of that name."""
    content: dict[str, Any] = json.loads(Path(__file__).with_name(name).read_text())
    return content


KEOSD = read("vectors.json")
WHARFKIT = read("vectors-wharfkit.json")
every_key = pytest.mark.parametrize(
    "vector", KEOSD["keys"] + WHARFKIT["keys"], ids=lambda v: v["public"][:14]
)


def private_scalar(text: str) -> bytes:
    """The private number (bytes, 32) in a WIF or PVT_ text, without the code under test."""
    if text.startswith("PVT_"):
        return base58.b58decode(text[len("PVT_K1_") :])[:32]
    return base58.b58decode_check(text)[1:]


@pytest.mark.parametrize("vectors", [KEOSD, WHARFKIT], ids=["keosd", "wharfkit"])
@pytest.mark.parametrize("curve", Curve)
def test_vectors_cover_each_curve(vectors: dict[str, Any], curve: Curve) -> None:
    """No file is empty: at least 40 keys of each curve, and both common recovery ids."""
    keys = [key for key in vectors["keys"] if key["curve"] == curve]
    ids = {Signature.parse(made["signature"]).recovery_id for key in keys for made in key["signatures"]}

    assert len(keys) >= 40
    assert ids == {0, 1}


@every_key
def test_every_printed_form_is_read_and_printed_again(vector: dict[str, Any]) -> None:
    """Each form names the same key, and each is printed character for character."""
    key = PublicKey.parse(vector["public"])

    assert key.curve is Curve(vector["curve"])
    assert str(key) == vector["public"]
    if "fc" in vector:
        assert key.fc == vector["fc"]
        assert PublicKey.parse(vector["fc"]) == key
    if "legacy" in vector:
        assert key.legacy == vector["legacy"]
        assert key.legacy is None or PublicKey.parse(vector["legacy"]) == key


@every_key
def test_public_key_is_that_of_the_private_key(vector: dict[str, Any]) -> None:
    """The ecdsa package computes the same point from the private key."""
    key = PublicKey.parse(vector["public"])

    private = ecdsa.SigningKey.from_string(private_scalar(vector["private"]), ECDSA_CURVE[key.curve])

    assert private.verifying_key.to_string("compressed") == key.data
    assert PublicKey.from_ec_point(key.curve, private.verifying_key.to_string("uncompressed")) == key


@every_key
def test_foreign_signatures_are_read_recovered_and_sealed_alike(vector: dict[str, Any]) -> None:
    """From r and s alone `seal` makes, bit for bit, the signature that the other program made."""
    key = PublicKey.parse(vector["public"])
    verifier = verifier_for(key)
    for made in vector["signatures"]:
        digest, signature = parse_digest(made["digest"]), Signature.parse(made["signature"])

        assert str(signature) == made["signature"]
        assert recover(digest, signature) == key
        assert verifier.seal(digest, signature.rs) == signature


@every_key
def test_foreign_signatures_have_the_form_that_we_demand(vector: dict[str, Any]) -> None:
    """What keosd and wharfkit make is low-s, and canonical on K1: our rules are not stricter than theirs."""
    for made in vector["signatures"]:
        signature = Signature.parse(made["signature"])

        assert is_low_s(signature.curve, split(signature.curve, signature.rs)[1])
        assert signature.curve is Curve.R1 or is_canonical_k1(signature.rs)


@pytest.mark.parametrize("vector", KEOSD["keys"][::8], ids=lambda v: v["public"][:14])
def test_the_ecdsa_package_verifies_what_was_parsed(vector: dict[str, Any]) -> None:
    """A third implementation agrees with what was read. It is slow, so every eighth key."""
    key = PublicKey.parse(vector["public"])
    verifying = ecdsa.VerifyingKey.from_string(key.data, ECDSA_CURVE[key.curve])
    for made in vector["signatures"]:
        assert verifying.verify_digest(Signature.parse(made["signature"]).rs, parse_digest(made["digest"]))


def test_keys_sort_as_in_keosd() -> None:
    """`sorted` gives the order of keosd's get_public_keys."""
    keys = [PublicKey.parse(text) for text in KEOSD["keosd_order"]]

    shuffled = set(keys)

    assert sorted(shuffled) == keys
    assert [key.fc for key in keys] == KEOSD["keosd_order"]
