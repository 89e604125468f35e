"""The words of wallet_cases.py, and what an answer is reduced to before it is compared."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from conformance.answers import OTHER_K1
from conformance.cases import D
from rig import wire
from rig.text_format import public_key_point, public_key_text, signer_of

if TYPE_CHECKING:
    from conformance.wallet_cases import Request
    from rig.wire import Address, Reply

CHAIN_ID = "cf057bbfb72640471fd910bcb67639c22df9f92470936cddc1ade0e2f2e7dc4f"
_KEY = re.compile(r"(EOS|PUB_R1_)[1-9A-HJ-NP-Za-km-z]{40,60}")
#: A private key that was made by `cleos create key` for this file. Nobody holds its public key.
_WIF = "5J4Q6wYZbtVjuZ8U98SSBjz3A7tJBJHck6wfmHRukNN8Z1V8NDY"
_FAR_S = 60


def encode_name(name: str) -> bytes:
    """Return an account's name as 8 bytes (libraries/chain/name.hpp), written for the tests alone."""
    value = 0
    for index in range(12):
        letter = name[index] if index < len(name) else "."
        value = value << 5 | ".12345abcdefghijklmnopqrstuvwxyz".index(letter)
    return struct.pack("<Q", value << 4)


def transaction() -> dict[str, Any]:
    """Return a transaction with one claimrewards, as cleos sends it."""
    moment = datetime.now(UTC) + timedelta(seconds=_FAR_S)
    return {
        "expiration": f"{moment:%Y-%m-%dT%H:%M:%S}",
        "ref_block_num": 12345,
        "ref_block_prefix": 4000000000,
        "max_net_usage_words": 0,
        "max_cpu_usage_ms": 0,
        "delay_sec": 0,
        "context_free_actions": [],
        "actions": [
            {
                "account": "eosio",
                "name": "claimrewards",
                "authorization": [{"actor": "bp", "permission": "claim"}],
                "data": encode_name("bp").hex(),
            }
        ],
        "transaction_extensions": [],
        "signatures": [],
        "context_free_data": [],
    }


def digest_of(trx: dict[str, Any]) -> bytes:
    """Return what is signed of a transaction of small parts (transaction.cpp:47-57), written for the tests alone."""
    moment = datetime.fromisoformat(trx["expiration"]).replace(tzinfo=UTC)
    packed = struct.pack(
        "<IHIBBB",
        int(moment.timestamp()),
        trx["ref_block_num"],
        trx["ref_block_prefix"],
        0,
        0,
        trx["delay_sec"],
    )
    packed += bytes([0, len(trx["actions"])])
    for action in trx["actions"]:
        packed += encode_name(action["account"]) + encode_name(action["name"])
        packed += bytes([len(action["authorization"])])
        for level in action["authorization"]:
            packed += encode_name(level["actor"]) + encode_name(level["permission"])
        data = bytes.fromhex(action["data"])
        packed += bytes([len(data)]) + data
    return hashlib.sha256(bytes.fromhex(CHAIN_ID) + packed + bytes([0]) + bytes(32)).digest()


@dataclass
class WalletSide:
    """One side of the comparison: where it listens, the keys in `default`, its passwords."""

    name: str
    addresses: dict[str, Address]
    k1: str
    r1: str
    passwords: dict[str, str]
    new: str = ""
    trx: dict[str, Any] = field(default_factory=transaction)

    def words(self, port: int) -> dict[str, str]:
        """The words and what stands for them here."""
        signed = self.trx | {"signatures": [_SIGNATURE]}
        transfer = json.loads(json.dumps(self.trx))
        transfer["actions"][0] |= {"account": "eosio.token", "name": "transfer", "data": "00"}
        return {
            "<TRX>": json.dumps(self.trx),
            "<TRX:signed>": json.dumps(signed),
            "<TRX:actions>": json.dumps(self.trx | {"actions": "x"}),
            "<TRX:transfer>": json.dumps(transfer),
            "<TRX:extra>": json.dumps(self.trx | {"more": 1}),
            "<TRX:delay>": json.dumps(self.trx | {"delay_sec": 1}),
            "<CHAIN>": CHAIN_ID,
            "<CHAIN:upper>": CHAIN_ID.upper(),
            "<K1>": self.k1,
            "<R1>": self.r1,
            "<PUB_K1>": public_key_text("k1", public_key_point(self.k1)[1]),
            "<OTHER_K1>": OTHER_K1,
            "<NEW>": self.new,
            "<PW>": self.passwords["default"],
            "<PW2>": self.passwords["other"],
            "<WIF>": _WIF,
            "<D>": D,
            "<PORT>": str(port),
        }

    def send(self, request: Request, kind: str) -> dict[str, Any]:
        """Send a request and return the reduced answer."""
        address = self.addresses[kind]
        words = self.words(address.port)
        body = request.body
        if isinstance(body, str):
            for word, meaning in words.items():
                body = body.replace(word, meaning)
            body = body.encode()
        sent = wire.request(
            request.target,
            host=request.host or address.host,
            method=request.method,
            body=body,
            headers=request.headers,
        )
        return self._reduce(wire.exchange(address, sent), request)

    def _reduce(self, reply: Reply, request: Request) -> dict[str, Any]:
        if reply.status == 0:
            return {"closed": True}
        reduced: dict[str, Any] = {"status": reply.status, "content_type": reply.content_type}
        if not reply.body:
            return reduced | {"empty": True}
        content = json.loads(reply.body)
        if isinstance(content, dict) and "error" in content:
            return reduced | _envelope(content)
        if isinstance(content, str) and request.target == "/v1/wallet/create_key":
            self.new = content
        if isinstance(content, dict) and "signatures" in content:
            return reduced | {"value": self._signed(content)}
        return reduced | {"value": self._masked(content)}

    def _signed(self, content: dict[str, Any]) -> dict[str, Any]:
        """Return a signed transaction: what keosd echoes, and who made each signature."""
        names = {self.words(0)["<PUB_K1>"]: "<K1>", self.r1: "<R1>"}
        digest = digest_of(content)
        signatures = [
            "before" if each == _SIGNATURE else f"by {names.get(signer_of(each, digest), 'nobody here')}"
            for each in content["signatures"]
        ]
        return content | {"signatures": signatures, "expiration": "soon"}

    def _masked(self, content: Any) -> Any:  # noqa: ANN401 - JSON
        """Replace keys and passwords, which differ on both sides, and each new key by its form."""
        if isinstance(content, list):
            # A new key stands anywhere: the order is that of its bytes.
            return sorted(
                (self._masked(each) for each in content), key=lambda each: str(each).startswith("a key")
            )
        if not isinstance(content, str):
            return content
        known = {self.k1: "<K1>", self.r1: "<R1>"}
        if content in known:
            return known[content]
        found = _KEY.fullmatch(content)
        if found:
            return f"a key {found[1]}"
        return "a password" if content.startswith("PW5") else content


#: A signature of somebody else; it need not fit.
_SIGNATURE = (
    "SIG_K1_K4To5rS8ZhY6LhB7vz64SXiVsHDpfXGHPMKXJZHHxDfrvndEJvBmp86BeumUBzM48z98MFES4FcsxNKqUe3Be6qXEFwv4p"
)


def _envelope(content: dict[str, Any]) -> dict[str, Any]:
    error = content["error"]
    assert set(content) == {"code", "message", "error"}, content
    assert set(error) == {"code", "name", "what", "details"}, content
    return {
        "code": content["code"],
        "message": content["message"],
        "error": {name: error[name] for name in ("code", "name", "what")},
        "details": len(error["details"]),
    }
