"""Transactions for tests: a list of many fixed ones, and strategies that make any."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from signer.antelope.keys import PublicKey
from signer.antelope.name import Name, decode_name
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signer.antelope.transaction import Action

_VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text())
_MADE = [PublicKey.parse(vector["public"]) for vector in _VECTORS["keys"]]
#: K1 and R1 in turn, in no order.
KEYS = [key for pair in zip(_MADE[:40], _MADE[40:], strict=True) for key in pair]
#: Spring libraries/libfc/test/test_bls.cpp:303; system-contracts tests/eosio.finalizer_key_tests.cpp.
FINALIZER_KEYS = [
    "PUB_BLS_82P3oM1u0IEv64u9i4vSzvg1-QDl4Fb2n50Mp8Sk7Fr1Tz0MJypzL39nSd5VPFgFC9WqrjopRbBm1Pf0RkP018fo1k2rXaJY7Wtzd9RKlE8PoQ6XhDm4PyZlIupQg_gOuiMhcg",
    "PUB_BLS_UJ2L9snX88oXj-bkZmfeLuhtkm4oNs_YsSC3oxT4jXJpNxGfg9mTscXSR25WhfUI8j-jBSPm616PM2Rg31zZTgw3XQkA58EUOQmqK6WXYGNGy2FEsZVz-O1jow8CrPUZtry4kw",
    "PUB_BLS_EdlqWOk4RONNBZEOnY72l83OP3Z4FnqiYLeBivxB2Z7NTbnnm7L2amc9L13_-gkBJb-ScBe1JV_rvP2ukgGR2QaO2nD454ROmWqJ67ZnDcpEEb8ljPCLYfv34OGXs8QB0QVgVQ",
    "PUB_BLS_lkixuIBmY1Xuc0GFnek0iDXitKAAQt87CL7Q1jZsjLid-9cruKfj_KjJk2P4GxsL7HnArD6F0lNAoxsLHISpsBBHqi-ET5JAYfKkS5lgG4To1vP48x6TtOPOslsr5D0YqKbtng",
    "PUB_BLS_9Pbv53DbC9EDGGPEZUrlKuMGeXYWHzIPfmn-Ncrxj7sOTiTEOYIkcCgBrvfKYiIG0BsiafG1dRK9MV40aGWKREE4rWHpiDLIkHR91huq9CEdeZHUb2bRXvcxs0RAa7oADXSTmw",
]
URLS = [
    *("", "a", "https://producer.example/", "a" * 127, "a" * 128, "a" * 511, "é" * 255 + "a", "日本語" * 56),
    *("🦄" * 127, 'a "quoted" \\ path/', "a\tb\nc\rd", "\u00a0\u2028\ufeff\u007f", "%00%ff?a=b&c#d", " "),
]
LOCATIONS = [0, 1, 255, 256, 840, 32767, 32768, 65535]
NAMES = [Name(name) for name in ("alice", "a", "bp.1", "zzzzzzzzzzzz", "abcdefghijklj", "..a", "eosio", "5")]
EXPIRATIONS = [
    datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC),
]
REF_BLOCK_NUMS = [0, 1, 256, 65535]
REF_BLOCK_PREFIXES = [0, 1, 0x01020304, 0x80000000, 0xFFFFFFFF]
_WEIGHTS = [1, 2, 65535, 0, 255, 256, 1000]


def _actions() -> Iterator[Action]:
    for number, key in enumerate(KEYS[:30]):
        yield RegProducer(
            NAMES[number % len(NAMES)],
            key,
            URLS[number % len(URLS)],
            LOCATIONS[number % len(LOCATIONS)],
        )
    for number in range(32):
        weights = itertools.islice(itertools.cycle(_WEIGHTS), number % 7, number % 7 + number % 8 + 1)
        first = number % 40
        keys = tuple(KeyWeight(key, weight) for key, weight in zip(KEYS[first:], weights, strict=False))
        total = sum(entry.weight for entry in keys)
        yield RegProducer2(
            NAMES[number % len(NAMES)],
            # A key of no weight alone makes no authority.
            BlockSigningAuthority((1, total, max(total // 2, 1))[number % 3], keys)
            if total
            else BlockSigningAuthority(65535, (KeyWeight(keys[0].key, 65535),)),
            URLS[number * 5 % len(URLS)],
            LOCATIONS[number * 3 % len(LOCATIONS)],
        )
    for name in NAMES:
        yield UnregProd(name)
    for name, finalizer_key in zip(NAMES, FINALIZER_KEYS, strict=False):
        yield ActFinKey(name, finalizer_key)


ACTIONS = list(_actions())


def _transactions() -> Iterator[Transaction]:
    lists = [(action,) for action in ACTIONS]
    several: list[tuple[Action, ...]] = [
        (ACTIONS[0], ACTIONS[-1]),
        (ACTIONS[1], ACTIONS[40], ACTIONS[-9], ACTIONS[-1]),
        tuple(UnregProd(name) for name in NAMES),
        (ACTIONS[5],) * 3,
        tuple(UnregProd(NAMES[number % len(NAMES)]) for number in range(128)),
    ]
    for number, actions in enumerate([*lists, *several]):
        yield Transaction(
            EXPIRATIONS[number % len(EXPIRATIONS)],
            REF_BLOCK_NUMS[number // 2 % len(REF_BLOCK_NUMS)],
            REF_BLOCK_PREFIXES[number % len(REF_BLOCK_PREFIXES)],
            tuple(
                (action, PermissionLevel(NAMES[place % len(NAMES)], NAMES[(place + number) % len(NAMES)]))
                for place, action in enumerate(actions)
            ),
        )


TRANSACTIONS = list(_transactions())


# -- any ---------------------------------------------------------------------------------------------------

names = st.integers(1, 2**64 - 1).map(decode_name)
keys = st.sampled_from(KEYS)
urls = st.sampled_from(URLS) | st.text(max_size=127)
locations = st.integers(0, 2**16 - 1)


@st.composite
def authorities(draw: st.DrawFn) -> BlockSigningAuthority:
    """Any authority of at most eight keys."""
    chosen = draw(st.lists(keys, min_size=1, max_size=8, unique=True))
    entries = tuple(KeyWeight(key, draw(st.integers(0, 2**16 - 1))) for key in chosen[:-1])
    entries += (KeyWeight(chosen[-1], draw(st.integers(1, 2**16 - 1))),)
    return BlockSigningAuthority(draw(st.integers(1, sum(entry.weight for entry in entries))), entries)


actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(RegProducer, names, keys, urls, locations),
    st.builds(RegProducer2, names, authorities(), urls, locations),
    st.builds(UnregProd, names),
    st.builds(ActFinKey, names, st.sampled_from(FINALIZER_KEYS)),
)
transactions = st.builds(
    Transaction,
    st.datetimes(datetime(1970, 1, 1), datetime(2106, 2, 7, 6, 28, 15)).map(  # noqa: DTZ001 - as it wants them
        lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
    ),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(actions, st.builds(PermissionLevel, names, names)), min_size=1, max_size=3).map(tuple),
)
