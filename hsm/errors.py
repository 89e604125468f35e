"""The exceptions of hsm, drawn as a tree.

HsmError                     never raised itself
├── UriError                 text is not a token URI that we accept
├── ModuleError              the PKCS#11 library cannot be loaded or initialised
├── TokenAbsentError         no token matches, or it was removed
├── TokenAmbiguousError      more than one token matches
├── PinSourceError           the PIN file or credential cannot be used; the token was not asked
│   └── PinAwaitedError          a person has not typed it yet
├── PinRefusedError          the token said no to the PIN, or the PIN is locked
│   └── PinWithheldError         one more wrong PIN would lock the token, so it was not asked
├── KeyAbsentError           no private key has this label and id
├── KeyAmbiguousError        more than one private key has this label and id
├── KeyUnfitError            the key is there, but must not or cannot be used
├── ProvisionError           a token or key cannot be created as asked; nothing was overwritten
└── DeviceError              any other answer of the module than CKR_OK

Every exception of python-pkcs11 ends in `hsm.translation`; nothing outside hsm catches one. This file knows nothing of
that library, because processes that never ask a token load it too.
"""

from __future__ import annotations


class HsmError(Exception):
    """Root of the tree. Never raised itself."""


class UriError(HsmError):
    """The text is not a token URI that we accept."""


class ModuleError(HsmError):
    """The PKCS#11 library cannot be loaded or initialised."""


class TokenAbsentError(HsmError):
    """No token matches, or the token was removed."""


class TokenAmbiguousError(HsmError):
    """More than one token matches; the message says what to add to the URI."""


class PinSourceError(HsmError):
    """The PIN file or credential cannot be used. The token was not asked."""


class PinAwaitedError(PinSourceError):
    """A person has not typed the PIN yet. The token was not asked."""


class PinRefusedError(HsmError):
    """The token said no to the PIN. Trying again may lock it.

    Attributes:
        code: the module's answer, such as "CKR_PIN_INCORRECT".
        again: whether the token had counted a wrong PIN before this one (CKF_USER_PIN_COUNT_LOW).
    """

    def __init__(self, operation: str, code: str, *, again: bool = False) -> None:
        super().__init__(
            f"{operation}: the token refused the PIN ({code}). "
            "Correct the PIN source before the next try: most tokens lock after a few wrong PINs"
        )
        self.code = code
        self.again = again


class PinWithheldError(PinRefusedError):
    """The token says that one more wrong PIN locks it, or that it is locked. It was not asked."""

    def __init__(self, operation: str, flag: str) -> None:
        super().__init__(operation, flag)
        text = (
            f"{operation}: the PIN was not tried: the token says {flag}, so a wrong one would lock it or it is "
            "locked. Log in once with the token's own tool, which sets its count back, or reset its PIN there"
        )
        self.args = (text,)


class KeyAbsentError(HsmError):
    """No private key has this label and id."""


class KeyAmbiguousError(HsmError):
    """More than one private key has this label and id."""


class KeyUnfitError(HsmError):
    """The key is there, but must not or cannot be used.

    Attributes:
        reason: what is wrong with it, without the key's name.
    """

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.reason = reason


class ProvisionError(HsmError):
    """A token or key cannot be created as asked. Nothing was overwritten."""


class DeviceError(HsmError):
    """Any other answer of the module than CKR_OK.

    Attributes:
        code: the module's answer, such as "CKR_DEVICE_ERROR".
    """

    def __init__(self, operation: str, code: str) -> None:
        super().__init__(f"{operation}: the module answered {code}")
        self.code = code


#: Answers to C_Login, C_InitPIN and C_InitToken that are about the PIN (PKCS#11 2.40, section 5.1.6).
PIN_CODES = frozenset(
    {
        "CKR_PIN_INCORRECT",
        "CKR_PIN_INVALID",
        "CKR_PIN_LEN_RANGE",
        "CKR_PIN_EXPIRED",
        "CKR_PIN_LOCKED",
        "CKR_PIN_TOO_WEAK",
        "CKR_USER_PIN_NOT_INITIALIZED",
    }
)

#: Answers that mean that the token is not in its slot (PKCS#11 2.40, sections 5.1.3 and 5.1.6).
ABSENT_CODES = frozenset({"CKR_TOKEN_NOT_PRESENT", "CKR_TOKEN_NOT_RECOGNIZED", "CKR_DEVICE_REMOVED"})


def from_code(operation: str, code: str) -> HsmError:
    """Return the exception for the module's answer `code`, such as "CKR_PIN_INCORRECT", to `operation`."""
    if code in PIN_CODES:
        return PinRefusedError(operation, code)
    if code in ABSENT_CODES:
        return TokenAbsentError(f"{operation}: the token is not there ({code})")
    return DeviceError(operation, code)
