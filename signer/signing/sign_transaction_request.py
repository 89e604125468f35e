"""The body of sign_transaction: bytes in, the transaction with keys and chain id out, or keosd's error.

keosd: wallet_api_plugin.cpp:39-77; `[transaction, [public key, ...], chain id]`. What keosd refuses is refused with
its codes. What it takes and the signer does not (a missing field, a number out of range: foreign.py) is an assertion
that failed, code 10, as for a digest of the wrong length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signer.antelope import strict_json
from signer.antelope.foreign import ForeignTransaction, parse_chain_id
from signer.errors import FieldError, FormatError
from signer.signing import envelope
from signer.signing.envelope import FaultError, as_keosd

if TYPE_CHECKING:
    from signer.antelope.signature import Signature

_ARITY: Final = 3
_EXPECTED: Final = "expected [transaction, [public key, ...], chain id]"
#: FieldError.kind -> the fault that keosd has for it. keosd names its error about a time by the C++ type that threw.
_FAULTS: Final = {
    "type": envelope.BAD_CAST,
    "number": envelope.PARSE_ERROR,
    "hex": envelope.UNSPECIFIED,
    "length": envelope.ASSERT,
    "name": envelope.NAME,
    "time": envelope.PARSE_ERROR,
    "form": envelope.ASSERT,
}


@dataclass(frozen=True, slots=True)
class SignTransactionRequest:
    """What cleos wants signed.

    Attributes:
        transaction: as values; its digest is of these.
        signatures: those that it has already; ours are appended.
        keys: the public keys to sign with, as the caller wrote them, each once.
        chain_id: bytes, 32.
    """

    transaction: ForeignTransaction
    signatures: tuple[Signature, ...]
    keys: tuple[str, ...]
    chain_id: bytes


def parse_sign_transaction(body: bytes) -> SignTransactionRequest:
    """Return the request in `body`.

    Raises:
        FaultError: keosd's error for such a body.
    """
    text = body.strip(b" \t\r\n")
    if text in (b"", b"{}"):
        raise as_keosd(envelope.INVALID_REQUEST, "A Request body is required")
    try:
        params = strict_json.loads(text)
    except FormatError as error:
        raise _unparsable(f"the body {error}") from None
    if not isinstance(params, list) or len(params) != _ARITY:
        raise _unparsable(_EXPECTED)
    try:
        transaction, signatures = ForeignTransaction.from_json(params[0])
        return SignTransactionRequest(transaction, signatures, _keys(params[1]), parse_chain_id(params[2]))
    except FieldError as error:
        raise as_keosd(_FAULTS[error.kind], str(error)) from None


def _keys(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise FieldError("type", "the public keys: is not a list")
    keys = [key for key in value if isinstance(key, str)]
    if len(keys) != len(value):
        # keosd makes a text of anything and finds no key in it.
        raise FieldError("form", "the public keys: one of them is not a text")
    return tuple(dict.fromkeys(keys))


def _unparsable(message: str) -> FaultError:
    return as_keosd(envelope.INVALID_REQUEST, f"Unable to parse valid input from POST body: {message}")
