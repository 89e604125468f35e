"""Fuzz what reads transactions: bytes of actions and transactions, bodies of sign_transaction, ABIs.

    PYTHONPATH=tests python -m antelope.fuzz_unpacker --inputs 1000000

For each input: it is refused with the one expected exception, or accepted and then gives back the very same bytes. Ends
with 1 where that does not hold, or an input took too long. Prints how many inputs were damaged from valid ones and read
to their last field, and the branch coverage.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from antelope.branches import Branches

if TYPE_CHECKING:
    from collections.abc import Callable

    from antelope.branches import Outcome

    from signer.antelope.abi import Abi

MODULES: Final = [
    *(
        f"signer.antelope.{name}"
        for name in (
            "abi",
            "asset",
            "binary",
            "builtin_types",
            "foreign",
            "name",
            "strict_json",
            "timestamp",
        )
    ),
    "signer.signing.sign_transaction_request",
]
#: s of processor time for one input. The slowest are lists of 240 keys.
_TOO_SLOW_S: Final = 2.0
#: Valid actions, transactions and bodies that are damaged.
_POOL: Final = 600
_NUMBERS: Final = (0, 1, 2, 3, 0x7F, 0x80, 0x81, 0xFE, 0xFF)


@dataclass(frozen=True)
class Case:
    """Valid data of one action.

    Attributes:
        value: what they say.
        last: the name of the last field.
        tail: how many bytes the last field has.
    """

    account: str
    name: str
    abi: Abi
    kind: str
    value: object
    data: bytes
    last: str
    tail: int


class Fuzzer:
    """Makes inputs, feeds them, counts."""

    def __init__(self, seed: int, keep: int) -> None:
        # Imported here, after the modules can be rewritten.
        from antelope.abi_values import SIGNATURES, TYPE_ABI, Values  # noqa: PLC0415
        from antelope.transactions import NAMES, TRANSACTIONS  # noqa: PLC0415

        from signer.antelope.abi import Abi  # noqa: PLC0415
        from signer.antelope.foreign import ForeignTransaction  # noqa: PLC0415
        from signer.antelope.signature import Signature  # noqa: PLC0415
        from signer.antelope.system_abis import ABIS  # noqa: PLC0415
        from signer.errors import FormatError  # noqa: PLC0415
        from signer.signing.envelope import FaultError  # noqa: PLC0415
        from signer.signing.sign_transaction_request import parse_sign_transaction  # noqa: PLC0415

        self._abi_of = Abi
        self._transaction = ForeignTransaction
        self._refused = FormatError
        self._fault = FaultError
        self._parse = parse_sign_transaction
        self._random = Random(seed)  # noqa: S311 - a fuzzer repeats itself
        self._keep = keep
        self._definitions = [json.dumps(TYPE_ABI).encode(), json.dumps(_RECURSIVE).encode()]
        self.accepted: list[tuple[str, str, bytes]] = []
        self.counts: Counter[str] = Counter()
        self.slowest = 0.0

        abis = [("types", Abi.of(TYPE_ABI)), ("deep", Abi.of(_RECURSIVE)), *ABIS.items()]
        self._cases: list[Case] = []
        for account, abi in abis:
            values = Values(abi, self._random)
            count = _POOL // len(abis) // len(abi.actions) + 1
            for name, kind in list(abi.actions.items()) * count:
                if account == "deep":
                    value: object = {"grow": _nested(self._random), "nothing": {}, "many": []}[name]
                else:
                    value = values.of(kind)
                data = abi.encode(kind, value)
                present = value if isinstance(value, dict) else {}
                there = [field for field in abi.fields(kind) or () if field.name in present]
                last, tail = ("", 0)
                if there:
                    last, tail = there[-1].name, len(abi.encode(there[-1].kind, present[there[-1].name]))
                self._cases.append(Case(account, name, abi, kind, value, data, last, tail))
        self._transactions = [transaction.pack() for transaction in TRANSACTIONS[:200]]
        self._bodies = []
        for packed in self._transactions[:60]:
            transaction = ForeignTransaction.unpack(packed)
            body = [transaction.to_json([Signature.parse(SIGNATURES[0])]), [NAMES[0], NAMES[1]], "ab" * 32]
            self._bodies.append(json.dumps(body, separators=(",", ":")).encode())

    def run(self, inputs: int) -> bool:
        """Feed `inputs` inputs; return whether all went well."""
        feeds: list[tuple[Callable[[], None], int]] = [
            (self._damaged_action, 50),
            (self._random_action, 6),
            (self._damaged_values, 10),
            (self._damaged_transaction, 22),
            (self._damaged_body, 10),
            (self._damaged_abi, 2),
        ]
        chosen = self._random.choices([feed for feed, _ in feeds], [weight for _, weight in feeds], k=inputs)
        for feed in chosen:
            began = time.thread_time()
            try:
                feed()
            except Exception:  # noqa: BLE001 - any other exception is what is looked for
                traceback.print_exc(file=sys.stdout)
                return False
            took = time.thread_time() - began
            self.slowest = max(self.slowest, took)
            if took > _TOO_SLOW_S:
                print(f"an input of {feed.__name__} took {took:.2f} s")
                return False
        return True

    # -- inputs ----------------------------------------------------------------------------------------------

    def _damaged_action(self) -> None:
        case = self._random.choice(self._cases)
        data = self._damage(case.data, case.tail if self._random.random() < 0.6 else len(case.data))
        self._feed_action(case, data, "damaged actions", valid=True)

    def _random_action(self) -> None:
        case = self._random.choice(self._cases)
        data = self._random.randbytes(self._random.choice((0, 1, 8, 16, 40, 300, 9000)))
        self._feed_action(case, data, "random actions", valid=False)

    def _feed_action(self, case: Case, data: bytes, what: str, *, valid: bool) -> None:
        self.counts[what] += 1
        try:
            value = case.abi.decode(case.kind, data)
        except self._refused as error:
            # What is wrong is in the last field, or after it.
            late = str(error).startswith(f"{case.last}: ") or _TRAILING in str(error)
            self.counts[_REACHED] += valid and late and bool(case.last)
            return
        self.counts["accepted"] += 1
        self.counts[_REACHED] += valid and bool(case.last)
        # By way of text, as whoever is shown the values has them.
        assert case.abi.encode(case.kind, json.loads(json.dumps(value))) == data, (case.name, data.hex())
        if valid and data != case.data and case.account != "deep" and len(self.accepted) < self._keep:
            self.accepted.append((case.account, case.name, data))

    def _damaged_values(self) -> None:
        self.counts["damaged values"] += 1
        case = self._random.choice(self._cases)
        value = json.loads(self._damaged_json(json.dumps(case.value).encode()))
        try:
            data = case.abi.encode(case.kind, value)
        except self._refused:
            return
        self.counts["accepted"] += 1
        shown = case.abi.decode(case.kind, data)
        assert case.abi.encode(case.kind, shown) == data, (case.name, value)

    def _damaged_transaction(self) -> None:
        self.counts["damaged transactions"] += 1
        packed = self._random.choice(self._transactions)
        packed = self._damage(packed, 1 if self._random.random() < 0.3 else len(packed))
        try:
            transaction = self._transaction.unpack(packed)
        except self._refused as error:
            self.counts[_REACHED] += _TRAILING in str(error)
            return
        self.counts["accepted"] += 1
        self.counts[_REACHED] += 1
        assert transaction.pack() == packed, packed.hex()
        if len(transaction.actions) <= 100:
            again, _ = self._transaction.from_json(json.loads(json.dumps(transaction.to_json([]))))
            assert again == transaction, packed.hex()

    def _damaged_body(self) -> None:
        self.counts["damaged bodies"] += 1
        body = self._random.choice(self._bodies)
        chance = self._random.random()
        if chance < 0.02:
            body = self._random.choice(_BODIES)
        else:
            body = self._damaged_json(body) if chance < 0.6 else self._damage(body, len(body))
        try:
            request = self._parse(body)
        except self._fault:
            return
        self.counts["accepted"] += 1
        shown = json.dumps(
            [request.transaction.to_json(request.signatures), list(request.keys), request.chain_id.hex()]
        )
        assert self._parse(shown.encode()) == request, body

    def _damaged_abi(self) -> None:
        self.counts["damaged ABIs"] += 1
        definition = self._random.choice(self._definitions)
        try:
            abi = self._abi_of.parse(self._damaged_json(definition))
        except self._refused:
            return
        for kind in self._random.sample(sorted(abi.actions.values()), min(3, len(abi.actions))):
            abi.reaches(kind)
            try:
                data = self._random.choice(self._cases).data[:200]
                assert abi.encode(kind, abi.decode(kind, data)) == data
            except self._refused:
                continue

    # -- damage ----------------------------------------------------------------------------------------------

    def _damage(self, data: bytes, tail: int) -> bytes:
        """`data` with one to three things wrong within its last `tail` bytes, at times nothing."""
        random = self._random
        damaged = bytearray(data)
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            low = max(0, len(damaged) - tail)
            place = random.randint(low, len(damaged))
            match random.randint(0, 7):
                case 0 if place < len(damaged):
                    damaged[place] ^= 1 << random.randint(0, 7)
                case 1 if place < len(damaged):
                    damaged[place] = random.choice(_NUMBERS)
                case 2:
                    damaged[place:place] = random.randbytes(random.choice((1, 2, 8, 33)))
                case 3:
                    del damaged[place : place + random.choice((1, 1, 2, 8))]
                case 4:
                    del damaged[place:]
                case 5:
                    damaged[place:place] = random.choice((b"\xff\xff\xff\xff\x0f", b"\x80\x00", b"\x80" * 9))
                case 6:
                    other = random.choice(self._cases).data
                    damaged[place:] = other[random.randint(0, len(other)) :]
                case _:
                    damaged[place:place] = damaged[low:place] * random.choice((1, 1, 40))
        return bytes(damaged)

    def _damaged_json(self, text: bytes) -> bytes:
        """JSON with one value replaced, removed or added."""
        random = self._random
        value = json.loads(text)
        at = value
        while True:
            if isinstance(at, dict) and at:
                place: str | int = random.choice(list(at))
            elif isinstance(at, list) and at:
                place = random.randrange(len(at))
            else:
                break
            if not isinstance(at[place], dict | list) or random.random() < 0.15:
                self._replace(at, place)
                break
            at = at[place]
        return json.dumps(value).encode()

    def _replace(self, container: dict[str, object] | list[object], place: str | int) -> None:
        random = self._random
        what = random.randint(0, 5)
        if what == 0:
            del container[place]  # type: ignore[arg-type]  # each place is of its container
        elif what == 1 and isinstance(container, dict):
            container[random.choice(("extra", "data", "name"))] = 1
        elif what == 1 and isinstance(container, list):
            container.extend(container[:1] * random.choice((1, 200)))
        else:
            old = container[place]  # type: ignore[index]  # as above
            container[place] = random.choice(  # type: ignore[index]  # as above
                (
                    *_ODD,
                    f"{old}x",
                    f"{old}0",
                    str(old),
                    [old],
                    {"a": old},
                    f"{old}[]",
                    f"{old}?",
                    f"{old}$",
                    f"-{old}",
                )
            )


_REACHED: Final = "damaged from valid and read to the last field"
_TRAILING: Final = "bytes too many after"
_ODD: Final[tuple[object, ...]] = (
    *(None, True, False, 0, -1, 1, 2**16, 2**32, 2**64, "0", "00", "-1", "0x1", "", "a", "zz", "A"),
    *(
        "2026-11-24T13:31:51",
        "2026-02-30T00:00:00",
        "1969-12-31T23:59:59",
        "2200-01-01T00:00:00",
        "2026-11-24T13:31:51.250",
    ),
    *("2100-01-01T00:00:00.500", "1.0000000000000000000 EOS", "0,EOS", "99,EOS", "\ud800", "-0 EOS"),
    *("toolonganame.xx", "aaaaaaaaaaaaz", "a.", [], {}, [[]], "name", "float64", "eosio::abi/2.0"),
)
_BODIES: Final = (b"", b"{}", b"[" * 5000, b"[" * 200_000, b'[{"a":1,"a":2},[],""]', b"[1,2,3]", b"9" * 5000)
#: Types that contain themselves, or nothing.
_RECURSIVE: Final = {
    "version": "eosio::abi/1.2",
    "types": [{"new_type_name": "nodes", "type": "node[]"}],
    "structs": [
        {"name": "node", "base": "", "fields": [{"name": "below", "type": "nodes"}]},
        {"name": "nothing", "base": "", "fields": []},
        {
            "name": "grow",
            "base": "",
            "fields": [
                {"name": "nodes", "type": "nodes"},
                {"name": "empty", "type": "nothing?"},
                {"name": "more", "type": "more$"},
            ],
        },
        {
            "name": "more",
            "base": "",
            "fields": [
                {"name": "a", "type": "more[]$"},
                {"name": "b", "type": "more$"},
                {"name": "c", "type": "float64?$"},
            ],
        },
    ],
    "actions": [
        {"name": "grow", "type": "grow", "ricardian_contract": ""},
        {"name": "nothing", "type": "nothing", "ricardian_contract": ""},
        {"name": "many", "type": "nodes", "ricardian_contract": ""},
    ],
    "variants": [{"name": "any", "types": ["any[]", "node", "nothing"]}],
}


def _nested(random: Random) -> dict[str, object]:
    """A value of `grow` that is up to 15 deep, or nearly flat and wide."""
    nodes: list[object] = []
    for _ in range(random.randint(0, 14)):
        nodes = [{"below": nodes}]
    wide: list[object] = [{"below": []} for _ in range(random.choice((0, 1, 100)))]
    return {"nodes": nodes + wide, "empty": None}


def _report(seen: list[Outcome], unseen: list[Outcome]) -> None:
    for module in MODULES:
        own, missed = (sum(each.module == module for each in which) for which in (seen, unseen))
        print(f"branches of {module}: {own} of {own + missed}")
    for outcome in unseen:
        print(f"not seen: {outcome.module}:{outcome.line} {outcome.function}: {outcome.what} {outcome.way}")
    print(
        f"branches: {len(seen)} of {len(seen) + len(unseen)}, {100 * len(seen) / (len(seen) + len(unseen)):.1f} %"
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--accepted", type=int, default=0, metavar="N", help="print so many that were accepted"
    )
    given = parser.parse_args()

    branches = Branches(MODULES)
    fuzzer = Fuzzer(given.seed, given.accepted)
    branches.forget()
    began = time.monotonic()
    good = fuzzer.run(given.inputs)
    print(
        f"inputs: {sum(count for what, count in fuzzer.counts.items() if ' ' in what and what != _REACHED)}"
    )
    for what, count in sorted(fuzzer.counts.items()):
        print(f"{what}: {count}")
    print(f"slowest: {fuzzer.slowest * 1000:.0f} ms of processor time; all: {time.monotonic() - began:.0f} s")
    _report(*branches.outcomes())
    for account, name, data in fuzzer.accepted:
        print(f"accepted {account} {name} {data.hex()}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
