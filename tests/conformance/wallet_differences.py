"""Where a wallet listener deliberately does not answer as keosd does. Everything else is equal.

Each entry: the names of requests, the answer of the signer, the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from conformance.wallet_cases import METHODS, Request

_WALLET: Final = (3120000, "wallet_exception", "Wallet exception")
_NONEXISTENT: Final = (3120002, "wallet_nonexistent_exception", "Nonexistent wallet")
_ASSERT: Final = (10, "assert_exception", "Assert Exception")
_POLICY: Final = (3990013, "signer_policy_exception", "Policy does not allow this transaction")
_ROLE: Final = (3990002, "signer_wrong_role_exception", "Key does not sign this")
_METHOD: Final = (3990011, "signer_method_exception", "State changes by POST only")
_ORIGIN: Final = (3990012, "signer_origin_exception", "Not for web pages")


def _error(
    error: tuple[int, str, str], status: int = 500, phrase: str = "Internal Service Error"
) -> dict[str, Any]:
    code, name, what = error
    return {
        "status": status,
        "content_type": "application/json",
        "code": status,
        "message": phrase,
        "error": {"code": code, "name": name, "what": what},
        "details": 1,
    }


def _value(value: object) -> dict[str, Any]:
    return {"status": 200, "content_type": "application/json", "value": value}


_INVALID: Final = _error((3200006, "invalid_http_request", "invalid http request"), 400, "Invalid Request")


@dataclass(frozen=True)
class Difference:
    """A deliberate difference.

    Attributes:
        cases: names in wallet_cases.py.
        answer: what the signer answers, as wallet_words shows it.
        reason: why it does not answer as keosd.
        at_times: keosd itself answers in two ways, of which one is ours.
    """

    cases: tuple[str, ...]
    answer: dict[str, Any]
    reason: str
    at_times: bool = False


def _named(requests: tuple[Request, ...], *beginnings: str) -> tuple[str, ...]:
    return tuple(each.name for each in requests if each.name.startswith(beginnings))


DIFFERENCES: Final = (
    Difference(
        _named(METHODS.requests, "GET", "PUT", "DELETE"),
        _error(_METHOD),
        "keosd does everything on every method, so any page that a browser shows can lock its wallets. What changes "
        "anything takes POST only, which is what cleos sends.",
    ),
    Difference(
        _named(METHODS.requests, "page"),
        _error(_ORIGIN),
        "keosd answers web pages of any origin. A browser names the page in a header that it cannot leave out; "
        "cleos never sends it.",
    ),
    Difference(
        ("list_wallets: after open",),
        _value(["default *", "other"]),
        "keosd's open reads the file anew and so locks an open wallet. Here it looks whether the token is there.",
    ),
    Difference(
        ("create: new one",),
        _error(_WALLET),
        "A wallet is a PKCS#11 token: made by `signer-hsm init-token`, and known by the configuration.",
    ),
    Difference(
        ("list_wallets: after create",),
        _value(["default *", "other"]),
        "As `create`: there is no new one.",
    ),
    Difference(
        ("list_keys: good", "list_keys: wrong password"),
        _error(_WALLET),
        "No private key leaves its token. No password is tried for what is refused anyway.",
    ),
    Difference(
        ("import_key: no key", "import_key: empty key", "import_key: number"),
        _error(_WALLET),
        "A private key that was outside a token is not taken in, and not looked at either.",
    ),
    Difference(
        ("sign_digest: K1",),
        _error(_ROLE),
        "keosd signs any digest with any key. An account key signs what policy allows, and nobody can see what a "
        "digest is of.",
    ),
    Difference(
        ("sign_transaction: another action", "sign_transaction: deferred"),
        _error(_POLICY),
        "keosd signs every transaction; here each key has a policy.",
    ),
    Difference(
        (
            *("sign_transaction: short chain id", "sign_transaction: transaction is empty"),
            "sign_transaction: another field",
        ),
        _error(_ASSERT),
        "keosd pads a short chain id, fills in fields that are missing and passes over those that it does not "
        "know, and signs what nobody wrote.",
    ),
    Difference(
        ("open: not UTF-8", "lock: not UTF-8", "create: not UTF-8"),
        _INVALID,
        "keosd takes any bytes as text. A body is JSON, which is UTF-8.",
    ),
    Difference(
        ("open: trailing word", "set_timeout: leading zero"),
        _INVALID,
        "keosd reads the first value and ignores what follows, and reads numbers that JSON does not have.",
    ),
    Difference(
        ("open: escaped unicode",),
        _error(_WALLET),
        "fc's legacy parser does not know JSON's escapes. This name is the one that is refused unescaped, too.",
    ),
    Difference(
        ("open: huge",),
        _error(_NONEXISTENT),
        "keosd asks the file system, whose error has no code. There is no such token.",
    ),
    Difference(
        ("stop",),
        _value({}),
        "keosd may end before it has answered; keosd/main.cpp:111-116 promises {}, and cleos looks for it.",
        at_times=True,
    ),
)


def expected(name: str) -> Difference | None:
    """Return the deliberate difference in the answer to a request, None where the signer answers as keosd."""
    found = [difference for difference in DIFFERENCES if name in difference.cases]
    assert len(found) <= 1, f"{name}: two deliberate answers"
    return found[0] if found else None
