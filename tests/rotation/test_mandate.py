"""The rotation key signs the one transaction of the one journalled rotation. Everything else has a rule against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import two_nodes

from signer.antelope.keys import Curve
from signer.antelope.name import Name
from signer.antelope.transaction import (
    ActFinKey,
    BlockSigningAuthority,
    KeyWeight,
    PermissionLevel,
    RegProducer,
    RegProducer2,
    Transaction,
    UnregProd,
)
from signer.errors import FormatError, RefusedError
from signer.rotation import mandate
from signer.rotation.rotation import Kind, Purpose, Request, Rotation, State

if TYPE_CHECKING:
    from signer.antelope.keys import PublicKey
    from signer.antelope.transaction import Action

HEAD: Final = datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
EXPIRATION: Final = HEAD.replace(microsecond=0) + timedelta(seconds=60)
PRODUCER: Final = Name(two_nodes.PRODUCER)
LEVEL: Final = PermissionLevel(PRODUCER, Name("rotate"))
OLD, NEW = two_nodes.A[1], two_nodes.B[1]
FINALIZER_A, FINALIZER_B = two_nodes.finalizer_key(1), two_nodes.finalizer_key(2)
CONFIG: Final = two_nodes.config(
    node_a=f'finalizer_key = "{FINALIZER_A}"', node_b=f'finalizer_key = "{FINALIZER_B}"'
)
NO_FINALIZERS: Final = two_nodes.config()

ROTATION: Final = Rotation(
    id=7,
    request=Request(Kind.PROMOTE, "local", "b", "alice"),
    producer=PRODUCER,
    permission="rotate",
    to_key=NEW,
    created_at=HEAD,
    state=State.PREFLIGHT,
    state_since=HEAD,
    from_keys=(OLD,),
    from_node="a",
)
RETURNING: Final = replace(ROTATION, state=State.RETURNING)


def reg(key: PublicKey = NEW, producer: str = PRODUCER) -> RegProducer:
    return RegProducer(Name(producer), key, "https://bp.example", 276)


def packed(
    *actions: Action, level: PermissionLevel = LEVEL, expiration: datetime = EXPIRATION
) -> Transaction:
    return Transaction(expiration, 1, 2, tuple((action, level) for action in actions))


REGISTERS: Final = packed(reg())
MOVES_BOTH: Final = packed(reg(), ActFinKey(PRODUCER, FINALIZER_B))
PUTS_BACK: Final = packed(reg(OLD))


def refused(transaction: Transaction | bytes, purpose: Purpose, rotation: Rotation) -> str:
    """Return the rule by which the transaction is refused."""
    octets = transaction if isinstance(transaction, bytes) else transaction.pack()
    with pytest.raises(RefusedError) as caught:
        mandate.digest(octets, purpose, rotation, CONFIG, HEAD)
    return caught.value.rule


# -- what is signed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.PREFLIGHT, State.SIGNED])
@pytest.mark.parametrize("transaction", [REGISTERS, MOVES_BOTH])
def test_the_registration_of_the_new_key_is_signed(state: State, transaction: Transaction) -> None:
    digest = mandate.digest(
        transaction.pack(), Purpose.REGISTER, replace(ROTATION, state=state), CONFIG, HEAD
    )
    assert digest == transaction.digest(two_nodes.CHAIN_ID)


def test_the_return_of_the_old_key_is_signed_with_the_old_nodes_finalizer_key() -> None:
    for transaction in (PUTS_BACK, packed(reg(OLD), ActFinKey(PRODUCER, FINALIZER_A))):
        digest = mandate.digest(transaction.pack(), Purpose.RETURN, RETURNING, CONFIG, HEAD)
        assert digest == transaction.digest(two_nodes.CHAIN_ID)


def test_url_and_location_are_free_because_they_are_carried_over_from_the_row() -> None:
    transaction = packed(RegProducer(PRODUCER, NEW, "", 0))
    assert mandate.digest(transaction.pack(), Purpose.REGISTER, ROTATION, CONFIG, HEAD)


def test_the_digest_is_for_the_configured_chain_alone() -> None:
    elsewhere = CONFIG.model_copy(
        update={"chains": {"local": CONFIG.chains["local"].model_copy(update={"id": "bb" * 32})}}
    )
    ours, theirs = (
        mandate.digest(REGISTERS.pack(), Purpose.REGISTER, ROTATION, config, HEAD)
        for config in (CONFIG, elsewhere)
    )
    assert ours != theirs


# -- when ----------------------------------------------------------------------------------------------------

_MAY_SIGN: Final = {
    Purpose.REGISTER: {State.PREFLIGHT, State.SIGNED},
    Purpose.RETURN: {State.RETURNING},
}


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("state", State)
def test_only_the_states_that_sign_sign(purpose: Purpose, state: State) -> None:
    transaction = REGISTERS if purpose is Purpose.REGISTER else PUTS_BACK
    rotation = replace(ROTATION, state=state)
    if state in _MAY_SIGN[purpose]:
        assert mandate.digest(transaction.pack(), purpose, rotation, CONFIG, HEAD)
    else:
        assert refused(transaction, purpose, rotation) == "rotation-state"


@pytest.mark.parametrize("after_head_s", [-3600, -1, 0, 61, 62, 3600])
def test_a_life_of_more_than_a_minute_and_a_life_that_is_over_are_refused(after_head_s: int) -> None:
    head = HEAD.replace(microsecond=0)
    transaction = packed(reg(), expiration=head + timedelta(seconds=after_head_s))
    with pytest.raises(RefusedError) as caught:
        mandate.digest(transaction.pack(), Purpose.REGISTER, ROTATION, CONFIG, head)
    assert caught.value.rule == "rotation-lifetime"


@pytest.mark.parametrize("after_head_s", [1, 30, 60])
def test_a_life_of_at_most_a_minute_is_taken(after_head_s: int) -> None:
    head = HEAD.replace(microsecond=0)
    transaction = packed(reg(), expiration=head + timedelta(seconds=after_head_s))
    assert mandate.digest(transaction.pack(), Purpose.REGISTER, ROTATION, CONFIG, head)


# -- what is not signed ----------------------------------------------------------------------------------------

AUTHORITY: Final = BlockSigningAuthority(1, (KeyWeight(NEW, 1),))

_NEVER: Final = {
    "another producer": (packed(reg(producer="mallory")), "rotation-key"),
    "another key of the node": (packed(reg(two_nodes.B[2])), "rotation-key"),
    "the key of the other node": (packed(reg(OLD)), "rotation-key"),
    "a rotation key": (packed(reg(two_nodes.ROTATION)), "rotation-key"),
    "a key of nobody": (packed(reg(two_nodes.public_key(99, Curve.K1))), "rotation-key"),
    "the owner's permission": (
        packed(reg(), level=PermissionLevel(PRODUCER, Name("owner"))),
        "rotation-permission",
    ),
    "the active permission": (
        packed(reg(), level=PermissionLevel(PRODUCER, Name("active"))),
        "rotation-permission",
    ),
    "another account's permission": (
        packed(reg(), level=PermissionLevel(Name("mallory"), Name("rotate"))),
        "rotation-permission",
    ),
    "two registrations of the key": (packed(reg(), reg()), "rotation-action"),
    "a second registration of another key": (packed(reg(), reg(OLD)), "rotation-key"),
    "an authority of several keys": (
        packed(RegProducer2(PRODUCER, AUTHORITY, "", 0)),
        "rotation-action",
    ),
    "unregprod alone": (packed(UnregProd(PRODUCER)), "rotation-action"),
    "unregprod after the registration": (packed(reg(), UnregProd(PRODUCER)), "rotation-action"),
    "unregprod of another producer": (packed(reg(), UnregProd(Name("mallory"))), "rotation-action"),
    "a finalizer key without a registration": (
        packed(ActFinKey(PRODUCER, FINALIZER_B)),
        "rotation-action",
    ),
    "the finalizer key of the other node": (
        packed(reg(), ActFinKey(PRODUCER, FINALIZER_A)),
        "rotation-finalizer",
    ),
    "a finalizer key of nobody": (
        packed(reg(), ActFinKey(PRODUCER, two_nodes.finalizer_key(9))),
        "rotation-finalizer",
    ),
    "another finalizer": (
        packed(reg(), ActFinKey(Name("mallory"), FINALIZER_B)),
        "rotation-finalizer",
    ),
}


@pytest.mark.parametrize(("transaction", "rule"), _NEVER.values(), ids=_NEVER)
def test_every_deviation_is_refused_by_its_rule(transaction: Transaction, rule: str) -> None:
    assert refused(transaction, Purpose.REGISTER, ROTATION) == rule


_NEVER_BACK: Final = {name: each for name, (each, _) in _NEVER.items() if each != PUTS_BACK}


@pytest.mark.parametrize("transaction", _NEVER_BACK.values(), ids=_NEVER_BACK)
def test_a_return_signs_none_of_it_either(transaction: Transaction) -> None:
    refused(transaction, Purpose.RETURN, RETURNING)


def test_a_return_does_not_register_the_new_key_nor_move_its_finalizer() -> None:
    assert refused(REGISTERS, Purpose.RETURN, RETURNING) == "rotation-key"
    transaction = packed(reg(OLD), ActFinKey(PRODUCER, FINALIZER_B))
    assert refused(transaction, Purpose.RETURN, RETURNING) == "rotation-finalizer"


@pytest.mark.parametrize(
    "rotation",
    [
        replace(RETURNING, from_keys=()),
        replace(RETURNING, from_keys=(OLD, two_nodes.A[2])),
        replace(RETURNING, from_node=None),
        replace(RETURNING, from_node="b"),
    ],
    ids=["no old key", "two old keys", "no node of ours", "a node without it"],
)
def test_a_return_needs_the_one_key_of_one_node_of_ours(rotation: Rotation) -> None:
    assert refused(PUTS_BACK, Purpose.RETURN, rotation) == "rotation-key"


@pytest.mark.parametrize("key", [OLD, two_nodes.ROTATION, two_nodes.public_key(99)])
def test_a_journal_that_names_a_key_which_the_node_does_not_hold_gets_no_signature(key: PublicKey) -> None:
    # The bytes fit the rotation; the configuration says no.
    assert refused(packed(reg(key)), Purpose.REGISTER, replace(ROTATION, to_key=key)) == "rotation-key"


def test_a_node_without_a_finalizer_key_gets_none() -> None:
    with pytest.raises(RefusedError) as caught:
        mandate.digest(MOVES_BOTH.pack(), Purpose.REGISTER, ROTATION, NO_FINALIZERS, HEAD)
    assert caught.value.rule == "rotation-finalizer"


def test_a_chain_without_a_producer_has_nothing_to_sign() -> None:
    chain = CONFIG.chains["local"].model_copy(update={"producer": None})
    config = CONFIG.model_copy(update={"chains": {"local": chain}})
    with pytest.raises(RefusedError) as caught:
        mandate.digest(REGISTERS.pack(), Purpose.REGISTER, ROTATION, config, HEAD)
    assert caught.value.rule == "rotation-permission"


# -- bytes -----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_foreign_bytes_are_no_transaction(octets: bytes) -> None:
    with pytest.raises((FormatError, RefusedError)):
        mandate.digest(octets, Purpose.REGISTER, ROTATION, CONFIG, HEAD)


@given(st.integers(0, len(MOVES_BOTH.pack()) - 1), st.integers(1, 255))
def test_one_other_byte_is_refused_or_another_registration_of_the_same(place: int, flip: int) -> None:
    octets = bytearray(MOVES_BOTH.pack())
    octets[place] ^= flip
    try:
        mandate.digest(bytes(octets), Purpose.REGISTER, ROTATION, CONFIG, HEAD)
    except (FormatError, RefusedError):
        return
    # Free are the expiration within its minute, TAPOS, url and location.
    changed = Transaction.unpack(bytes(octets))
    (action, level), *others = changed.actions
    assert isinstance(action, RegProducer)
    assert (action.producer, action.producer_key, level) == (PRODUCER, NEW, LEVEL)
    assert others == list(MOVES_BOTH.actions[1:])
    assert HEAD < changed.expiration <= HEAD + timedelta(seconds=60)


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_bytes_more_or_less_are_refused(cut: int) -> None:
    octets = REGISTERS.pack()
    for changed in (octets[:-cut], octets[cut:], octets + bytes(cut), octets + octets[:cut]):
        with pytest.raises(FormatError):
            mandate.digest(changed, Purpose.REGISTER, ROTATION, CONFIG, HEAD)
