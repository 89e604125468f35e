"""The C calls that python-pkcs11 does not make as we need them, through the module's function list.

- C_Initialize with CKF_OS_LOCKING_OK: the binding passes NULL and then releases the GIL inside C_Sign.
- C_Finalize to match, because the binding does not know that the module is up.
- C_InitToken: the binding has no call for it.
- C_Login on an open session: `Token.open(user_pin=...)` leaks the session when the PIN is refused, and makes
  `Session.close()` log the whole process out.

PINs go to the module in memory; none is on a command line. No policy here: hsm.module decides.
"""

from __future__ import annotations

import ctypes
from typing import Final

#: Values of PKCS#11 2.40, header file pkcs11t.h.
CKR_OK: Final = 0
CKR_CANT_LOCK: Final = 0x0A
CKR_CRYPTOKI_ALREADY_INITIALIZED: Final = 0x191
CKF_OS_LOCKING_OK: Final = 0x2
CKU_SO: Final = 0
CKU_USER: Final = 1
#: CK_TOKEN_INFO.label is padded with blanks to this many bytes.
LABEL_BYTES: Final = 32

#: Only what the calls of this file answer; any other code is named by its number.
_NAMES: Final = {
    0x02: "CKR_HOST_MEMORY",
    0x03: "CKR_SLOT_ID_INVALID",
    0x05: "CKR_GENERAL_ERROR",
    0x06: "CKR_FUNCTION_FAILED",
    0x07: "CKR_ARGUMENTS_BAD",
    0x08: "CKR_NEED_TO_CREATE_THREADS",
    0x0A: "CKR_CANT_LOCK",
    0x30: "CKR_DEVICE_ERROR",
    0x31: "CKR_DEVICE_MEMORY",
    0x32: "CKR_DEVICE_REMOVED",
    0x50: "CKR_FUNCTION_CANCELED",
    0x54: "CKR_FUNCTION_NOT_SUPPORTED",
    0xA0: "CKR_PIN_INCORRECT",
    0xA1: "CKR_PIN_INVALID",
    0xA2: "CKR_PIN_LEN_RANGE",
    0xA3: "CKR_PIN_EXPIRED",
    0xA4: "CKR_PIN_LOCKED",
    0xB0: "CKR_SESSION_CLOSED",
    0xB3: "CKR_SESSION_HANDLE_INVALID",
    0xB6: "CKR_SESSION_EXISTS",
    0xB7: "CKR_SESSION_READ_ONLY_EXISTS",
    0xB8: "CKR_SESSION_READ_WRITE_SO_EXISTS",
    0xE0: "CKR_TOKEN_NOT_PRESENT",
    0xE1: "CKR_TOKEN_NOT_RECOGNIZED",
    0xE2: "CKR_TOKEN_WRITE_PROTECTED",
    0x100: "CKR_USER_ALREADY_LOGGED_IN",
    0x101: "CKR_USER_NOT_LOGGED_IN",
    0x102: "CKR_USER_PIN_NOT_INITIALIZED",
    0x103: "CKR_USER_TYPE_INVALID",
    0x104: "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
    0x105: "CKR_USER_TOO_MANY_TYPES",
    0x190: "CKR_CRYPTOKI_NOT_INITIALIZED",
    0x191: "CKR_CRYPTOKI_ALREADY_INITIALIZED",
    0x200: "CKR_FUNCTION_REJECTED",
}

#: Places in CK_FUNCTION_LIST after its version (PKCS#11 2.40, header file pkcs11f.h, in its order).
_INITIALIZE: Final = 0
_FINALIZE: Final = 1
_INIT_TOKEN: Final = 9
_LOGIN: Final = 18
_LOGOUT: Final = 19

_ulong = ctypes.c_ulong
_pointer = ctypes.c_void_p


class _InitializeArguments(ctypes.Structure):
    _fields_ = (
        ("create_mutex", _pointer),
        ("destroy_mutex", _pointer),
        ("lock_mutex", _pointer),
        ("unlock_mutex", _pointer),
        ("flags", _ulong),
        ("reserved", _pointer),
    )


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", _pointer * (_LOGOUT + 1)))


class Cryptoki:
    """The function list of one module. Each method returns the CKR code and raises nothing for it."""

    def __init__(self, path: str) -> None:
        """Load the library at `path` and ask for its function list.

        Raises:
            OSError: the library cannot be loaded or refuses its function list.
            AttributeError: the library is no PKCS#11 module.
        """
        library = ctypes.CDLL(path)
        functions = ctypes.POINTER(_FunctionList)()
        code = library.C_GetFunctionList(ctypes.byref(functions))
        if code != CKR_OK:
            raise OSError(f"C_GetFunctionList answered {name_of(code)}")
        table = functions.contents.functions
        self._library = library  # keeps the library loaded
        self._initialize = ctypes.CFUNCTYPE(_ulong, _pointer)(table[_INITIALIZE])
        self._finalize = ctypes.CFUNCTYPE(_ulong, _pointer)(table[_FINALIZE])
        self._init_token = ctypes.CFUNCTYPE(_ulong, _ulong, ctypes.c_char_p, _ulong, ctypes.c_char_p)(
            table[_INIT_TOKEN]
        )
        self._login = ctypes.CFUNCTYPE(_ulong, _ulong, _ulong, ctypes.c_char_p, _ulong)(table[_LOGIN])
        self._logout = ctypes.CFUNCTYPE(_ulong, _ulong)(table[_LOGOUT])

    def initialize(self) -> int:
        """Call C_Initialize with CKF_OS_LOCKING_OK."""
        arguments = _InitializeArguments(flags=CKF_OS_LOCKING_OK)
        return int(self._initialize(ctypes.byref(arguments)))

    def finalize(self) -> int:
        """Call C_Finalize. Every session of the process ends."""
        return int(self._finalize(None))

    def init_token(self, slot_id: int, so_pin: str, label: str) -> int:
        """Call C_InitToken. Everything on the token is destroyed.

        Args:
            slot_id: the slot, as C_GetSlotList numbers it.
            so_pin: the security officer's PIN to set.
            label: at most `LABEL_BYTES` bytes of UTF-8.
        """
        pin = so_pin.encode()
        return int(self._init_token(slot_id, pin, len(pin), label.encode().ljust(LABEL_BYTES)))

    def login(self, session: int, user: int, pin: str) -> int:
        """Call C_Login. `user` is `CKU_USER` or `CKU_SO`."""
        raw = pin.encode()
        return int(self._login(session, user, raw, len(raw)))

    def logout(self, session: int) -> int:
        """Call C_Logout. Every session of the process on this token is logged out."""
        return int(self._logout(session))


def name_of(code: int) -> str:
    """Return the name of a CKR code, such as "CKR_PIN_INCORRECT", or its number."""
    return _NAMES.get(code, f"CKR 0x{code:X}")
