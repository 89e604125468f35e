"""Whether a key on a token is fit to sign: audited from its attributes, each finding one sentence.

A key made by `hsm.keys.generate_key` has no findings. Keys made by other tools often have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pkcs11 import Attribute, KeyType

from hsm.errors import KeyAbsentError, KeyAmbiguousError, KeyUnfitError
from hsm.keys import find_private_object, public_point, read_attribute

if TYPE_CHECKING:
    from pkcs11.types import Session

    from hsm.keys import KeyObject

#: Attribute, the value it must have, and the finding otherwise (PKCS#11 2.40, sections 4.4, 4.7 and 4.9).
#: These must be told: a module that does not tell them is not trusted with them.
_MUST_TELL: Final = (
    (Attribute.TOKEN, True, "it is a session object and ends with the session"),
    (Attribute.PRIVATE, True, "it can be used without a login"),
    (Attribute.SENSITIVE, True, "it is not sensitive: its value can be read"),
    (Attribute.ALWAYS_SENSITIVE, True, "it was not always sensitive: its value may have been read"),
    (Attribute.EXTRACTABLE, False, "it is extractable: it can be taken out of the token"),
    (Attribute.NEVER_EXTRACTABLE, True, "it was extractable once: a copy may exist outside the token"),
    (Attribute.LOCAL, True, "it was not generated on this token: a copy may exist outside"),
    (Attribute.MODIFIABLE, False, "it is modifiable: its attributes can be changed"),
    (Attribute.SIGN, True, "it may not sign"),
)
#: A module that does not tell these has no such operation.
_MAY_BE_SILENT: Final = (
    (Attribute.SIGN_RECOVER, False, "it may sign with recovery"),
    (Attribute.DECRYPT, False, "it may decrypt"),
    (Attribute.UNWRAP, False, "it may unwrap keys"),
    (Attribute.DERIVE, False, "it may derive keys"),
)


def audit_key(
    session: Session,
    label: str,
    key_id: bytes | None = None,
    *,
    expected_curve: str | None = None,
    expected_point: bytes | None = None,
) -> list[str]:
    """Return what is wrong with a key, one sentence each; empty means fit to sign.

    Args:
        session: logged in.
        label: CKA_LABEL.
        key_id: CKA_ID, or None where the label is enough.
        expected_curve: "secp256k1" or "prime256v1"; None accepts either.
        expected_point: the public key that the configuration names: bytes, 33 or 65; None accepts any.

    Raises:
        DeviceError: the module failed, so nothing is known.
    """
    try:
        key = find_private_object(session, label, key_id)
    except (KeyAbsentError, KeyAmbiguousError) as error:
        return [str(error)]
    return _attributes(key) + _public(session, key, expected_curve, expected_point)


def _attributes(key: KeyObject) -> list[str]:
    findings = []
    if read_attribute(key, Attribute.KEY_TYPE) != KeyType.EC:
        findings.append("it is not an elliptic curve key")
    for attribute, wanted, finding in _MUST_TELL:
        value = read_attribute(key, attribute)
        if value is None:
            findings.append(f"the token does not tell its CKA_{attribute.name}, which must be {wanted}")
        elif value is not wanted:
            findings.append(f"{finding} (CKA_{attribute.name} is {value})")
    for attribute, wanted, finding in _MAY_BE_SILENT:
        value = read_attribute(key, attribute)
        if value is not None and value is not wanted:
            findings.append(f"{finding} (CKA_{attribute.name} is {value})")
    return findings


def _public(
    session: Session, key: KeyObject, expected_curve: str | None, expected_point: bytes | None
) -> list[str]:
    try:
        point = public_point(session, key)
    except KeyUnfitError as error:
        return [error.reason]
    findings = []
    if expected_curve is not None and point.curve != expected_curve:
        findings.append(f"its curve is {point.curve}, not {expected_curve}")
    if expected_point is not None and expected_point not in {point.compressed, point.uncompressed}:
        findings.append(f"its public key is {point.compressed.hex()}, not {expected_point.hex()}")
    return findings
