"""A key or a token in trouble costs its own signatures and no others."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rig.condition import until
from rig.hsm_home import SOFTHSM, Home

if TYPE_CHECKING:
    from rig.site import Site


#: Makes the key pair "odd" by our own templates, but for one attribute of its private half.
_ODD = """
import pathlib
from pkcs11 import Attribute
from hsm import keys
from hsm.module import Module
from hsm.pin import PinFile
from hsm.uri import parse_uri
keys._PRIVATE[Attribute.{attribute}] = {value!r}
module = Module({module!r})
with module.session(parse_uri({uri!r}), PinFile(pathlib.Path({pin!r})).read(), write=True) as session:
    print(keys.generate_key(session, "odd", "prime256v1").point.compressed.hex())
"""


def make_odd(home: Home, attribute: str, value: object) -> str:
    """Make the key pair "odd"; return its public key (compressed, hex)."""
    program = _ODD.format(
        attribute=attribute, value=value, module=SOFTHSM, uri=home.uri, pin=str(home.pin_file)
    )
    done = home.python(program)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def double(home: Home, label: str) -> None:
    """Give another private key the same label."""
    make_odd(home, "LABEL", label)


def all_others_sign(site: Site, *but: str) -> None:
    """Assert that every block key signs, but those of `primary` whose labels are given."""
    for label in ("r1-1", "r1-2", "k1-1"):
        site.sign(label, node="standby")
        if label not in but:
            site.sign(label)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Home.destroy, "key 'r1-1' is not on token primary"), (double, "key 'r1-1' is more than once")],
    ids=["missing", "doubled"],
)
def test_a_key_that_is_missing_or_doubled_refuses_and_says_why(
    site: Site, fault: object, reason: str
) -> None:
    assert callable(fault)
    fault(site.tokens["primary"].home, "r1-1")
    site.start()
    name, message = site.refusal("r1-1")
    assert name == "signer_quarantined_exception"
    assert reason in message
    assert site.key_status("r1-1")["state"] == "quarantined"
    assert reason in site.key_status("r1-1")["reason"]
    assert reason in site.events("key quarantined")[0]["reason"]
    all_others_sign(site, "r1-1")


def test_a_key_that_can_be_taken_out_of_the_token_refuses_and_says_why(site: Site) -> None:
    home = site.tokens["primary"].home
    odd = site.adopt("odd", "R1", make_odd(home, "EXTRACTABLE", value=True))
    site.start()
    name, message = site.refusal(odd)
    assert name == "signer_quarantined_exception"
    assert "it is extractable: it can be taken out of the token" in message
    all_others_sign(site)


def test_a_key_of_another_curve_than_configured_refuses_and_says_why(site: Site) -> None:
    for index, key in enumerate(site.keys):
        if key.store == "primary" and key.label in ("r1-1", "k1-1"):
            other = "k1-1" if key.label == "r1-1" else "r1-1"
            site.keys[index] = replace(key, label=other)
    site.start()
    name, message = site.refusal("r1-1")
    assert name == "signer_quarantined_exception"
    assert "its curve is prime256v1, not secp256k1" in message
    all_others_sign(site, "r1-1", "k1-1")


def test_a_key_with_another_private_half_refuses_and_says_why(site: Site) -> None:
    labels = {"r1-1": "r1-2", "r1-2": "r1-1"}
    for index, key in enumerate(site.keys):
        if key.store == "primary":
            site.keys[index] = replace(key, label=labels.get(key.label, key.label))
    site.start()
    _, message = site.refusal("r1-1")
    assert "its public key is" in message
    all_others_sign(site, "r1-1", "r1-2")


def test_the_k1_keys_of_a_deterministic_token_refuse_and_point_to_r1(site: Site) -> None:
    site.shim("primary").tell("deterministic")
    site.start()
    name, message = site.refusal("k1-1")
    assert name == "signer_quarantined_exception"
    assert "deterministic" in message
    assert "use an R1 key" in message
    all_others_sign(site, "k1-1")


def test_start_fails_readably_when_no_block_key_can_ever_be_used(site: Site) -> None:
    site.keys = [key for key in site.keys if key.label in ("r1-1", "probe-r1")]
    for token in site.tokens.values():
        token.home.destroy("r1-1")
    program = site.launch()
    assert until(lambda: program.exit_code, "it ends") == 1
    (ending,) = site.events("no block key can be used; the signer ends")
    assert "key 'r1-1' is not on token primary" in ending["reason"]
    assert ending["remedy"]


def test_an_invalid_configuration_does_not_start(site: Site) -> None:
    site.tables = ["[nonsense]"]
    program = site.launch()
    with pytest.raises(AssertionError, match="ended with 2"):
        program.wait_for(lambda: None, "it never serves")
    assert "nonsense" in site.log


def test_what_a_refusal_says_is_an_envelope_that_nodeos_logs(site: Site) -> None:
    site.tokens["primary"].home.destroy("r1-1")
    site.start()
    reply = site.ask(site.key("r1-1"))
    envelope = json.loads(reply.body)
    assert (reply.status, envelope["code"], envelope["error"]["code"]) == (500, 500, 3990005)
