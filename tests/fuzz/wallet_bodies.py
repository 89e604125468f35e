"""Bodies of keosd's wallet calls. A 2xx is an answer to what the call means, written without a fault."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

from fuzz.damage import Damage
from fuzz.outcome import SECRET, check_answer
from fuzz.world import LOCKED, OPEN, World
from policy.actions import claim

from signer.antelope.foreign import ForeignTransaction
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

_WALLETS: Final = (OPEN, LOCKED)
_CLAIM: Final = claim().data.hex()
_EMPTY: Final = (b"", b"{}")
#: Calls that say nothing in their body.
_NOTHING: Final = ("list_wallets", "get_public_keys", "lock_all")
#: Calls that nobody gets a 2xx from here.
_NEVER: Final = ("sign_digest", "create", "import_key", "list_keys", "../keosd/stop")
_READS: Final = ("list_wallets", "get_public_keys")
_GARBAGE: Final = (
    *(
        b"[" * 3000,
        b'{"a":' * 700,
        b"9" * 4000,
        b'"' + b"\\u0000" * 500 + b'"',
        b"\xff\xfe[\x00]\x00",
        b"NaN",
    ),
    *(
        b"\xef\xbb\xbf[]",
        b"[1,]",
        b"'default'",
        b'"default"//',
        b"1e999",
        b"-",
        b"[Infinity,1]",
        b"{}{}",
        b"[]" * 9,
    ),
)


class Wallets:
    """One input at a time, into signer.signing.wallet."""

    def __init__(self, random: Random, counts: Counter[str]) -> None:
        self._random = random
        self._counts = counts
        self._damage = Damage(random)
        self._world = World()
        self._valid: dict[str, list[Any]] = {}
        self._renewed = 0
        self._loop = asyncio.new_event_loop()

    def one(self) -> None:
        """Make an input, feed it, judge the answer."""
        if self._renewed % 2000 == 0:
            self._renew()  # a transaction expires
        self._renewed += 1
        call = self._random.choice(list(self._valid))
        value = self._random.choice(self._valid[call])
        body = self._body(value)
        method = (
            "POST" if self._random.random() < 0.95 else self._random.choice(("GET", "PUT", "post", "HEAD"))
        )
        page = self._random.random() < 0.02
        self._loop.run_until_complete(self._feed(call, method, body, page=page))

    def _renew(self) -> None:
        world = self._world
        keys = [str(key) for key in world.accounts] + [key.fc for key in world.accounts]
        tx, chain = world.transaction(), world.chain_id
        texts = [OPEN, LOCKED]
        self._valid = {
            "sign_transaction": [[tx, [key], chain] for key in keys] * 3
            + [[tx, keys[:2], chain], [tx, [], chain]],
            "sign_digest": [["ab" * 32, key] for key in keys],
            "unlock": [[name, SECRET] for name in texts],
            "remove_key": [[OPEN, SECRET, key] for key in keys],
            "create_key": [[OPEN, kind] for kind in ("K1", "R1", "r1", "")],
            "import_key": [[OPEN, SECRET]],
            "list_keys": [[OPEN, SECRET]],
            "set_timeout": [900, "900", 0],
            **{call: list(texts) for call in ("open", "lock", "create")},
            **{call: [None] for call in (*_NOTHING, "../keosd/stop")},
        }

    def _body(self, value: Any) -> bytes:  # noqa: ANN401 - JSON
        text = json.dumps(value).encode() if value is not None else self._random.choice(_EMPTY)
        chance = self._random.random()
        if chance < 0.1:
            self._counts["valid"] += 1
            return text
        if chance < 0.2:
            self._counts["random"] += 1
            return self._random.choice(
                (*_GARBAGE, self._random.randbytes(self._random.choice((1, 3, 20, 200))))
            )
        self._counts["mutated from valid"] += 1
        if chance < 0.65 and value is not None:
            try:
                return json.dumps(self._damage.of_json(value)).encode()
            except RecursionError:
                return text
        others = [json.dumps(each[0]).encode() for each in self._valid.values()]
        return self._damage.of_bytes(text, others)

    async def _feed(self, call: str, method: str, body: bytes, *, page: bool) -> None:
        target = b"/v1/keosd/stop" if call.startswith("..") else b"/v1/wallet/" + call.encode()
        world = self._world
        asking = world.call("wallet")
        asking.from_page = page
        status, content = await world.wallet.answer(asking, method, target, body)
        first = body[: body.find(SECRET.encode()) + len(SECRET)] if SECRET.encode() in body else b""
        check_answer(content, echo=bool(first))
        for decision in world.decisions:
            assert SECRET not in repr(decision), decision
        world.decisions.clear()
        answer = json.loads(content)
        if status not in (200, 201):
            self._counts[f"status {status}"] += 1
            assert status in (400, 404, 500), (status, content)
            assert answer["code"] == status, content
            assert isinstance(answer["error"]["details"][0]["message"], str), content
            return
        self._counts["accepted"] += 1
        assert not page, "a web page was served"
        assert method == "POST" or call in _READS, (call, method)
        assert call not in _NEVER, (call, body)
        assert self._is_right(call, body, answer), (call, body, content)

    def _is_right(self, call: str, body: bytes, answer: Any) -> bool:  # noqa: ANN401, PLR0911 - JSON; a rule for each
        """Whether a 2xx was earned: judged by the standard library's JSON and by the meaning, not by our parsers."""
        if call in _NOTHING:
            return body.strip(b" ") in _EMPTY
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_no_doubles)
        if call in ("open", "lock"):
            return value in _WALLETS
        if call == "set_timeout":
            return (
                value is None
                or isinstance(value, bool | int | float)
                or bool(re.fullmatch("-?[0-9]+", value))
            )
        if call == "unlock":
            return value in [[name, SECRET] for name in _WALLETS]
        if call == "create_key":
            return len(value) == 2 and value[0] == OPEN and str(value[1] or "").upper() in ("", "K1", "R1")
        if call == "remove_key":
            spellings = {each for key in self._world.accounts for each in (str(key), key.fc)}
            return value[:2] == [OPEN, SECRET] and value[2] in spellings and len(value) == 3
        assert call == "sign_transaction", call
        return self._is_allowed(value, answer)

    def _is_allowed(self, value: Any, answer: Any) -> bool:  # noqa: ANN401 - JSON
        tx, asked, chain = value
        spellings = {each: key for key in self._world.accounts for each in (str(key), key.fc)}
        wanted = {spellings[each] for each in asked}
        added = answer["signatures"][len(tx["signatures"]) :]
        if len(added) != len(wanted):
            return False
        if not wanted:
            return True  # nothing was signed
        (action,) = tx["actions"]
        transaction, _ = ForeignTransaction.from_json(tx)
        digest = transaction.digest(bytes.fromhex(chain))
        return (
            chain.lower() == self._world.chain_id
            and (action["account"], action["name"]) == ("eosio", "claimrewards")
            and [(each["actor"], each["permission"]) for each in action["authorization"]]
            == [("producer1", "claim")]
            and action["data"].lower() == _CLAIM
            and not tx.get("context_free_actions")
            and not tx.get("transaction_extensions")
            and not tx.get("context_free_data")
            and int(tx["delay_sec"]) == 0
            and {recover(digest, Signature.parse(each)) for each in added} == wanted
        )


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a name stands twice"
    return found
