"""Exceptions of python-pkcs11 end in hsm."""

from __future__ import annotations

import re

import pytest
from pkcs11 import exceptions as p11

import hsm.errors
from hsm.cryptoki import name_of
from hsm.errors import DeviceError, HsmError, PinRefusedError, TokenAbsentError
from hsm.translation import code_of, translate


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (p11.PinIncorrect(), PinRefusedError, "CKR_PIN_INCORRECT"),
        (p11.PinLocked(), PinRefusedError, "CKR_PIN_LOCKED"),
        (p11.PinExpired(), PinRefusedError, "CKR_PIN_EXPIRED"),
        (p11.PinLenRange(), PinRefusedError, "CKR_PIN_LEN_RANGE"),
        (p11.UserPinNotInitialized(), PinRefusedError, "CKR_USER_PIN_NOT_INITIALIZED"),
        (p11.TokenNotPresent(), TokenAbsentError, "CKR_TOKEN_NOT_PRESENT"),
        (p11.TokenNotRecognised(), TokenAbsentError, "CKR_TOKEN_NOT_RECOGNIZED"),
        (p11.DeviceRemoved(), TokenAbsentError, "CKR_DEVICE_REMOVED"),
        (p11.GeneralError(), DeviceError, "CKR_GENERAL_ERROR"),
        (p11.RandomNoRNG(), DeviceError, "CKR_RANDOM_NO_RNG"),
        (p11.SessionReadWriteSOExists(), DeviceError, "CKR_SESSION_READ_WRITE_SO_EXISTS"),
        (p11.PKCS11Error("Unmapped error code 0x80000001"), DeviceError, "0x80000001"),
    ],
)
def test_an_answer_becomes_the_error_of_its_kind(
    error: p11.PKCS11Error, kind: type[HsmError], code: str
) -> None:
    """The message has the operation and the code's standard name."""
    with pytest.raises(kind, match=code) as caught, translate("do a thing"):
        raise error

    assert str(caught.value).startswith("do a thing: ")


def test_what_is_not_pkcs11_passes() -> None:
    """A bug stays a bug."""
    with pytest.raises(ZeroDivisionError), translate("divide"):
        _ = 1 // 0


def test_both_ways_to_a_code_give_the_same_name() -> None:
    """The names of the C calls are those of the binding's exceptions, so one table of kinds is enough."""
    for code, error in (
        (0xA0, p11.PinIncorrect()),
        (0xA4, p11.PinLocked()),
        (0xE1, p11.TokenNotRecognised()),
    ):
        assert name_of(code) == code_of(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every class stands in the drawing, and the drawing names no other."""
    drawn = set(re.findall(r"[├└]── (\w+)", hsm.errors.__doc__ or ""))
    classes = {
        name
        for name, value in vars(hsm.errors).items()
        if isinstance(value, type) and issubclass(value, HsmError) and value is not HsmError
    }

    assert drawn == classes
