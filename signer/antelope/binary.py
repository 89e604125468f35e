"""Antelope's binary form: fixed and variable integers, names, texts and keys, one after the other.

Guarantees that a value has exactly one form: what `Reader` accepts, `Writer` gives back byte for byte. nodeos
is laxer: it takes a variable integer with needless bytes, and bytes after the end. But it packs what it has
read again before it hashes it (Leap libraries/chain/transaction.cpp:41-57), so such bytes would have another
transaction id, and be signed under another digest, than the ones that it computes. Here they are refused.

Leaves what the values mean to transaction.py. All integers are little-endian.

Source: Leap libraries/libfc/include/fc/io/raw.hpp:214-242 (variable integers), :289-315 (octets and texts).
"""

from __future__ import annotations

from typing import Final

from signer.antelope.keys import Curve, PublicKey
from signer.antelope.name import Name, decode_name, encode_name
from signer.antelope.signature import Signature
from signer.errors import FormatError

#: The place of the key in nodeos' variant of key types (Leap libfc public_key.hpp: K1, R1, then WebAuthn).
_CURVES: Final = (Curve.K1, Curve.R1)
_KEY_SIZE: Final = 33
_SIGNATURE_SIZE: Final = 65

_VARUINT_BITS: Final = 7
_VARUINT_MORE: Final = 0x80
_VARUINT32_MAX: Final = (1 << 32) - 1


def check_uint(what: str, value: int, bits: int) -> None:
    """Check that `value` is an unsigned integer of `bits` bits.

    Raises:
        FormatError: it is not; the message calls it `what`.
    """
    if not 0 <= value < 1 << bits:
        raise FormatError(f"{what} is {value}, not 0 to {(1 << bits) - 1}")


class Writer:
    """Bytes in the making. Values have been checked before: a number too large for its field is a fault."""

    def __init__(self) -> None:
        self._data = bytearray()

    def done(self) -> bytes:
        """Everything written so far."""
        return bytes(self._data)

    def uint8(self, value: int) -> None:
        """Write one byte."""
        self._data += value.to_bytes(1)

    def uint16(self, value: int) -> None:
        """Write two bytes."""
        self._data += value.to_bytes(2, "little")

    def uint32(self, value: int) -> None:
        """Write four bytes."""
        self._data += value.to_bytes(4, "little")

    def varuint32(self, value: int) -> None:
        """Write one to five bytes: seven bits each, the lowest first; all but the last have the top bit."""
        while value >= _VARUINT_MORE:
            self.uint8(value & _VARUINT_MORE - 1 | _VARUINT_MORE)
            value >>= _VARUINT_BITS
        self.uint8(value)

    def name(self, name: str) -> None:
        """Write a name (eight bytes).

        Raises:
            FormatError: it is none.
        """
        self._data += encode_name(name).to_bytes(8, "little")

    def raw(self, octets: bytes) -> None:
        """Write bytes as they are."""
        self._data += octets

    def octets(self, octets: bytes) -> None:
        """Write bytes, with their number before them."""
        self.varuint32(len(octets))
        self._data += octets

    def string(self, text: str) -> None:
        """Write the UTF-8 of a text, with its length in bytes before it."""
        self.octets(text.encode())

    def public_key(self, key: PublicKey) -> None:
        """Write the kind of a key, then the compressed point (bytes, 33)."""
        self.varuint32(_CURVES.index(key.curve))
        self._data += key.data

    def signature(self, signature: Signature) -> None:
        """Write the kind of a signature, then header, r and s (bytes, 65)."""
        self.varuint32(_CURVES.index(signature.curve))
        self._data += signature.data


class Reader:
    """Bytes, read from the front. Every method raises FormatError where they do not have what it reads.

    Args:
        data: everything that is to be read; call `end` when it should be.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return len(self._data) - self._at

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            FormatError: something is.
        """
        if self.left:
            raise FormatError(f"{self.left} bytes too many after byte {self._at}")

    def uint8(self) -> int:
        """Read one byte."""
        return self.raw(1)[0]

    def uint16(self) -> int:
        """Read two bytes."""
        return int.from_bytes(self.raw(2), "little")

    def uint32(self) -> int:
        """Read four bytes."""
        return int.from_bytes(self.raw(4), "little")

    def varuint32(self) -> int:
        """Read one to five bytes: the number in its shortest form."""
        start = self._at
        value = shift = 0
        while True:
            byte = self.uint8()
            value |= (byte & _VARUINT_MORE - 1) << shift
            if value > _VARUINT32_MAX:
                raise FormatError(f"the variable integer at byte {start} has more than 32 bits")
            if not byte & _VARUINT_MORE:
                break
            shift += _VARUINT_BITS
        if shift and not byte:
            raise FormatError(f"the variable integer at byte {start} is longer than it needs to be")
        return value

    def name(self) -> Name:
        """Read a name (eight bytes). It may be the empty one."""
        return decode_name(int.from_bytes(self.raw(8), "little"))

    def raw(self, size: int) -> bytes:
        """Read `size` bytes as they are."""
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise FormatError(f"cut off: {size} bytes expected after byte {self._at}, {len(taken)} are there")
        self._at += size
        return taken

    def octets(self) -> bytes:
        """Read bytes, with their number before them."""
        return self.raw(self.varuint32())

    def string(self) -> str:
        """Read UTF-8, with its length in bytes before it."""
        start = self._at
        try:
            return self.octets().decode()
        except UnicodeDecodeError:
            raise FormatError(f"the text at byte {start} is not UTF-8") from None

    def public_key(self) -> PublicKey:
        """Read a key: K1 or R1, on its curve."""
        return PublicKey(self._curve("public key"), self.raw(_KEY_SIZE))

    def signature(self) -> Signature:
        """Read a signature: K1 or R1."""
        return Signature(self._curve("signature"), self.raw(_SIGNATURE_SIZE))

    def _curve(self, what: str) -> Curve:
        start = self._at
        kind = self.varuint32()
        if kind >= len(_CURVES):
            raise FormatError(f"the {what} at byte {start} is of kind {kind}, neither K1 (0) nor R1 (1)")
        return _CURVES[kind]
