"""The EOSIO error envelope: the one table of what a node or wallet listener answers when it says no.

keosd's own errors keep keosd's status, code, name and text (nodeos: http_plugin.cpp:547-601, exceptions.hpp:458-484).
What the signer refuses for reasons of its own is HTTP 500 with a code from 3990000 up: nodeos logs nothing else
readably (http_client.cpp:307-329 treats only 500 and 404 as errors).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

_PHRASES = {
    400: "Invalid Request",
    404: "Not Found",
    413: "Payload Too Large",
    500: "Internal Service Error",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of error: HTTP status, EOSIO code, name and what."""

    status: int
    code: int
    name: str
    what: str


# -- keosd's own ---------------------------------------------------------------------------------------
INVALID_REQUEST = Fault(400, 3200006, "invalid_http_request", "invalid http request")
UNKNOWN_ENDPOINT = Fault(404, 0, "exception", "unspecified")
MISSING_KEY = Fault(500, 3120004, "wallet_missing_pub_key_exception", "Missing public key")
UNSPECIFIED = Fault(500, 0, "exception", "unspecified")
PARSE_ERROR = Fault(500, 4, "parse_error_exception", "Parse Error")
BAD_CAST = Fault(500, 7, "bad_cast_exception", "Bad Cast")
NAME = Fault(500, 3010001, "name_type_exception", "Invalid name")
ASSERT = Fault(500, 10, "assert_exception", "Assert Exception")
WALLET = Fault(500, 3120000, "wallet_exception", "Wallet exception")
WALLET_EXISTS = Fault(500, 3120001, "wallet_exist_exception", "Wallet already exists")
WALLET_NONEXISTENT = Fault(500, 3120002, "wallet_nonexistent_exception", "Nonexistent wallet")
WALLET_LOCKED = Fault(500, 3120003, "wallet_locked_exception", "Locked wallet")
INVALID_PASSWORD = Fault(500, 3120005, "wallet_invalid_password_exception", "Invalid wallet password")
NO_WALLET = Fault(500, 3120006, "wallet_not_available_exception", "No available wallet")
WALLET_UNLOCKED = Fault(500, 3120007, "wallet_unlocked_exception", "Already unlocked")
KEY_NONEXISTENT = Fault(500, 3120009, "key_nonexistent_exception", "Nonexistent key")
KEY_TYPE = Fault(500, 3120010, "unsupported_key_type_exception", "Unsupported key type")
LOCK_TIMEOUT = Fault(500, 3120011, "invalid_lock_timeout_exception", "Wallet lock timeout is invalid")

# -- the signer's own: rule name -> fault --------------------------------------------------------------
TOO_LARGE = Fault(413, 3990000, "signer_body_too_large_exception", "Request body too large")
OWN = {
    "wrong-node": Fault(500, 3990001, "signer_wrong_node_exception", "Key of another node"),
    "wrong-role": Fault(500, 3990002, "signer_wrong_role_exception", "Key does not sign this"),
    "peer": Fault(500, 3990003, "signer_peer_exception", "Caller not permitted"),
    "frozen": Fault(500, 3990004, "signer_frozen_exception", "Signing is frozen"),
    "quarantined": Fault(500, 3990005, "signer_quarantined_exception", "Key is quarantined"),
    "unavailable": Fault(500, 3990006, "signer_unavailable_exception", "Token is not available"),
    "late": Fault(500, 3990007, "signer_late_exception", "Too late to answer"),
    "failed": Fault(500, 3990008, "signer_failed_exception", "The token could not sign"),
    "crowded": Fault(500, 3990009, "signer_crowded_exception", "Too many requests wait"),
    "unverified": Fault(500, 3990010, "signer_unverified_exception", "Signature did not verify"),
    "method": Fault(500, 3990011, "signer_method_exception", "State changes by POST only"),
    "origin": Fault(500, 3990012, "signer_origin_exception", "Not for web pages"),
    "policy": Fault(500, 3990013, "signer_policy_exception", "Policy does not allow this transaction"),
    "pin-source": Fault(500, 3990014, "signer_pin_source_exception", "PIN is not typed by a person"),
    "pin-tries": Fault(500, 3990015, "signer_pin_tries_exception", "No more wrong PINs"),
    "forbidden": Fault(500, 3990016, "signer_forbidden_exception", "Not allowed by the configuration"),
    "lease": Fault(500, 3990017, "signer_lease_exception", "Another node holds the lease"),
    "slot": Fault(500, 3990018, "signer_slot_exception", "Another node signed for this slot"),
    "rate": Fault(500, 3990019, "signer_rate_exception", "Too many signatures"),
    "internal": Fault(500, 3990099, "signer_internal_exception", "Fault in the signer"),
}


class FaultError(Exception):
    """A request ends with `fault`; `message` is for the person who reads nodeos' log.

    Attributes:
        rule: the rule of the signer that refused, or keosd's exception name.
    """

    def __init__(self, fault: Fault, message: str, rule: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.rule = rule


def bare(status: int, message: str) -> bytes:
    """Return keosd's envelope for what its HTTP layer refuses: no error inside."""
    error = {"code": 0, "name": "", "what": "", "details": []}
    return json.dumps({"code": status, "message": message, "error": error}, separators=(",", ":")).encode()


def phrase(status: int) -> str:
    """Return keosd's phrase for an HTTP status."""
    return _PHRASES[status]


def refuse(rule: str, message: str) -> FaultError:
    """Return the error for the signer's own `rule`."""
    return FaultError(OWN[rule], message, rule)


def as_keosd(fault: Fault, message: str) -> FaultError:
    """Return one of keosd's own errors."""
    return FaultError(fault, message, fault.name)


def body(fault: Fault, message: str) -> bytes:
    """Return the envelope as JSON."""
    return json.dumps(
        {
            "code": fault.status,
            "message": _PHRASES[fault.status],
            "error": {
                "code": fault.code,
                "name": fault.name,
                "what": fault.what,
                "details": [{"message": message, "file": "signer", "line_number": 0, "method": fault.name}],
            },
        },
        separators=(",", ":"),
    ).encode()
