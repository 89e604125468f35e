"""The wallet listeners: keosd for cleos. A wallet is a token of purpose block; no private key is outside a token.

Statuses, envelopes, codes and body rules are keosd's (nodeos: wallet_api_plugin.cpp, wallet_manager.cpp). On purpose
it is stricter: state changes by POST only, no request that a web page sent, a peer whose uid may not call is refused,
and an account key signs only transactions that were decoded and that policy allows. tests/conformance has the table of
all differences. PINs go to the supervisor and are kept by nobody here.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from signer.antelope.keys import Curve, PublicKey
from signer.antelope.signature import Signature
from signer.errors import FormatError
from signer.policy.decision import deciding
from signer.signing import envelope, sign_request, transaction_text, wallet_request
from signer.signing.envelope import FaultError, as_keosd, refuse
from signer.signing.service import key_fault
from signer.signing.sign_transaction_request import parse_sign_transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signer.policy.policies import Policies
    from signer.signing.account_keys import AccountKeys
    from signer.signing.connection import Call
    from signer.signing.guard import Guard
    from signer.signing.keyring import KeyEntry, Keyring
    from signer.signing.supervisor import Supervisor

    Handler = Callable[[Call, bytes], Awaitable[object]]

_OK: Final = 200
_CREATED: Final = 201
#: What keosd takes as a wallet's name (wallet_manager.cpp, valid_filename).
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
#: Commas and opening brackets in a body: reading more would keep block signatures waiting. 100 actions, each with a
#: permission, have 800, for cleos sends their data as one text.
_MARKS: Final = (b",", b"[", b"{")
_MAX_MARKS: Final = 2000
#: fc counts time in ns since 1970 in an int64; keosd refuses a timeout that leads past its end.
_LAST_NS: Final = 2**63 - 1
_NS_PER_S: Final = 1_000_000_000


class Answer(NamedTuple):
    """An HTTP answer: status and JSON."""

    status: int
    content: bytes


class _Route(NamedTuple):
    handler: Handler
    status: int
    changes: bool = True


class Wallet:
    """Answers the requests of wallet listeners.

    Args:
        keys: of the block tokens.
        guard: knows which peers may call.
        accounts: signs with account keys.
        policies: say what an account key may sign.
        supervisor: has the PINs.
    """

    def __init__(
        self,
        keys: Keyring,
        guard: Guard,
        accounts: AccountKeys,
        policies: Policies,
        supervisor: Supervisor,
    ) -> None:
        self._keys = keys
        self._guard = guard
        self._accounts = accounts
        self._policies = policies
        self._supervisor = supervisor
        self._turn = asyncio.Lock()
        self._routes = {
            b"/v1/wallet/set_timeout": _Route(self._set_timeout, _OK),
            b"/v1/wallet/sign_transaction": _Route(self._sign_transaction, _CREATED),
            b"/v1/wallet/sign_digest": _Route(self._sign_digest, _CREATED),
            b"/v1/wallet/create": _Route(self._create, _CREATED),
            b"/v1/wallet/open": _Route(self._open, _OK),
            b"/v1/wallet/lock_all": _Route(self._lock_all, _OK),
            b"/v1/wallet/lock": _Route(self._lock, _OK),
            b"/v1/wallet/unlock": _Route(self._unlock, _OK),
            b"/v1/wallet/import_key": _Route(self._import_key, _CREATED),
            b"/v1/wallet/remove_key": _Route(self._remove_key, _CREATED),
            b"/v1/wallet/create_key": _Route(self._create_key, _CREATED),
            b"/v1/wallet/list_wallets": _Route(self._list_wallets, _OK, changes=False),
            b"/v1/wallet/list_keys": _Route(self._list_keys, _OK),
            b"/v1/wallet/get_public_keys": _Route(self._get_public_keys, _OK, changes=False),
            b"/v1/keosd/stop": _Route(self._stop, _OK),
            b"/v1/node/get_supported_apis": _Route(self._get_supported_apis, _OK, changes=False),
        }

    async def answer(self, call: Call, method: str, target: bytes, body: bytes) -> Answer:
        """Answer one request. Raises nothing but what is a bug."""
        try:
            self._guard.check_peer(call)
            if method == "OPTIONS":
                return Answer(_OK, b"{}")  # keosd: beast_http_session.hpp:151-154
            route = self._routes.get(target)
            if route is None:
                raise as_keosd(envelope.UNKNOWN_ENDPOINT, "Unknown Endpoint")
            if route.changes and method != "POST":
                raise refuse("method", f"rule method: {target.decode()} takes POST only, not {method}")
            _check_marks(body)
            value = await route.handler(call, body)
        except FaultError as error:
            return Answer(error.fault.status, envelope.body(error.fault, error.message))
        self._supervisor.used()
        return Answer(route.status, json.dumps(value, separators=(",", ":")).encode())

    # -- wallets -------------------------------------------------------------------------------------

    async def _list_wallets(self, _: Call, body: bytes) -> list[str]:
        wallet_request.nothing(body)
        return [f"{name} *" if self._is_open(name) else name for name in sorted(self._keys.rings)]

    async def _open(self, call: Call, body: bytes) -> dict[str, str]:
        name = _file_name(wallet_request.text(body))
        self._exists(name, "Unable to open file: ")
        await self._supervisor.ask("open", call.caller, wallet=name)
        return {}

    async def _unlock(self, call: Call, body: bytes) -> dict[str, str]:
        name, pin = wallet_request.texts(body, 2)
        self._exists(_file_name(name), "Unable to open file: ")
        await self._supervisor.ask("unlock", call.caller, wallet=name, pin=pin)
        return {}

    async def _lock(self, call: Call, body: bytes) -> dict[str, str]:
        name = self._exists(wallet_request.text(body))
        await self._supervisor.ask("lock", call.caller, wallet=name)
        return {}

    async def _lock_all(self, call: Call, body: bytes) -> dict[str, str]:
        wallet_request.nothing(body)
        await self._supervisor.ask("lock-all", call.caller)
        return {}

    async def _set_timeout(self, call: Call, body: bytes) -> dict[str, str]:
        seconds = wallet_request.seconds(body)
        if seconds < 0 or time.time_ns() + seconds * _NS_PER_S > _LAST_NS:
            raise as_keosd(envelope.LOCK_TIMEOUT, f"Overflow on timeout_time, specified {seconds}")
        await self._supervisor.ask("set-timeout", call.caller, seconds=seconds)
        return {}

    async def _create(self, _: Call, body: bytes) -> str:
        name = _file_name(wallet_request.text(body))
        if name in self._keys.rings:
            raise as_keosd(envelope.WALLET_EXISTS, f"Wallet with name: '{name}' already exists")
        raise as_keosd(
            envelope.WALLET,
            "a wallet here is a PKCS#11 token: make one with `signer-hsm init-token`, describe it in [tokens] of the "
            "signer's configuration, then run `signer reload`",
        )

    # -- keys ----------------------------------------------------------------------------------------

    async def _get_public_keys(self, _: Call, body: bytes) -> list[str]:
        wallet_request.nothing(body)
        if not self._keys.rings:
            raise as_keosd(envelope.NO_WALLET, "You don't have any wallet!")
        accounts = [entry for entry in self._keys.entries if entry.role == "account"]
        own = [entry for entry in accounts if self._is_open(entry.token)]
        if not own and (accounts or not any(self._is_open(name) for name in self._keys.rings)):
            # An open token without account keys does not hide from cleos that somebody has to unlock another.
            locked = ", ".join(sorted({entry.token for entry in accounts} or self._keys.rings))
            raise as_keosd(envelope.WALLET_LOCKED, f"You don't have any unlocked wallet! (locked: {locked})")
        return [entry.public_key.fc for entry in sorted(own, key=_as_keosd_sorts)]

    async def _list_keys(self, _: Call, body: bytes) -> object:
        name, _password = wallet_request.texts(body, 2)
        self._is_unlocked(name)
        raise as_keosd(
            envelope.WALLET,
            "a private key never leaves its token, so none can be shown; `cleos wallet keys` lists the public keys",
        )

    async def _import_key(self, _: Call, body: bytes) -> object:
        name, _key = wallet_request.texts(body, 2)
        self._is_unlocked(name)
        raise as_keosd(
            envelope.WALLET,
            "a private key that was outside a token is not taken in: make a key in the token with `cleos wallet "
            "create_key` or `signer keys generate`, and give the account the new public key (cleos set account "
            "permission)",
        )

    async def _create_key(self, call: Call, body: bytes) -> object:
        name, kind = wallet_request.texts(body, 2)
        self._is_unlocked(name)
        try:
            curve = Curve(kind.upper() or Curve.K1)
        except ValueError:
            raise as_keosd(
                envelope.KEY_TYPE, f'Key type "{kind[:32]}" not supported by software wallet'
            ) from None
        answer = await self._supervisor.ask("create-key", call.caller, wallet=name, curve=curve.value)
        return answer["key"]

    async def _remove_key(self, call: Call, body: bytes) -> dict[str, str]:
        name, pin, asked = wallet_request.texts(body, 3)
        self._is_unlocked(name)
        # keosd looks at the password first, then at the key.
        malformed: FaultError | None = None
        key = ""
        try:
            key = str(_parse_key(asked))
        except FaultError as error:
            malformed = error
        try:
            await self._supervisor.ask("remove-key", call.caller, wallet=name, pin=pin, key=key)
        except FaultError as error:
            if malformed is not None and error.fault is envelope.KEY_NONEXISTENT:
                raise malformed from None
            raise
        return {}

    # -- signatures ----------------------------------------------------------------------------------

    async def _sign_digest(self, call: Call, body: bytes) -> object:
        digest, asked = sign_request.parse(body)
        entry = self._find(asked)
        error = refuse(
            "wrong-role",
            f"rule wrong-role: {asked} is an account key, and nobody can see what a digest is of; it signs "
            f"transactions that policy allows, with sign_transaction (asked by {call.caller})"
            if entry.role == "account"
            else _NOT_HERE.format(asked, entry.role, call.caller),
        )
        self._accounts.note(entry, call, digest.hex(), "", error=error)
        raise error

    async def _sign_transaction(self, call: Call, body: bytes) -> object:
        # One request at a time and one step in each turn of the event loop, or many together keep it from the nodes.
        async with self._turn:
            await asyncio.sleep(0)
            request = parse_sign_transaction(body)
            entries = sorted({self._find(key) for key in request.keys}, key=_as_keosd_sorts)
            await asyncio.sleep(0)
            digest = request.transaction.digest(request.chain_id)
            now = datetime.now(UTC)
            decisions = []
            for entry in entries:
                for decided in deciding(
                    request.transaction, request.chain_id, entry.public_key, self._policies, now
                ):
                    decisions += [decided] if decided else []
                    await asyncio.sleep(0)
            shown = transaction_text.describe(request, decisions)
        for entry, decision in zip(entries, decisions, strict=True):
            if entry.role != "account":
                error = refuse("wrong-role", _NOT_HERE.format(entry.name, entry.role, call.caller))
            elif not decision.allowed:
                text = f"rule policy: {decision.text} (asked by {call.caller})"
                error = FaultError(envelope.OWN["policy"], text, f"policy-{decision.rule}")
            else:
                continue
            self._accounts.note(entry, call, digest.hex(), shown, error=error)
            raise error
        signatures = [
            Signature.parse(await self._accounts.sign(entry, digest, call, shown)) for entry in entries
        ]
        return request.transaction.to_json([*request.signatures, *signatures])

    def _find(self, asked: str) -> KeyEntry:
        """Return a key of an unlocked wallet.

        Raises:
            FaultError: keosd's for text that is no key, or for a key that no unlocked wallet has.
        """
        entry = self._keys.find(str(_parse_key(asked)))
        if entry is None or not self._is_open(entry.token):
            locked = "" if entry is None else f": token {entry.token} is locked"
            raise as_keosd(envelope.MISSING_KEY, f"Public key not found in unlocked wallets {asked}{locked}")
        return entry

    # -- the rest ------------------------------------------------------------------------------------

    async def _stop(self, call: Call, _: bytes) -> dict[str, str]:
        if not call.listener.allow_stop:
            raise refuse(
                "forbidden",
                "rule forbidden: the configuration of this listener has no allow_stop = true; `signer stop` on the "
                "signer's host stops it",
            )
        await self._supervisor.ask("stop", call.caller)
        return {}

    async def _get_supported_apis(self, _: Call, _body: bytes) -> dict[str, list[str]]:
        own = b"/v1/node/get_supported_apis"  # keosd leaves it out, too
        return {"apis": sorted(target.decode() for target in self._routes if target != own)}

    def _is_open(self, name: str) -> bool:
        return bool(self._keys.rings[name].race.lanes)

    def _exists(self, name: str, words: str = "Wallet not found: ") -> str:
        if name not in self._keys.rings:
            raise as_keosd(envelope.WALLET_NONEXISTENT, f"{words}{name[:64]}")
        return name

    def _is_unlocked(self, name: str) -> None:
        if not self._is_open(self._exists(name)):
            raise as_keosd(envelope.WALLET_LOCKED, f"Wallet is locked: {name}")


_NOT_HERE: Final = (
    "rule wrong-role: {0} is a {1} key; only account keys sign for cleos, and a block key signs on its node's own "
    "listener (asked by {2})"
)


def _check_marks(body: bytes) -> None:
    marks = sum(map(body.count, _MARKS))
    if marks > _MAX_MARKS:
        raise as_keosd(
            envelope.INVALID_REQUEST,
            f"Unable to parse valid input from POST body: it has {marks} commas and brackets, more than {_MAX_MARKS}",
        )


def _file_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise as_keosd(envelope.WALLET, f"Invalid filename, path not allowed in wallet name {name[:64]}")
    return name


def _parse_key(asked: str) -> PublicKey:
    try:
        return PublicKey.parse(asked)
    except FormatError as error:
        raise as_keosd(key_fault(asked), str(error)) from None


def _as_keosd_sorts(entry: KeyEntry) -> tuple[bool, bytes]:
    """By type, then by bytes."""
    return entry.public_key.curve is Curve.R1, entry.public_key.data
