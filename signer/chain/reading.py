"""From answers of nodeos to values. Pure.

Every function takes an `Answer`, and raises FormatError with the place of what is wrong in it.
Fields that nothing here needs are not looked at. The forms are those of Leap 3.1 and later and of Spring
(L:plugins/chain_plugin/include/eosio/chain_plugin/chain_plugin.hpp; EOSIO 2.0 has no last_irreversible_block_time).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from signer.antelope.keys import PublicKey
from signer.chain.values import (
    Account,
    Authorized,
    Block,
    Feature,
    Finalizer,
    FinalizerInfo,
    FinalizerPolicy,
    FinalizerVote,
    Head,
    LinkedAction,
    Permission,
    ProducerRow,
    Resource,
    Schedule,
    ScheduledProducer,
    Schedules,
    TransactionState,
    TransactionStatus,
    Wait,
    WeightedKey,
    WeightedPermission,
)

if TYPE_CHECKING:
    from signer.antelope.name import Name
    from signer.chain.answer import Answer

#: The only kind of block signing authority: by its name in ABI JSON, by its index in nodeos' own JSON.
_AUTHORITY_KINDS: Final = ("block_signing_authority_v0", 0)
#: public_key_type() as nodeos prints it: 33 bytes 0.
_NULL_KEY: Final = "EOS1111111111111111111111111111111114T1Anm"
#: An error message is shown to people and written to logs.
_MAX_MESSAGE: Final = 400


class InfoAnswer(NamedTuple):
    """What get_info says."""

    chain_id: str
    head: Head
    irreversible: Head
    server_version: str


class Error(NamedTuple):
    """nodeos' reason for an error."""

    code: int
    name: str
    message: str


class Pushed(NamedTuple):
    """An answer to a pushed or computed transaction."""

    error: Error | None
    cpu_us: int | None
    net_bytes: int | None


class _Keys(NamedTuple):
    threshold: int
    ours: tuple[WeightedKey, ...]
    others: tuple[str, ...]


# -- blocks ----------------------------------------------------------------------------------------------------


def info(answer: Answer) -> InfoAnswer:
    """get_info."""
    version = answer.get("server_version_string")
    return InfoAnswer(
        chain_id=answer.field("chain_id").id(),
        head=_head(answer, "head_block_num", "head_block_id", "head_block_time"),
        irreversible=_head(
            answer,
            "last_irreversible_block_num",
            "last_irreversible_block_id",
            "last_irreversible_block_time",
        ),
        server_version=version.text() if version is not None else "",
    )


def block(answer: Answer, wanted: int | str) -> Block:
    """get_block_info and get_block of the block `wanted`, a number or an id."""
    return _block(answer, answer.field("id"), wanted)


def header(answer: Answer, wanted: int | str) -> Block:
    """get_block_header of the block `wanted`, a number or an id."""
    return _block(answer.field("signed_block_header"), answer.field("id"), wanted)


def _block(header: Answer, block_id: Answer, wanted: int | str) -> Block:
    found = block_id.id()
    number = _number(found)
    if wanted not in (number, found):
        block_id.fail(f"that of block {wanted}")
    return Block(
        number=number,
        id=found,
        time=header.field("timestamp").time(),
        producer=header.field("producer").name(),
        producer_signature=header.field("producer_signature").signature(),
        schedule_version=header.field("schedule_version").uint32(),
        previous=header.field("previous").id(),
    )


def _head(answer: Answer, number: str, block_id: str, time: str) -> Head:
    """Three fields of `answer` that name one block."""
    found = Head(answer.field(number).uint32(), answer.field(block_id).id(), answer.field(time).time())
    if _number(found.id) != found.number:
        answer.field(block_id).fail(f"that of block {found.number}")
    return found


def _number(block_id: str) -> int:
    """The first four bytes of an id are the number (S:libraries/chain/block_header.cpp:14-26)."""
    return int(block_id[:8], 16)


def features(answer: Answer) -> tuple[tuple[Feature, ...], int | None]:
    """get_activated_protocol_features: a page, and the ordinal that the next one begins with; None: that was all."""
    more = answer.get("more")
    return (
        tuple(_feature(each) for each in answer.field("activated_protocol_features").items()),
        more.uint32() if more is not None else None,
    )


def _feature(answer: Answer) -> Feature:
    specification = answer.get("specification")
    codenames = [
        each.field("value").text()
        for each in (specification.items() if specification is not None else ())
        if each.field("name").text() == "builtin_feature_codename"
    ]
    return Feature(
        digest=answer.field("feature_digest").id(),
        codename=codenames[0] if codenames else "",
        block=answer.field("activation_block_num").uint32(),
    )


# -- keys ------------------------------------------------------------------------------------------------------


def _weighted(answer: Answer) -> tuple[tuple[WeightedKey, ...], tuple[str, ...]]:
    """An array of {key, weight}: the keys that could be ours, and the others."""
    ours, others = [], []
    for each in answer.items():
        key, weight = each.field("key").key(), each.field("weight").uint16()
        if isinstance(key, PublicKey):
            ours.append(WeightedKey(key, weight))
        else:
            others.append(key)
    return tuple(ours), tuple(others)


def _authority(answer: Answer) -> _Keys:
    """A block signing authority, in the form of the ABI or of nodeos."""
    kind, value = answer.pair()
    if kind.value not in _AUTHORITY_KINDS or isinstance(kind.value, bool):
        kind.fail(f"one of {_AUTHORITY_KINDS}")
    return _Keys(value.field("threshold").uint32(), *_weighted(value.field("keys")))


def _single(answer: Answer) -> _Keys:
    """One key that signs alone. The null key stands for none."""
    key = answer.key()
    if isinstance(key, PublicKey):
        return _Keys(1, (WeightedKey(key, 1),), ())
    return _Keys(0, (), ()) if key == _NULL_KEY else _Keys(1, (), (key,))


# -- producers -------------------------------------------------------------------------------------------------


def producer(answer: Answer, name: Name) -> ProducerRow | None:
    """get_table_rows of eosio's table `producers` for `name`.

    `producer_authority` is what counts: with more than one key, `producer_key` is the null key. After `unregprod` the
    first is absent and the second null (SC:eosio.system.hpp, producer_info::deactivate).
    """
    rows = list(answer.field("rows").items())
    if not rows:
        return None
    row = rows[0]
    if row.field("owner").name() != name:
        row.field("owner").fail(name)
    authority = row.get("producer_authority")
    keys = _authority(authority) if authority is not None else _single(row.field("producer_key"))
    return ProducerRow(
        producer=name,
        keys=keys.ours,
        other_keys=keys.others,
        threshold=keys.threshold,
        is_active=row.field("is_active").flag(),
        url=row.field("url").text(),
        location=row.field("location").uint16(),
        total_votes=row.field("total_votes").real(),
    )


def schedules(answer: Answer) -> Schedules:
    """get_producer_schedule."""
    return Schedules(
        active=_schedule(answer.field("active")),
        pending=_next_schedule(answer.get("pending")),
        proposed=_next_schedule(answer.get("proposed")),
    )


def _next_schedule(answer: Answer | None) -> Schedule | None:
    """A schedule that need not be there. nodeos also says that with a schedule of nobody."""
    if answer is None:
        return None
    found = _schedule(answer)
    return found if found.producers else None


def _schedule(answer: Answer) -> Schedule:
    return Schedule(
        version=answer.field("version").uint32(),
        producers=tuple(_scheduled(each) for each in answer.field("producers").items()),
    )


def _scheduled(answer: Answer) -> ScheduledProducer:
    """A producer: with an authority, or with a key as before WTMSIG_BLOCK_SIGNATURES."""
    authority = answer.get("authority")
    keys = _authority(authority) if authority is not None else _single(answer.field("block_signing_key"))
    return ScheduledProducer(
        answer.field("producer_name").name(), tuple(key for key, _ in keys.ours), keys.others
    )


# -- accounts --------------------------------------------------------------------------------------------------


def account(answer: Answer) -> Account:
    """get_account."""
    any_links = answer.get("eosio_any_linked_actions")
    return Account(
        name=answer.field("account_name").name(),
        permissions=tuple(_permission(each) for each in answer.field("permissions").items()),
        any_links=_links(any_links) if any_links is not None else None,
        cpu=_resource(answer.field("cpu_limit")),
        net=_resource(answer.field("net_limit")),
        ram_used=answer.field("ram_usage").signed(),
        ram_quota=answer.field("ram_quota").signed(),
        privileged=answer.field("privileged").flag(),
    )


def _permission(answer: Answer) -> Permission:
    authority = answer.field("required_auth")
    keys, other_keys = _weighted(authority.field("keys"))
    parent = answer.field("parent")
    links = answer.get("linked_actions")
    return Permission(
        name=answer.field("perm_name").name(),
        parent=parent.name() if parent.value != "" else None,
        threshold=authority.field("threshold").uint32(),
        keys=keys,
        other_keys=other_keys,
        accounts=tuple(_weighted_permission(each) for each in authority.field("accounts").items()),
        waits=tuple(
            Wait(each.field("wait_sec").uint32(), each.field("weight").uint16())
            for each in authority.field("waits").items()
        ),
        linked_actions=_links(links) if links is not None else None,
    )


def _weighted_permission(answer: Answer) -> WeightedPermission:
    level = answer.field("permission")
    return WeightedPermission(
        level.field("actor").name(), level.field("permission").name(), answer.field("weight").uint16()
    )


def _links(answer: Answer) -> tuple[LinkedAction, ...]:
    links = []
    for each in answer.items():
        action = each.get("action")
        links.append(
            LinkedAction(each.field("account").name(), action.name() if action is not None else None)
        )
    return tuple(links)


def _resource(answer: Answer) -> Resource:
    return Resource(*(answer.field(name).signed() for name in ("used", "available", "max")))


def authorized(answer: Answer) -> tuple[Authorized, ...]:
    """get_accounts_by_authorizers, asked for keys alone."""
    found = []
    for each in answer.field("accounts").items():
        authorizing = each.field("authorizing_key")
        key = authorizing.key()
        if not isinstance(key, PublicKey):
            authorizing.fail("a key that was asked for")
        found.append(
            Authorized(
                account=each.field("account_name").name(),
                permission=each.field("permission_name").name(),
                key=key,
                weight=each.field("weight").uint16(),
                threshold=each.field("threshold").uint32(),
            )
        )
    return tuple(found)


# -- finalizers --------------------------------------------------------------------------------------------------


def finalizers(answer: Answer) -> FinalizerInfo:
    """get_finalizer_info (S:chain_plugin.cpp:1742-1785). Without Savanna, the policies are null."""
    active, pending = answer.get("active_finalizer_policy"), answer.get("pending_finalizer_policy")
    return FinalizerInfo(
        active=_policy(active) if active is not None else None,
        pending=_policy(pending) if pending is not None else None,
        votes=tuple(_vote(each) for each in answer.field("last_tracked_votes").items()),
    )


def _policy(answer: Answer) -> FinalizerPolicy:
    return FinalizerPolicy(
        generation=answer.field("generation").uint32(),
        threshold=answer.field("threshold").integer(),
        finalizers=tuple(
            Finalizer(
                each.field("description").text(),
                each.field("weight").integer(),
                each.field("public_key").finalizer_key(),
            )
            for each in answer.field("finalizers").items()
        ),
    )


def _vote(answer: Answer) -> FinalizerVote:
    return FinalizerVote(
        description=answer.field("description").text(),
        key=answer.field("public_key").finalizer_key(),
        strong=answer.field("is_vote_strong").flag(),
        generation=answer.field("finalizer_policy_generation").uint32(),
        block=_head(answer, "voted_for_block_num", "voted_for_block_id", "voted_for_block_timestamp"),
    )


def finalizer_keys(answer: Answer, name: Name) -> dict[int, str]:
    """get_table_rows of eosio's table `finkeys` for `name`: keys by their id (SC:eosio.system.hpp:301-323)."""
    found = {}
    for row in answer.field("rows").items():
        if row.field("finalizer_name").name() != name:
            row.field("finalizer_name").fail(name)
        found[row.field("id").integer()] = row.field("finalizer_key").finalizer_key()
    return found


def active_finalizer_key(answer: Answer, name: Name) -> int | None:
    """get_table_rows of eosio's table `finalizers` for `name`: the active key's id (SC:eosio.system.hpp:325-334)."""
    for row in answer.field("rows").items():
        if row.field("finalizer_name").name() != name:
            row.field("finalizer_name").fail(name)
        return row.field("active_key_id").integer()
    return None


# -- transactions ------------------------------------------------------------------------------------------------


def pushed(answer: Answer) -> Pushed:
    """send_transaction2 and its like, compute_transaction.

    With return_failure_trace, an answer with a status of success carries the trace of a failure in `except`.
    """
    processed = answer.field("processed")
    failure = processed.get("except")
    if failure is not None:
        return Pushed(_trace_error(failure), None, None)
    receipt = processed.get("receipt")
    return Pushed(
        None,
        receipt.field("cpu_usage_us").uint32() if receipt is not None else None,
        processed.field("net_usage").integer(),
    )


def _trace_error(answer: Answer) -> Error:
    """The exception in a trace: its log lines have the values beside the text."""
    texts = []
    for line in answer.field("stack").items():
        text, values = line.get("format"), line.get("data")
        if text is not None:
            texts.append(_filled(text.text(), values.value if values is not None else {}))
    message = "; ".join(filter(None, texts)) or answer.field("message").text()
    return Error(answer.field("code").signed(), answer.field("name").text(), _printable(message))


def _filled(text: str, values: object) -> str:
    """A log text of fc, with `${name}` for values (L:libraries/libfc/src/variant.cpp, format_string)."""
    for name, value in values.items() if isinstance(values, dict) else ():
        text = text.replace(f"${{{name}}}", value if isinstance(value, str) else json.dumps(value))
    return text


def error(answer: Answer) -> Error:
    """The error envelope of nodeos (L:plugins/http_plugin/include/eosio/http_plugin/http_plugin.hpp:141-184)."""
    found = answer.field("error")
    details = found.get("details")
    texts = [each.field("message").text() for each in (details.items() if details is not None else ())]
    message = "; ".join(filter(None, texts)) or found.field("what").text()
    return Error(found.field("code").signed(), found.field("name").text(), _printable(message))


def _printable(text: str) -> str:
    """At most _MAX_MESSAGE characters, none of them a control character: it came from outside."""
    return "".join(each if each.isprintable() else " " for each in text)[:_MAX_MESSAGE]


def status(answer: Answer, api: str) -> TransactionStatus:
    """get_transaction_status."""
    state = answer.field("state")
    if state.text() not in TransactionState.__members__:
        state.fail("a state of a transaction")
    in_block = answer.get("block_id") is not None
    return TransactionStatus(
        api=api,
        state=TransactionState(state.text()),
        block=_head(answer, "block_number", "block_id", "block_timestamp") if in_block else None,
        earliest_tracked=answer.field("earliest_tracked_block_number").uint32(),
    )
