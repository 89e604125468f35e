"""The body of sign_transaction, beside real keosd: what it refuses is refused with its code, what cleos sends is read.

Each case changes a good body in one place. keosd takes much that cleos never sends and that nobody means, and signs
something else than what was written: those cases are listed, with the reason.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from rig.keosd import Keosd
from rig.keypair import DEVELOPMENT
from rig.tools import Tools

from signer.antelope.keys import PublicKey
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.signing.envelope import FaultError
from signer.signing.sign_transaction_request import parse_sign_transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Ask = Callable[[str], tuple[int, Any]]

KEY = DEVELOPMENT.public
CHAIN_ID = "1f" * 32
SIGNATURE = (
    "SIG_K1_KViFU9ff3y62r5Cv5oMQoYUmh9kvQvuYS7dmUoYphLH9bUfVmEbKPyaRuLuDvTRyUKkYXvMSJkXwVi2hKXCKuafzgT8KeU"
)
#: As cleos sent it (push action, captured).
GOOD: dict[str, Any] = {
    "expiration": "2026-11-24T13:31:51",
    "ref_block_num": 95,
    "ref_block_prefix": 3517596278,
    "max_net_usage_words": 0,
    "max_cpu_usage_ms": 0,
    "delay_sec": 0,
    "context_free_actions": [],
    "actions": [
        {
            "account": "eosio.token",
            "name": "transfer",
            "authorization": [{"actor": "eosio", "permission": "active"}],
            "data": "0000000000ea30550000000000855c34102700000000000004454f5300000000026869",
        }
    ],
    "transaction_extensions": [],
    "signatures": [],
    "context_free_data": [],
}
_ABSENT = object()


def changed(path: str, value: object) -> str:
    """The body with one place of the transaction changed."""
    body = [copy.deepcopy(GOOD), [KEY], CHAIN_ID]
    at: Any = body[0]
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    if value is _ABSENT:
        del at[last]
    else:
        at[last] = value
    return json.dumps(body)


def part(index: int, value: object) -> str:
    """The body with one of its three parts changed."""
    body: list[Any] = [GOOD, [KEY], CHAIN_ID]
    body[index] = value
    return json.dumps(body)


def changes(path: str, *values: object) -> dict[str, str]:
    """Bodies with one place of the transaction changed, by what it is."""
    return {f"{path} is {value!r}": changed(path, value) for value in values}


def parts(index: int, *values: object) -> dict[str, str]:
    """Bodies with one of the three parts changed, by what it is."""
    return {f"part {index} is {value!r}": part(index, value) for value in values}


#: Signed by both, with one digest.
SIGNED = {
    "as cleos sends it": json.dumps([GOOD, [KEY], CHAIN_ID]),
    "with space around it": f" \r\n\t{json.dumps([GOOD, [KEY], CHAIN_ID], indent=1)}\n",
    "a key twice": part(1, [KEY, KEY]),
    "no keys": part(1, []),
    "chain id in capitals": part(2, CHAIN_ID.upper()),
    **{f"{field} is text": changed(field, "7") for field in list(GOOD)[1:6]},
    "largest numbers": changed("max_net_usage_words", 2**32 - 1),
    "largest cpu": changed("max_cpu_usage_ms", 255),
    "a delay": changed("delay_sec", 5),
    "no actions": changed("actions", []),
    "data in capitals": changed("actions.0.data", "AAFF"),
    "no data": changed("actions.0.data", ""),
    "no authorisation": changed("actions.0.authorization", []),
    "first second": changed("expiration", "1970-01-01T00:00:00"),
    "last second": changed("expiration", "2106-02-07T06:28:15"),
    "context free action": changed("context_free_actions", [GOOD["actions"][0]]),
    "context free data": changed("context_free_data", ["aa", ""]),
    "extension": changed("transaction_extensions", [[0, "aa"], ["65535", ""]]),
    "signed already": changed("signatures", [SIGNATURE]),
}
#: Refused by both, with one HTTP status and one code.
REFUSED = {
    **{
        f"body {text!r}": text
        for text in (
            "",
            " ",
            "{}",
            "[]",
            "[1]",
            "[1,2,3,4]",
            '{"a":1}',
            "nonsense",
            "[",
            "null",
            '"a"',
            "[[],[],",
        )
    },
    **parts(0, None, [], "", 5, "abc"),
    **parts(1, "", None, {}, KEY),
    **parts(2, None, {}, [], 5, "z" * 64, "16" * 31 + "1"),
    **changes("context_free_actions", None, {}, "", 5),
    **changes("actions", None, {}, "", 5, [1], [None], ["a"], [[]]),
    **changes("transaction_extensions", None, {}, "", 5, [1], ["a"], [{}], [[0, 5]]),
    **changes("context_free_data", None, {}, "", 5, ["zz"], [1], ["a"]),
    **changes("signatures", None, {}, "", 5, ["aa"]),
    **changes("ref_block_num", "abc", "", " 95", "95 ", "1e3", "0x5f", [], {}, 2**64, -(2**63) - 1),
    **changes("actions.0.account", None, 5, {}, [], "ABC", "a..", " a", "a ", "a6"),
    **changes("actions.0.name", "toolonganame.xx", "aaaaaaaaaaaaz"),
    **changes("actions.0.authorization", "", None, 5, {}, ["eosio@active"], [["eosio", "active"]]),
    **changes("actions.0.authorization.0.actor", None, 5, "A"),
    **changes("actions.0.data", None, {}, 5, [], ["aa"], {"from": "a"}, True, "0", "0g", "aa bb", "0xaa"),
}
#: Refused by both; keosd's code is another one, for a reason that is its own.
OTHER_CODE = {
    # The name that keosd gives is that of the C++ type that boost threw.
    **changes(
        "expiration", "2026-11-24T13:31:51Z", "2026-11-24 13:31:51", "2026-13-24T13:31:51", "", "123", 123
    ),
    **changes("expiration", "2026-02-30T00:00:00", "2026-11-24t13:31:51", None, True),
    # keosd makes a text of it first.
    **changes("signatures", [1]),
}
#: keosd signs, and something else than what was written; or reads what is no JSON.
STRICTER = {
    # It fills in what is missing.
    **{f"no {field}": changed(field, _ABSENT) for field in GOOD},
    **{f"action without {field}": changed(f"actions.0.{field}", _ABSENT) for field in GOOD["actions"][0]},
    **changes("actions.0.authorization", [{"actor": "a"}]),
    **changes("transaction_extensions", [[1]]),
    **parts(0, {}),
    # It passes over what it does not know.
    **changes("xyz", 1),
    **changes("actions.0.hex_data", "aa"),
    **changes("actions.0.authorization.0.more", 1),
    # It cuts numbers and times to their size.
    **changes("ref_block_num", -1, 65536, 1.5, True, None, "-1", "+5"),
    **changes("max_net_usage_words", -1, 2**32),
    **changes("max_cpu_usage_ms", 256),
    **changes(
        "expiration", "1969-12-31T23:59:59", "2106-02-07T06:28:16", "2026-11-24T25:31:51", "2026-11-24T13:31"
    ),
    **changes("expiration", "2026-11-24T13:31:51.500", "20261124T133151"),
    # It pads and cuts the chain id.
    **parts(2, "", "16", "16" * 33),
    # It takes the empty name, which nothing on a chain has.
    **changes("actions.0.account", ""),
    **changes("actions.0.authorization.0.permission", ""),
    # It stops reading after the first value, and takes the last of two equal names.
    "two bodies": json.dumps([GOOD, [KEY], CHAIN_ID]) * 2,
    "a name twice": json.dumps([GOOD, [KEY], CHAIN_ID]).replace(
        '"delay_sec": 0', '"delay_sec": 5, "delay_sec": 0'
    ),
    # More than any transaction has that policy allows, and reading it would keep block signatures waiting.
    "many actions": changed("actions", GOOD["actions"] * 101),
    "many permissions": changed(
        "actions",
        [GOOD["actions"][0] | {"authorization": [{"actor": "eosio", "permission": "active"}] * 90}] * 3,
    ),
}


@pytest.fixture(scope="module")
def keosd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keosd]:
    """Real keosd with the development key."""
    with Keosd(Tools.find(), tmp_path_factory.mktemp("k")) as running:
        running.add(DEVELOPMENT)
        yield running


@pytest.fixture(scope="module")
def ask(keosd: Keosd) -> Iterator[Ask]:
    """Ask keosd; give HTTP status and JSON."""
    with httpx.Client(trust_env=False) as client:

        def post(body: str) -> tuple[int, Any]:
            answer = client.post(f"{keosd.url}/v1/wallet/sign_transaction", content=body.encode())
            return answer.status_code, answer.json()

        yield post


def test_what_cleos_may_send_is_read_as_keosd_reads_it(ask: Ask) -> None:
    for name, body in SIGNED.items():
        status, answer = ask(body)

        request = parse_sign_transaction(body.encode())

        assert status == 201, name
        ours = request.signatures
        added = [Signature.parse(text) for text in answer["signatures"][len(ours) :]]
        assert len(added) == len(request.keys), name
        assert request.transaction.to_json([*ours, *added]) == answer, name
        for signature in added:
            digest = request.transaction.digest(request.chain_id)
            assert recover(digest, signature) == PublicKey.parse(KEY), name


def test_what_keosd_refuses_is_refused_with_its_code(ask: Ask) -> None:
    for name, body in REFUSED.items():
        status, answer = ask(body)

        with pytest.raises(FaultError) as error:
            parse_sign_transaction(body.encode())

        fault = error.value.fault
        told = answer["error"]
        assert (fault.status, fault.code, fault.name, fault.what) == (
            status,
            told["code"],
            told["name"],
            told["what"],
        ), name


def test_where_keosds_code_is_another_both_refuse(ask: Ask) -> None:
    for name, body in OTHER_CODE.items():
        status, _ = ask(body)

        with pytest.raises(FaultError) as error:
            parse_sign_transaction(body.encode())

        assert status == error.value.fault.status == 500, name


def test_what_nobody_means_is_signed_by_keosd_alone(ask: Ask) -> None:
    for name, body in STRICTER.items():
        status, _ = ask(body)

        with pytest.raises(FaultError) as error:
            parse_sign_transaction(body.encode())

        assert status == 201, name
        assert error.value.fault.code in (10, 3200006, 7, 4), name


def test_a_refusal_says_where() -> None:
    with pytest.raises(FaultError, match=r"actions\[0\]\.authorization\[0\]\.actor: 'A' is no name"):
        parse_sign_transaction(
            changed("actions.0.authorization", [{"actor": "A", "permission": "b"}]).encode()
        )
