"""OpenSSL's P-256 arithmetic, for the one sum that a signature's self-check needs.

`PointSum` computes u1*G + u2*Q for a Q known in advance, with a table for G (OpenSSL has one) and a table for
Q (made here). Every return code is checked, and what is allocated is freed.

Only public values pass through here: no private key, so nothing has to be constant-time or wiped.

Source: the manual pages EC_POINT_mul(3), EC_GROUP_new(3), EC_GROUP_copy(3) and BN_bin2bn(3) of OpenSSL 3.0.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import weakref
from typing import Final

from signer.errors import SigningError

#: NID_X9_62_prime256v1 in openssl/obj_mac.h.
_NID_P256: Final = 415
#: POINT_CONVERSION_COMPRESSED in openssl/ec.h.
_COMPRESSED: Final = 2
_COMPRESSED_SIZE: Final = 33
_SCALAR_SIZE: Final = 32

#: Tried before the search, which needs ldconfig or a compiler that a small container does not have.
_SONAME: Final = "libcrypto.so.3"

_POINTER: Final = ctypes.c_void_p
_BYTES: Final = ctypes.c_char_p
_INT: Final = ctypes.c_int
_SIZE: Final = ctypes.c_size_t
#: name: (result, arguments).
_FUNCTIONS: Final[dict[str, tuple[type | None, tuple[type, ...]]]] = {
    "BN_CTX_free": (None, (_POINTER,)),
    "BN_CTX_new": (_POINTER, ()),
    "BN_bin2bn": (_POINTER, (_BYTES, _INT, _POINTER)),
    "BN_free": (None, (_POINTER,)),
    "BN_new": (_POINTER, ()),
    "EC_GROUP_free": (None, (_POINTER,)),
    "EC_GROUP_get0_order": (_POINTER, (_POINTER,)),
    "EC_GROUP_new_by_curve_name": (_POINTER, (_INT,)),
    "EC_POINT_add": (_INT, (_POINTER, _POINTER, _POINTER, _POINTER, _POINTER)),
    "EC_POINT_free": (None, (_POINTER,)),
    "EC_POINT_mul": (_INT, (_POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER)),
    "EC_POINT_new": (_POINTER, (_POINTER,)),
    "EC_POINT_oct2point": (_INT, (_POINTER, _POINTER, _BYTES, _SIZE, _POINTER)),
    "EC_POINT_point2oct": (_SIZE, (_POINTER, _POINTER, _INT, _BYTES, _SIZE, _POINTER)),
    "ERR_clear_error": (None, ()),
}
#: Deprecated since OpenSSL 3.0 or of no use without those that are: a build may lack them.
_TABLE_FUNCTIONS: Final[dict[str, tuple[type | None, tuple[type, ...]]]] = {
    "EC_GROUP_precompute_mult": (_INT, (_POINTER, _POINTER)),
    "EC_GROUP_set_generator": (_INT, (_POINTER, _POINTER, _POINTER, _POINTER)),
}


class PointSum:
    """u1*G + u2*Q on P-256 for one Q.

    Building one takes about 30 ms, and 150 kB for the table. Without the two deprecated functions that make
    the table a sum takes about twice as long and is as right. Not for use from more than one thread at a
    time: its native scratch memory is shared by all calls. The memory goes when the object goes.

    Attributes:
        has_table: whether the table for Q was made.

    Raises:
        SigningError: libcrypto is absent or refuses a call, or `q` is not on the curve.
    """

    def __init__(self, q: bytes, *, want_table: bool = True) -> None:
        """Prepare the sums for `q` (compressed point, bytes, 33)."""
        self._lib = lib = library()
        with contextlib.ExitStack() as memory:
            self._ctx = _claim(memory, lib.BN_CTX_free, lib.BN_CTX_new())
            self._group = _claim(memory, lib.EC_GROUP_free, lib.EC_GROUP_new_by_curve_name(_NID_P256))
            self._u1 = _claim(memory, lib.BN_free, lib.BN_new())
            self._u2 = _claim(memory, lib.BN_free, lib.BN_new())
            self._q, self._sum, self._part = (
                _claim(memory, lib.EC_POINT_free, lib.EC_POINT_new(self._group)) for _ in range(3)
            )
            self._check(lib.EC_POINT_oct2point(self._group, self._q, q, len(q), self._ctx))
            self.has_table = want_table and all(hasattr(lib, name) for name in _TABLE_FUNCTIONS)
            if self.has_table:
                self._table = _claim(memory, lib.EC_GROUP_free, lib.EC_GROUP_new_by_curve_name(_NID_P256))
                order = lib.EC_GROUP_get0_order(self._group)
                # The cofactor of P-256 is 1; NULL lets OpenSSL work that out.
                self._check(lib.EC_GROUP_set_generator(self._table, self._q, order, None))
                self._check(lib.EC_GROUP_precompute_mult(self._table, self._ctx))
            weakref.finalize(self, memory.pop_all().close)
        self._octets = ctypes.create_string_buffer(_COMPRESSED_SIZE)

    def compressed(self, u1: int, u2: int) -> bytes:
        """u1*G + u2*Q as a compressed point (bytes, 33).

        Raises:
            SigningError: the sum is the point at infinity, or libcrypto refuses a call.
        """
        lib, group, ctx, total = self._lib, self._group, self._ctx, self._sum
        self._load(self._u1, u1)
        self._load(self._u2, u2)
        if self.has_table:
            # Two fixed-base products. Q is the generator of the second group; both groups are the same curve.
            self._check(lib.EC_POINT_mul(group, total, self._u1, None, None, ctx))
            self._check(lib.EC_POINT_mul(self._table, self._part, self._u2, None, None, ctx))
            self._check(lib.EC_POINT_add(group, total, total, self._part, ctx))
        else:
            self._check(lib.EC_POINT_mul(group, total, self._u1, self._q, self._u2, ctx))
        size = lib.EC_POINT_point2oct(group, total, _COMPRESSED, self._octets, _COMPRESSED_SIZE, ctx)
        if size != _COMPRESSED_SIZE:  # 1 for the point at infinity, 0 for an error
            lib.ERR_clear_error()
            raise SigningError("u1*G + u2*Q is not a point with an x: no signature has this sum")
        return self._octets.raw

    def _load(self, number: int, value: int) -> None:
        if not self._lib.BN_bin2bn(value.to_bytes(_SCALAR_SIZE), _SCALAR_SIZE, number):
            self._check(0)

    def _check(self, code: int) -> None:
        if code != 1:
            # The queue belongs to the thread; Python's ssl module would report what is left in it as its own.
            self._lib.ERR_clear_error()
            raise SigningError("OpenSSL refused a step on P-256: the public key or libcrypto is unusable")


def _claim(memory: contextlib.ExitStack, free: ctypes._NamedFuncPointer, pointer: int | None) -> int:
    if not pointer:
        raise SigningError("OpenSSL could not allocate memory for P-256, or was built without it")
    memory.callback(free, pointer)
    return pointer


@functools.cache
def library() -> ctypes.PyDLL:
    """Libcrypto, with the functions above declared.

    PyDLL keeps the interpreter's lock: each call takes microseconds, while taking the lock back from another
    thread can take the interpreter's switch interval of 5 ms, which is nodeos' whole patience.
    """
    lib = _open()
    for name, (result, arguments) in (_FUNCTIONS | _TABLE_FUNCTIONS).items():
        try:
            function = getattr(lib, name)
        except AttributeError:
            if name in _TABLE_FUNCTIONS:
                continue
            raise SigningError(f"libcrypto has no {name}: it is not OpenSSL 1.1.1 or later") from None
        function.restype, function.argtypes = result, arguments
    return lib


def _open() -> ctypes.PyDLL:
    try:
        return ctypes.PyDLL(_SONAME)
    except OSError:
        name = ctypes.util.find_library("crypto")
    try:
        if name is not None:
            return ctypes.PyDLL(name)
    except OSError:
        pass
    raise SigningError(
        f"no usable libcrypto (tried {_SONAME} and {name or 'the system search, which names none'}): "
        "R1 keys need OpenSSL's shared library; Debian and Ubuntu have it in the package libssl3",
    )
