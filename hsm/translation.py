"""The border to python-pkcs11's exceptions: here they become those of hsm.errors."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pkcs11 import exceptions as p11

from hsm.errors import from_code

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names that python-pkcs11 spells in its own way.
_RENAMED = {"CKR_TOKEN_NOT_RECOGNISED": "CKR_TOKEN_NOT_RECOGNIZED"}

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def code_of(error: p11.PKCS11Error) -> str:
    """Return the PKCS#11 name of `error`, such as "CKR_DEVICE_ERROR"."""
    kind = type(error)
    if kind is p11.PKCS11Error:  # what the binding has no class for carries its number in the text
        return f"unnamed: {error}"
    name = "CKR_" + _WORD_START.sub("_", kind.__name__).upper()
    return _RENAMED.get(name, name)


@contextmanager
def translate(operation: str) -> Iterator[None]:
    """Turn every python-pkcs11 exception inside the block into one of hsm.errors.

    Args:
        operation: what was being done, for the message: "log in to token primary".

    Raises:
        PinRefusedError: the answer is one of `PIN_CODES`.
        TokenAbsentError: the answer is one of `ABSENT_CODES`.
        DeviceError: any other answer than CKR_OK.
    """
    try:
        yield
    except p11.PKCS11Error as error:
        raise from_code(operation, code_of(error)) from error
