"""Sending a case and reducing the answer to what nodeos and cleos look at."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.cases import D
from rig import wire
from rig.text_format import public_key_point, public_key_text, signer_of

if TYPE_CHECKING:
    from conformance.cases import Case
    from rig.wire import Address, Reply

#: Well-formed keys that neither side holds: made once by `cleos create key`, private keys thrown away.
OTHER_K1 = "EOS4zEcKszdR9KCthtQZXh3mWdMGsDKvFnKjm5wSXqqE4nY3g1Vxs"
OTHER_R1 = "PUB_R1_5Gd7P9D4eiB5qtfX8MpNsMqD1gm8enmtE5P5ppLNc1gimCq9Ma"

_HEX = re.compile(r"[0-9a-fA-F]{64}")
#: The digest in a body that is not JSON and that keosd takes all the same.
_DIGEST = re.compile(r'^\s*\[\s*"([0-9a-fA-F]{64})"')


@dataclass(frozen=True)
class Keys:
    """The keys one side holds: one K1, as `EOS...`, and one R1, as `PUB_R1_...`."""

    k1: str
    r1: str

    @property
    def pub_k1(self) -> str:
        """The K1 key as `PUB_K1_...`."""
        return public_key_text("k1", public_key_point(self.k1)[1])

    def words(self, port: int) -> dict[str, str]:
        """The words of cases.py and what stands for them."""
        words = {"<D>": D, "<PORT>": str(port), "<OTHER_K1>": OTHER_K1, "<OTHER_R1>": OTHER_R1}
        for word, key, prefix in (
            ("K1", self.k1, "EOS"),
            ("PUB_K1", self.pub_k1, "PUB_K1_"),
            ("R1", self.r1, "PUB_R1_"),
        ):
            words[f"<{word}>"] = key
            words[f"<{word}_REST>"] = key.removeprefix(prefix)
            words[f"<{word}:x>"] = key[:-1] + ("2" if key[-1] != "2" else "3")
            words[f"<{word}:short>"] = key[:-1]
        words["<GOOD>"] = body = f'["{D}","{self.k1}"]'
        words["<CHUNKED>"] = f"5\r\n{body[:5]}\r\n{len(body) - 5:x}\r\n{body[5:]}\r\n0\r\n\r\n"
        return words


def _filled(text: str, words: dict[str, str]) -> str:
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


def send(case: Case, address: Address, keys: Keys) -> tuple[Reply, bytes]:
    """Send a case; return the answer and the body that was sent, without the framing of chunks."""
    words = keys.words(address.port)
    if isinstance(case.body, bytes):
        body = _filled(case.body.decode("latin-1"), words).encode("latin-1")
    else:
        body = _filled(case.body, words).encode()
    sent = wire.request(
        _filled(case.target, words),
        host=_filled(case.host, words) or address.host,
        method=case.method,
        body=body,
        headers=case.headers,
    )
    return wire.exchange(address, sent), words["<GOOD>"].encode() if case.body == "<CHUNKED>" else body


def reduce(reply: Reply, body: bytes, keys: Keys) -> dict[str, Any]:
    """Return what is compared.

    - A success: status, and the value's shape. A signature is verified: `signature by <K1>`; for a digest
      that is not 64 hex digits it cannot be, and is `signature`.
    - An error: status and the envelope; `says` is the text for people, which is not compared.
    - Nothing: `closed`.

    The content type is part of each.
    """
    if reply.status == 0:
        return {"closed": True}
    reduced: dict[str, Any] = {"status": reply.status, "content_type": reply.content_type}
    try:
        content = json.loads(reply.body)
    except ValueError:
        return reduced | {"not_json": reply.body.decode("latin-1")[:200]}
    if isinstance(content, dict) and "error" in content:
        return reduced | _envelope(content, keys)
    if isinstance(content, str) and content.startswith("SIG_"):
        return reduced | {"value": _signature(content, body, keys)}
    return reduced | {"value": ["<K1>", "<R1>"] if content == [keys.k1, keys.r1] else content}


def _signature(text: str, body: bytes, keys: Keys) -> str:
    try:
        digest = json.loads(body)[0]
    except ValueError:
        found = _DIGEST.match(body.decode("latin-1"))
        digest = found[1] if found else ""
    if not _HEX.fullmatch(digest):
        return "signature"
    by = signer_of(text, bytes.fromhex(digest))
    return f"signature by {({keys.pub_k1: '<K1>', keys.r1: '<R1>'}).get(by, by)}"


def _envelope(content: dict[str, Any], keys: Keys) -> dict[str, Any]:
    error = content["error"]
    details = error["details"]
    assert set(content) == {"code", "message", "error"}, content
    assert set(error) == {"code", "name", "what", "details"}, content
    for detail in details:
        assert {name: type(value) for name, value in detail.items()} == {
            "message": str,
            "file": str,
            "line_number": int,
            "method": str,
        }, content
    says = details[0]["message"] if details else ""
    for word, meaning in keys.words(0).items():
        if word.startswith(("<K1", "<R1", "<PUB_K1", "<OTHER")):
            says = says.replace(meaning, word)
    return {
        "code": content["code"],
        "message": content["message"],
        "error": {"code": error["code"], "name": error["name"], "what": error["what"]},
        "details": len(details),
        "says": says[:200],
    }


def compared(reduced: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a reduced answer that two sides must agree on."""
    return {name: value for name, value in reduced.items() if name != "says"}
