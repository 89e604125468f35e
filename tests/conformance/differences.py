"""Where a node listener deliberately does not answer as keosd does. Everything else is equal.

Each entry: the names of cases, the answer of the signer, the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from conformance.cases import CASES


def _error(status: int, phrase: str, code: int, name: str, what: str) -> dict[str, Any]:
    return {
        "status": status,
        "content_type": "application/json",
        "code": status,
        "message": phrase,
        "error": {"code": code, "name": name, "what": what},
        "details": 1,
    }


_ASSERT: Final = _error(500, "Internal Service Error", 10, "assert_exception", "Assert Exception")
_BAD_CAST: Final = _error(500, "Internal Service Error", 7, "bad_cast_exception", "Bad Cast")
_INVALID: Final = _error(400, "Invalid Request", 3200006, "invalid_http_request", "invalid http request")
_UNKNOWN_ENDPOINT: Final = _error(404, "Not Found", 0, "exception", "unspecified")
_ORIGIN: Final = _error(
    500, "Internal Service Error", 3990012, "signer_origin_exception", "Not for web pages"
)
_SIGNED_K1: Final = {"status": 201, "content_type": "application/json", "value": "signature by <K1>"}


@dataclass(frozen=True)
class Difference:
    """A deliberate difference.

    Attributes:
        cases: names in cases.py.
        answer: what the signer answers, as `answers.compared` shows it.
        reason: why it does not answer as keosd.
        over: the kinds of listener on which it differs.
    """

    cases: tuple[str, ...]
    answer: dict[str, Any]
    reason: str
    over: tuple[str, ...] = ("tcp", "unix")


DIFFERENCES: Final = (
    Difference(
        ("digest: empty", "digest: one byte", "digest: 62 digits", "digest: 66 digits", "digest: 128 digits"),
        _ASSERT,
        "keosd pads a short digest with zeros and cuts a long one (sha256.cpp:210-219), and signs what "
        "nobody asked for. A digest is exactly 64 hex digits; the code is that of keosd's other length "
        "error.",
    ),
    Difference(
        ("digest with JSON escapes", "key with JSON escapes"),
        _SIGNED_K1,
        "fc's legacy parser does not know JSON's \\u escapes. These bodies are JSON for the very same "
        "request.",
    ),
    Difference(
        ("key: very long",),
        _INVALID,
        "keosd parses whatever comes. What is longer than any request is refused before it is parsed, which would "
        "make others' signatures late.",
    ),
    Difference(
        ("page: an origin", "page: no origin"),
        _ORIGIN,
        "keosd signs for web pages of any origin. A browser names the page in a header that it cannot leave out; "
        "nodeos never sends it.",
    ),
    Difference(
        ("key: space behind",),
        _ASSERT,
        "keosd's base58 decoder skips trailing spaces. A key is its text and nothing else.",
    ),
    Difference(
        (
            *("comma at the end", "two values in a row", "garbage behind", "comment", "NUL byte behind"),
            "not UTF-8",
        ),
        _INVALID,
        "keosd reads the first value and ignores what follows. A body that is not one JSON value is "
        "refused whole, as keosd refuses other bodies that are not JSON.",
    ),
    Difference(
        ("key is a number", "key is null", "key is true"),
        _BAD_CAST,
        "fc turns any scalar into text before it reads a key, so keosd complains of the text. A key that "
        "is no string gets the error of a digest that is no string.",
    ),
    Difference(
        (
            *("GET sign_digest without body", "GET sign_digest with body", "PUT sign_digest"),
            "DELETE sign_digest",
        ),
        _UNKNOWN_ENDPOINT,
        "keosd signs on every method. Signing changes state, so it is POST only, which is what nodeos and "
        "cleos send; a browser can be led to GET.",
    ),
    Difference(
        ("key: WebAuthn key",),
        _ASSERT,
        "keosd reads WebAuthn keys and finds this one cut short. No token here holds any, so PUB_WA_ is "
        "an unknown prefix.",
    ),
    Difference(
        ("dots in the path",),
        _UNKNOWN_ENDPOINT,
        "keosd's HTTP library refuses such a target with an empty error. It is no endpoint, and the "
        "answer says so.",
    ),
    Difference(
        ("root",),
        _SIGNED_K1,
        "POST / signs on unix sockets: the only form of a unix URL that nodeos from Leap 5.0 on can use "
        "(http_client.cpp, get_unix_url).",
        over=("unix",),
    ),
    Difference(
        ("Host is localhost",),
        _SIGNED_K1,
        "keosd takes the literal listen address only, and nodeos then reports a bad cast. localhost is "
        "the same machine and no name that a stranger can point here.",
        over=("tcp",),
    ),
)


def expected(name: str, kind: str) -> dict[str, Any] | None:
    """Return the signer's deliberate answer to a case over `kind`, None where it answers as keosd."""
    found = [
        difference.answer
        for difference in DIFFERENCES
        if name in difference.cases and kind in difference.over
    ]
    assert len(found) <= 1, f"{name}: two deliberate answers"
    return found[0] if found else None


_NAMES = {case.name for case in CASES}
assert all(name in _NAMES for difference in DIFFERENCES for name in difference.cases)
