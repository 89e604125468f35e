"""Answers that nodeos gave, and answers that it would never give."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from chainclient.fake_api import recorded

from signer.antelope.keys import PublicKey
from signer.antelope.name import Name
from signer.chain import reading
from signer.chain.answer import Answer
from signer.chain.values import Consensus, LinkedAction, TransactionState, WeightedKey
from signer.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ALICE = Name("alice")
BPA = Name("bpa")


def _abi_form() -> Any:  # noqa: ANN401 - JSON
    """A schedule whose authorities are in the form of the ABI."""
    text = json.dumps(recorded("schedules-pending"))
    return json.loads(text.replace('"authority": [0,', '"authority": ["block_signing_authority_v0",'))


def _key_form() -> Any:  # noqa: ANN401 - JSON
    """A schedule as before WTMSIG_BLOCK_SIGNATURES; there, nothing proposed is a schedule of nobody."""
    answer = recorded("schedules-pending")
    for producer in [*answer["active"]["producers"], *answer["pending"]["producers"]]:
        producer["block_signing_key"] = producer.pop("authority")[1]["keys"][0]["key"]
    return answer | {"proposed": {"version": 0, "producers": []}}


#: The same schedules as they were written before.
_IN_OLD_FORM = {"schedules-abi": _abi_form, "schedules-key": _key_form}

#: Every reader, with each recorded answer that it is for.
READERS: list[tuple[str, Callable[[Answer], object]]] = [
    ("info", reading.info),
    ("block", partial(reading.block, wanted=12)),
    ("block-info", partial(reading.block, wanted=12)),
    ("spring-block-info", partial(reading.block, wanted=12)),
    ("block-header", partial(reading.header, wanted=12)),
    ("features", reading.features),
    *(
        (f"row-{kind}", partial(reading.producer, name=ALICE))
        for kind in ("one-key", "two-keys", "unregistered")
    ),
    ("row-absent", partial(reading.producer, name=ALICE)),
    *(
        (name, reading.schedules)
        for name in (
            *("schedules", "schedules-pending", "schedules-proposed"),
            *("schedules-abi", "schedules-key"),
        )
    ),
    ("account", reading.account),
    ("authorizers", reading.authorized),
    ("spring-finalizers", reading.finalizers),
    ("spring-finalizers-before", reading.finalizers),
    ("spring-finkeys", partial(reading.finalizer_keys, name=BPA)),
    ("spring-finalizer", partial(reading.active_finalizer_key, name=BPA)),
    ("pushed", reading.pushed),
    ("computed", reading.pushed),
    ("failure-trace", reading.pushed),
    *(
        (f"status-{state}", partial(reading.status, api="a"))
        for state in ("applied", "irreversible", "unknown")
    ),
    *(
        (name, reading.error)
        for name in (
            *("duplicate", "unsatisfied", "endpoint-absent"),
            *("account-absent", "block-absent", "table-absent"),
        )
    ),
]

#: Values that stand where others belong.
_WRONG: tuple[object, ...] = (
    None,
    [],
    {},
    [0, 0],
    "",
    "x",
    "-1",
    -1,
    1.5,
    True,
    2**70,
    "9" * 5000,
    float("inf"),
)


def places(value: object) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to every value within `value`."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield (key,)
        yield from ((key, *rest) for rest in places(child))


def damaged(whole: object) -> Iterator[object]:
    """Yield `whole` with one value replaced or left out, for every value and every replacement."""
    yield from _WRONG
    for *way, last in places(whole):
        for wrong in (..., *_WRONG):
            changed: Any = copy.deepcopy(whole)
            parent = changed
            for key in way:
                parent = parent[key]
            if wrong is ...:
                del parent[last]
            else:
                parent[last] = wrong
            yield changed


@pytest.mark.parametrize(("name", "read"), READERS, ids=[name for name, _ in READERS])
def test_a_damaged_answer_is_read_or_refused_with_a_format_error(
    name: str, read: Callable[[Answer], object]
) -> None:
    whole = _IN_OLD_FORM[name]() if name in _IN_OLD_FORM else recorded(name)
    if name in ("authorizers", "features"):
        # Many equal entries: three tell as much.
        field = "accounts" if name == "authorizers" else "activated_protocol_features"
        whole[field] = whole[field][:3]
    read(Answer(whole))
    refused = 0

    for changed in damaged(whole):
        try:
            read(Answer(changed))
        except FormatError:
            refused += 1

    assert refused >= len(_WRONG) - 1  # at least when nothing is as it should be


# -- blocks ----------------------------------------------------------------------------------------------------


def test_info_is_read() -> None:
    answer = recorded("info")

    info = reading.info(Answer(answer))

    assert info.chain_id == answer["chain_id"]
    assert (info.head.number, info.head.id) == (answer["head_block_num"], answer["head_block_id"])
    assert info.head.time.isoformat() == answer["head_block_time"][:-4] + (
        ".500000+00:00" if answer["head_block_time"].endswith(".500") else "+00:00"
    )
    assert info.irreversible.number == answer["last_irreversible_block_num"]
    assert info.server_version == "v4.1.0-dev"


def test_three_calls_tell_the_same_of_a_block() -> None:
    block = reading.block(Answer(recorded("block")), 12)

    assert block == reading.block(Answer(recorded("block-info")), 12)
    assert block == reading.header(Answer(recorded("block-header")), block.id)
    assert block.number == 12
    assert block.producer_signature == recorded("block")["producer_signature"]
    assert block.consensus is Consensus.LEGACY


def test_a_savanna_block_is_known_by_its_marker() -> None:
    block = reading.block(Answer(recorded("spring-block-info")), 12)

    assert block.schedule_version == 0x80000000
    assert block.consensus is Consensus.SAVANNA


@pytest.mark.parametrize("wanted", [13, "00" * 32])
def test_another_block_than_the_one_asked_for_is_refused(wanted: int | str) -> None:
    with pytest.raises(FormatError, match="id is not that of block"):
        reading.block(Answer(recorded("block")), wanted)


def test_an_id_of_another_number_is_refused() -> None:
    answer = recorded("info") | {"head_block_num": 7}

    with pytest.raises(FormatError, match="head_block_id is not that of block 7"):
        reading.info(Answer(answer))


def test_features_are_read_with_their_codenames() -> None:
    features, more = reading.features(Answer(recorded("features")))

    assert more is None
    assert features[0].codename == "PREACTIVATE_FEATURE"
    assert "WTMSIG_BLOCK_SIGNATURES" in {feature.codename for feature in features}
    assert all(feature.block > 1 for feature in features)


# -- producers -------------------------------------------------------------------------------------------------


def row_keys(answer: Any) -> tuple[WeightedKey, ...]:  # noqa: ANN401 - JSON
    """The keys in a row as it was recorded."""
    keys = answer["rows"][0]["producer_authority"][1]["keys"]
    return tuple(WeightedKey(PublicKey.parse(each["key"]), each["weight"]) for each in keys)


def test_a_row_with_one_key_is_read() -> None:
    answer = recorded("row-one-key")

    row = reading.producer(Answer(answer), ALICE)

    assert row is not None
    assert row.keys == row_keys(answer)
    assert (row.threshold, row.is_active, row.other_keys) == (1, True, ())
    assert (row.url, row.location) == ("https://alice.example/bp.json", 276)


def test_a_row_with_two_keys_is_read_from_its_authority() -> None:
    """The trap: producer_key is then the null key."""
    answer = recorded("row-two-keys")
    assert answer["rows"][0]["producer_key"] == "EOS1111111111111111111111111111111114T1Anm"

    row = reading.producer(Answer(answer), ALICE)

    assert row is not None
    assert row.keys == row_keys(answer)
    assert len(row.keys) == 2


def test_a_row_that_is_unregistered_has_no_keys() -> None:
    row = reading.producer(Answer(recorded("row-unregistered")), ALICE)

    assert row is not None
    assert (row.keys, row.other_keys, row.threshold, row.is_active) == ((), (), 0, False)
    assert row.url == recorded("row-unregistered")["rows"][0]["url"]


def test_a_row_without_an_authority_is_read_from_its_key() -> None:
    answer = recorded("row-one-key")
    expected = row_keys(answer)
    del answer["rows"][0]["producer_authority"]

    row = reading.producer(Answer(answer), ALICE)

    assert row is not None
    assert row.keys == expected


def test_a_row_of_another_producer_is_refused() -> None:
    """Bounds that a node ignores show the next row."""
    with pytest.raises(FormatError, match=r"rows\[0\].owner is not bpa"):
        reading.producer(Answer(recorded("row-one-key")), BPA)


#: WebAuthn, and bytes with a checksum that are no point: others may register them, and nodeos prints them.
_STRANGE = [
    "PUB_WA_8Nn4XjRPXmSWgxL6iSSZgXjCB8YFmGz5XTrCBQSDzTtGXQNt1HiXqL",
    "EOS1111111111111111111111111111111114T1Anm",
]


@pytest.mark.parametrize("strange", _STRANGE)
def test_a_key_that_nobody_here_can_hold_stands_apart(strange: str) -> None:
    answer = recorded("row-two-keys")
    first, _ = row_keys(answer)
    answer["rows"][0]["producer_authority"][1]["keys"][1]["key"] = strange

    row = reading.producer(Answer(answer), ALICE)

    assert row is not None
    assert row.keys == (first,)
    assert row.other_keys == (strange,)


def test_a_key_with_a_wrong_checksum_is_refused() -> None:
    answer = recorded("row-one-key")
    key = answer["rows"][0]["producer_authority"][1]["keys"][0]
    key["key"] = key["key"][:-1] + ("2" if key["key"][-1] != "2" else "3")

    with pytest.raises(
        FormatError, match=r"rows\[0\].producer_authority\[1\].keys\[0\].key is not a public key"
    ):
        reading.producer(Answer(answer), ALICE)


@pytest.mark.parametrize("form", ["schedules-abi", "schedules-key"])
def test_schedules_in_older_forms_are_the_same(form: str) -> None:
    schedules = reading.schedules(Answer(_IN_OLD_FORM[form]()))

    assert schedules == reading.schedules(Answer(recorded("schedules-pending")))


def test_a_pending_schedule_is_read() -> None:
    answer = recorded("schedules-pending")

    schedules = reading.schedules(Answer(answer))

    assert schedules.active.producers[0].name == "eosio"
    assert schedules.pending is not None
    assert (schedules.pending.version, schedules.pending.producers[0].name) == (1, "bpa")
    key = answer["pending"]["producers"][0]["authority"][1]["keys"][0]["key"]
    assert schedules.pending.producers[0].keys == (PublicKey.parse(key),)
    assert schedules.proposed is None


def test_a_proposed_schedule_is_read() -> None:
    schedules = reading.schedules(Answer(recorded("schedules-proposed")))

    assert schedules.pending is None
    assert schedules.proposed is not None
    assert schedules.proposed.producers[0].name == "bpa"


# -- accounts --------------------------------------------------------------------------------------------------


def test_an_account_is_read_with_its_links() -> None:
    account = reading.account(Answer(recorded("account")))

    permissions = {each.name: each for each in account.permissions}
    assert permissions[Name("owner")].parent is None
    assert permissions[Name("rotate")].parent == "active"
    assert permissions[Name("rotate")].linked_actions == (
        LinkedAction(Name("eosio"), Name("regproducer")),
        LinkedAction(Name("eosio.token"), None),
    )
    assert permissions[Name("active")].linked_actions == ()
    assert account.any_links == (LinkedAction(Name("eosio"), Name("unregprod")),)
    assert len(permissions[Name("rotate")].keys) == 1
    assert account.cpu.max > 0
    assert 0 < account.ram_used < account.ram_quota
    assert not account.privileged


def test_a_node_that_does_not_tell_links_is_not_taken_for_none() -> None:
    answer = recorded("account")
    del answer["eosio_any_linked_actions"]
    for permission in answer["permissions"]:
        del permission["linked_actions"]

    account = reading.account(Answer(answer))

    assert account.any_links is None
    assert {permission.linked_actions for permission in account.permissions} == {None}


def test_accounts_and_waits_of_a_permission_are_read() -> None:
    answer = recorded("account")
    level = {"permission": {"actor": "bpa", "permission": "active"}, "weight": 2}
    answer["permissions"][0]["required_auth"] |= {
        "accounts": [level],
        "waits": [{"wait_sec": 60, "weight": 1}],
    }

    permission = reading.account(Answer(answer)).permissions[0]

    assert permission.accounts == (("bpa", "active", 2),)
    assert permission.waits == ((60, 1),)


def test_authorizers_are_read() -> None:
    found = reading.authorized(Answer(recorded("authorizers")))

    assert ("alice", "rotate") in {(each.account, each.permission) for each in found}
    assert {each.threshold for each in found} == {1}


# -- finalizers ------------------------------------------------------------------------------------------------


def test_finalizer_policies_are_read() -> None:
    finalizers = reading.finalizers(Answer(recorded("spring-finalizers")))

    assert finalizers.active is not None
    assert finalizers.pending is not None
    old, new = finalizers.active.finalizers[0].key, finalizers.pending.finalizers[0].key
    assert finalizers.active_keys("bpa") == {old} != {new}
    assert finalizers.active_keys("nobody") == frozenset()
    assert (finalizers.votes[0].block.number, finalizers.votes[0].strong) == (1234, True)
    assert finalizers.votes[0].block.time == datetime(2026, 11, 24, 12, 0, 0, 500_000, UTC)


def test_before_savanna_there_is_no_policy() -> None:
    finalizers = reading.finalizers(Answer(recorded("spring-finalizers-before")))

    assert (finalizers.active, finalizers.pending, finalizers.votes) == (None, None, ())
    assert finalizers.active_keys("bpa") == frozenset()


def test_registered_finalizer_keys_are_read() -> None:
    keys = reading.finalizer_keys(Answer(recorded("spring-finkeys")), BPA)

    assert list(keys) == [3, 2**32]  # fc prints the second one as a string
    assert reading.active_finalizer_key(Answer(recorded("spring-finalizer")), BPA) == 2**32
    assert reading.active_finalizer_key(Answer(recorded("row-absent")), BPA) is None


# -- transactions ------------------------------------------------------------------------------------------------


def test_a_transaction_that_was_taken_has_no_error() -> None:
    pushed = reading.pushed(Answer(recorded("pushed")))

    assert pushed.error is None
    assert pushed.cpu_us == recorded("pushed")["processed"]["receipt"]["cpu_usage_us"]
    assert pushed.net_bytes == recorded("pushed")["processed"]["net_usage"]


def test_a_trace_of_failure_tells_what_the_envelope_tells() -> None:
    trace = reading.pushed(Answer(recorded("failure-trace"))).error
    envelope = reading.error(Answer(recorded("unsatisfied")))

    assert trace is not None
    assert trace.code == envelope.code == 3090003
    assert trace.name == envelope.name == "unsatisfied_authorization"
    start = 'transaction declares authority \'{"actor":'
    assert trace.message.startswith(start)
    assert envelope.message.startswith(start)


def test_a_message_is_short_and_printable() -> None:
    answer = recorded("unsatisfied")
    answer["error"]["details"][0]["message"] = "\x1b[31m" + "a" * 1000

    message = reading.error(Answer(answer)).message

    assert message == " [31m" + "a" * 395


def test_the_status_of_a_transaction_is_read() -> None:
    applied = reading.status(Answer(recorded("status-applied")), "a")
    irreversible = reading.status(Answer(recorded("status-irreversible")), "a")
    unknown = reading.status(Answer(recorded("status-unknown")), "a")

    assert (applied.state, applied.block) == (TransactionState.LOCALLY_APPLIED, None)
    assert irreversible.state is TransactionState.IRREVERSIBLE
    assert irreversible.block is not None
    assert irreversible.block.number == recorded("status-irreversible")["block_number"]
    assert (unknown.state, unknown.block) == (TransactionState.UNKNOWN, None)


# -- JSON --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"<html>"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        Answer.parse(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chain_id": "c0" * 31}, "^chain_id is not 64 hex digits but another string$"),
        ({"chain_id": None}, "^chain_id is missing$"),
        ({"head_block_num": -1}, "^head_block_num is not an integer of 0 to 4294967295 but another integer$"),
        ({"head_block_num": True}, "^head_block_num is not an integer of 0 to 4294967295 but a truth value$"),
        ({"head_block_time": "now"}, "^head_block_time is not a time but another string$"),
        ({"head_block_time": "2026-13-01T00:00:00"}, "^head_block_time is not a time but another string$"),
        ({"head_block_time": "0001-01-01T00:00:00"}, "^head_block_time is not a time but another string$"),
    ],
)
def test_a_fault_is_named_with_its_place(change: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        reading.info(Answer(recorded("info") | change))
