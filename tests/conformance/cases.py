"""The requests of the conformance test. Each goes to real keosd and to a node listener of the signer.

Words in angle brackets are replaced before sending, because the two sides hold different keys:

- `<K1>` `<R1>`: the keys held, as fc prints them (`EOS...`, `PUB_R1_...`); `<PUB_K1>`: K1 as `PUB_K1_...`.
- `<OTHER_K1>` `<OTHER_R1>`: well-formed keys that nobody here holds.
- `<K1:x>`, `<R1:x>`, `<PUB_K1:x>`: the key with its last character changed, so that the checksum is wrong.
- `<K1:short>`: the key without its last character. `<K1_REST>`, `<PUB_K1_REST>`, `<R1_REST>`: without prefix.
- `<PORT>`: the listener's TCP port. `<D>`: a digest. `<CHUNKED>`: a good body in two HTTP chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

SIGN_DIGEST = "/v1/wallet/sign_digest"
GET_PUBLIC_KEYS = "/v1/wallet/get_public_keys"

D = "3f2a9c4be1d07785a6cc01f7d8839e4412ab96ef50c3d7218b64fe9a07d5c3b1"
_JSON = ("Content-Type: application/json",)


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        name: unique; the key of keosd_answers.json and of the table of differences.
        host: the Host header; empty: what nodeos sends.
        over: the kinds of listener it is sent over.
    """

    name: str
    body: str | bytes = ""
    target: str = SIGN_DIGEST
    method: str = "POST"
    host: str = ""
    headers: tuple[str, ...] = _JSON
    over: tuple[str, ...] = ("tcp", "unix")


def _sign(name: str, body: str | bytes) -> Case:
    return Case(name, body)


def _digest(name: str, digest: str) -> Case:
    return Case(f"digest: {name}", f'["{digest}","<K1>"]')


def _key(name: str, key: str) -> Case:
    return Case(f"key: {name}", f'["<D>","{key}"]')


_GOOD = '["<D>","<K1>"]'

CASES: tuple[Case, ...] = (
    # -- what nodeos sends, and every spelling of a key -----------------------------------------------------
    _sign("K1 key as EOS", '["<D>","<K1>"]'),
    _sign("K1 key as PUB_K1", '["<D>","<PUB_K1>"]'),
    _sign("R1 key", '["<D>","<R1>"]'),
    _sign("spaces around and within", ' \t\r\n[ "<D>" ,\n "<K1>" ] \r\n'),
    _sign("digest of zeros", '["' + "0" * 64 + '","<K1>"]'),
    _sign("digest of zeros, R1", '["' + "0" * 64 + '","<R1>"]'),
    _sign("digest of ones", '["' + "f" * 64 + '","<K1>"]'),
    _sign("digest of ones, R1", '["' + "f" * 64 + '","<R1>"]'),
    _sign("digest in capitals", '["' + D.upper() + '","<K1>"]'),
    _sign("digest with JSON escapes", '["\\u0033' + D[1:] + '","<K1>"]'),
    _sign("key with JSON escapes", '["<D>","\\u0045OS<K1_REST>"]'),
    Case("content type of a form", _GOOD, headers=("Content-Type: application/x-www-form-urlencoded",)),
    Case("no content type", _GOOD, headers=()),
    Case("text/plain", _GOOD, headers=("Content-Type: text/plain",)),
    Case("connection close asked for", _GOOD, headers=(*_JSON, "Connection: close")),
    Case("page: an origin", _GOOD, headers=(*_JSON, "Origin: https://page.example")),
    Case("page: no origin", _GOOD, headers=("Content-Type: text/plain", "Sec-Fetch-Site: cross-site")),
    Case("chunked body", "<CHUNKED>", headers=(*_JSON, "Transfer-Encoding: chunked")),
    # -- malformed digests ----------------------------------------------------------------------------------
    _digest("empty", ""),
    _digest("one digit", "3"),
    _digest("one byte", "00"),
    _digest("63 digits", D[:63]),
    _digest("62 digits", D[:62]),
    _digest("65 digits", D + "a"),
    _digest("66 digits", D + "ab"),
    _digest("128 digits", D + D),
    _digest("not hex", "z" * 64),
    _digest("not hex at the end", D[:63] + "g"),
    _digest("0x in front", "0x" + D),
    _digest("0x, 64 characters", "0x" + D[:62]),
    _digest("space in front", " " + D),
    _digest("space behind", D + " "),
    _digest("base64", "PyqcS+HQd4WmzAH32IOeRBKrlu9Qw9chi2T+mgfVw7E="),
    _digest("fullwidth digits", "\uff11" * 64),
    _digest("Arabic digits", "\u0661" * 64),
    _digest("escaped NUL", D[:62] + "\\u0000"),
    # -- malformed and unknown keys -------------------------------------------------------------------------
    _key("unknown K1", "<OTHER_K1>"),
    _key("unknown R1", "<OTHER_R1>"),
    _key("empty", ""),
    _key("EOS alone", "EOS"),
    _key("bad checksum EOS", "<K1:x>"),
    _key("bad checksum PUB_K1", "<PUB_K1:x>"),
    _key("bad checksum R1", "<R1:x>"),
    _key("K1 key under R1's name", "PUB_R1_<PUB_K1_REST>"),
    _key("R1 key under K1's name", "PUB_K1_<R1_REST>"),
    _key("unknown prefix", "ABC<K1_REST>"),
    _key("unknown curve", "PUB_X1_<R1_REST>"),
    _key("WebAuthn key", "PUB_WA_5Gd7P9D4eiB5qtfX8MpNsMqD1gm8enmtE5P5ppLNc1gimCq9Ma"),
    _key("curve left out", "PUB_<R1_REST>"),
    _key("lower case prefix", "pub_r1_<R1_REST>"),
    _key("last character missing", "<K1:short>"),
    _key("one character more", "<K1>1"),
    _key("characters outside base58", "EOS0OIl" + "1" * 46),
    _key("space in front", " <K1>"),
    _key("space behind", "<K1> "),
    _key("unicode", "EOS\u00e9\u00e9\u00e9"),
    _key("very long", "EOS" + "5" * 4000),
    # -- wrong arity and wrong types ------------------------------------------------------------------------
    _sign("no body", ""),
    _sign("spaces only", "  \n "),
    _sign("empty object", "{}"),
    _sign("empty object in spaces", " {} "),
    _sign("empty array", "[]"),
    _sign("digest only", '["<D>"]'),
    _sign("three values", '["<D>","<K1>","<K1>"]'),
    _sign("object", '{"digest":"<D>","key":"<K1>"}'),
    _sign("string", '"<D>"'),
    _sign("number", "12"),
    _sign("null", "null"),
    _sign("true", "true"),
    _sign("digest is a number", '[12,"<K1>"]'),
    _sign("digest is null", '[null,"<K1>"]'),
    _sign("digest is an array", '[["<D>"],"<K1>"]'),
    _sign("digest is an object", '[{"a":"<D>"},"<K1>"]'),
    _sign("key is a number", '["<D>",12]'),
    _sign("key is null", '["<D>",null]'),
    _sign("key is an array", '["<D>",["<K1>"]]'),
    _sign("key is true", '["<D>",true]'),
    _sign("values swapped", '["<K1>","<D>"]'),
    # -- not JSON -------------------------------------------------------------------------------------------
    _sign("not JSON", "hello"),
    _sign("array not closed", '["<D>","<K1>"'),
    _sign("string not closed", '["<D>","<K1>'),
    _sign("comma at the end", '["<D>","<K1>",]'),
    _sign("two values in a row", '["<D>","<K1>"]["<D>","<K1>"]'),
    _sign("garbage behind", '["<D>","<K1>"] x'),
    _sign("single quotes", "['<D>','<K1>']"),
    _sign("bare words", "[<D>,<K1>]"),
    _sign("comment", '["<D>","<K1>"] // a comment'),
    _sign("NUL byte behind", b'["<D>","<K1>"]\x00'),
    _sign("byte order mark", b'\xef\xbb\xbf["<D>","<K1>"]'),
    _sign("not UTF-8", b'["\xff\xfe","<K1>"]'),
    _sign("UTF-16", '["<D>","<K1>"]'.encode("utf-16-le")),
    _sign("deeply nested", "[" * 2000 + "]" * 2000),
    _sign("form", "digest=<D>&key=<K1>"),
    _sign("30 kB of spaces", " " * 30_000 + _GOOD),
    # -- methods, targets, hosts ----------------------------------------------------------------------------
    Case("GET sign_digest without body", method="GET"),
    Case("GET sign_digest with body", _GOOD, method="GET"),
    Case("PUT sign_digest", _GOOD, method="PUT"),
    Case("DELETE sign_digest", _GOOD, method="DELETE"),
    Case("OPTIONS sign_digest", method="OPTIONS"),
    Case("query string", _GOOD, target=f"{SIGN_DIGEST}?a=b"),
    Case("empty query string", _GOOD, target=f"{SIGN_DIGEST}?"),
    Case("slash at the end", _GOOD, target=f"{SIGN_DIGEST}/"),
    Case("double slash", _GOOD, target="//v1/wallet/sign_digest"),
    Case("capitals in the path", _GOOD, target="/v1/wallet/Sign_Digest"),
    Case("percent escape in the path", _GOOD, target="/v1/wallet/sign%5Fdigest"),
    Case("dots in the path", _GOOD, target="/v1/../v1/wallet/sign_digest"),
    Case("absolute target", _GOOD, target="http://127.0.0.1:<PORT>/v1/wallet/sign_digest", over=("tcp",)),
    Case("root", _GOOD, target="/"),
    Case("unknown path", _GOOD, target="/v1/wallet/nothing"),
    Case("unknown path, GET", target="/v1/wallet/nothing", method="GET"),
    Case("unknown version", _GOOD, target="/v2/wallet/sign_digest"),
    Case("chain API", target="/v1/chain/get_info"),
    Case("Host is localhost", _GOOD, host="localhost:<PORT>", over=("tcp",)),
    Case("Host without port", _GOOD, host="127.0.0.1", over=("tcp",)),
    Case("Host of another port", _GOOD, host="127.0.0.1:1", over=("tcp",)),
    Case("Host of a stranger", _GOOD, host="attacker.example", over=("tcp",)),
    Case("Host of another address", _GOOD, host="192.0.2.7:<PORT>", over=("tcp",)),
    Case("Host of a stranger on unix", _GOOD, host="attacker.example", over=("unix",)),
    # -- get_public_keys ------------------------------------------------------------------------------------
    Case("keys, POST without body", target=GET_PUBLIC_KEYS),
    Case("keys, GET", target=GET_PUBLIC_KEYS, method="GET"),
    Case("keys, empty object", "{}", target=GET_PUBLIC_KEYS),
    Case("keys, spaces", " ", target=GET_PUBLIC_KEYS),
    Case("keys, GET with empty object", "{}", target=GET_PUBLIC_KEYS, method="GET"),
    Case("keys, empty array", "[]", target=GET_PUBLIC_KEYS),
    Case("keys, a body", '["default"]', target=GET_PUBLIC_KEYS),
    Case("keys, not JSON", "hello", target=GET_PUBLIC_KEYS),
    Case("keys, query string", target=f"{GET_PUBLIC_KEYS}?a=b"),
    Case("keys, slash at the end", target=f"{GET_PUBLIC_KEYS}/"),
)
