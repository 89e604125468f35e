"""A node and a wallet without a token: keys in memory that sign fast, and a supervisor that answers at once."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuzz.outcome import SECRET
from policy.actions import CHAIN, CLAIM, KEYS, claim, policy, transaction
from rig.memory_token import MemoryRace

from hsm.curves import is_canonical, low_s
from signer import config_file, questions
from signer.antelope.keys import Curve, PublicKey
from signer.policy import policies
from signer.policy.policies import Policies
from signer.signing import keyring
from signer.signing.account_keys import AccountKeys
from signer.signing.app import App
from signer.signing.connection import Call, Listener
from signer.signing.freeze import FreezeMarkers
from signer.signing.guard import Guard
from signer.signing.keyring import Keyring, TokenRing
from signer.signing.service import NodeTerms, Service
from signer.signing.supervisor import Supervisor
from signer.signing.wallet import Wallet

if TYPE_CHECKING:
    from hsm.race import Race
    from signer.channel import Message
    from signer.signing.service import Decision

#: The wallets.
OPEN, LOCKED = "default", "other"
_CURVES: Final = {Curve.K1: (ec.SECP256K1(), "secp256k1"), Curve.R1: (ec.SECP256R1(), "prime256v1")}


class _FastKey:
    """A key pair in memory; OpenSSL signs."""

    def __init__(self, curve: Curve) -> None:
        group, self._name = _CURVES[curve]
        self._key = ec.generate_private_key(group)
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        self.public = PublicKey(curve, point)

    def sign(self, digest: bytes, *, canonical: bool = False) -> bytes:
        """Return r || s (bytes, 64) with low s, on request canonical."""
        while True:
            r, s = decode_dss_signature(self._key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
            rs = low_s(self._name, r.to_bytes(32) + s.to_bytes(32))
            if not canonical or is_canonical(rs):
                return rs


class World:
    """Everything between a listener and a token.

    Attributes:
        block: the block keys of `primary`, K1 and R1.
        accounts: account keys, K1 and R1; policy lets each claim the rewards of producer1.
        decisions: what was recorded since the last look.
    """

    def __init__(self) -> None:
        plan = [
            (Curve.K1, "block", "primary"),
            (Curve.R1, "block", "primary"),
            (Curve.R1, "block", "standby"),
        ]
        plan += [(Curve.K1, "account", ""), (Curve.R1, "account", ""), (Curve.R1, "rotation", "")]
        private = [_FastKey(curve) for curve, _, _ in plan]
        self._race = MemoryRace(cast("list[Any]", private))
        entries = [
            keyring.build(key.public, role=role, node=node, token=OPEN, label="x", index=index)
            for index, (key, (_, role, node)) in enumerate(zip(private, plan, strict=True))
        ]
        for entry in entries:
            entry.state, entry.reason = "active", ""
        self.block = [entry.public_key for entry in entries[:2]]
        self.accounts = [entry.public_key for entry in entries[3:5]]
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        folder = Path(self._folder.name)
        markers = FreezeMarkers(folder / "frozen")
        self._race.lanes = [object()]  # type: ignore[attr-defined]  # a wallet is open when its token has lanes
        closed = MemoryRace([])
        closed.lanes = []  # type: ignore[attr-defined]
        ring = TokenRing(OPEN, software=True, race=cast("Race", self._race), keys=entries)
        other = TokenRing(LOCKED, software=True, race=cast("Race", closed), keys=[])
        keys = Keyring([ring, other])
        self.decisions: list[Decision] = []
        guard = Guard(markers)
        terms = {name: NodeTerms(10_000, 0) for name in ("primary", "standby")}
        self.service = Service(keys, guard, terms, self.decisions.append)
        self._supervisor = Supervisor(self._asked)
        accounts = AccountKeys(keys, markers, self.decisions.append)
        self.wallet = Wallet(keys, guard, accounts, self._policies(folder), self._supervisor)
        self.app = App(self.service, self.wallet)

    def close(self) -> None:
        """Remove its folder."""
        self._folder.cleanup()

    def _policies(self, folder: Path) -> Policies:
        path = folder / "signer.toml"
        path.write_text(KEYS + policy(CLAIM))
        loaded = policies.load(config_file.load(path))
        (one,) = loaded.by_key.values()
        return Policies(dict.fromkeys(self.accounts, one), loaded.abis)

    def listener(self, kind: str) -> Listener:
        """Return a listener of `primary`, or of the wallet, as on a unix socket."""
        return Listener(kind, "primary" if kind == "node" else "", f"unix:/{kind}", None, 64, 2048, 4096, 5.0)

    def call(self, kind: str) -> Call:
        """Return a call that has just come."""
        return Call(self.listener(kind), "uid 0 pid 7", permitted=True, began_ns=time.monotonic_ns())

    def transaction(self) -> dict[str, Any]:
        """Return a transaction that policy allows now, as cleos sends it."""
        expiration = (datetime.now(UTC) + timedelta(seconds=60)).replace(microsecond=0)
        return transaction(claim(), expiration=expiration).to_json([])

    @property
    def chain_id(self) -> str:
        """The account keys' chain, 64 hex digits."""
        return CHAIN.hex()

    # -- the supervisor's side -------------------------------------------------------------------------------

    def _asked(self, message: Message) -> None:
        """Answer as the supervisor does. What it is asked can be sent, and a PIN stands in its place only."""
        rest = {name: value for name, value in message.items() if name != "pin"}
        assert json.loads(json.dumps(message)) == message
        if message["type"] == "wallet-used":
            return
        assert SECRET not in repr(rest), rest
        content = self._answer(message)
        answer = {"type": questions.ANSWER, "id": message["id"], **content}
        asyncio.get_running_loop().call_soon(self._supervisor.answered, answer)

    def _answer(self, message: Message) -> Message:
        wallet = message.get("wallet", OPEN)
        if wallet not in (OPEN, LOCKED):
            return {"error": "no such wallet", "code": "nonexistent"}
        if message.get("pin", SECRET) != SECRET:
            return {"error": "wrong", "code": "password"}
        if message["act"] == "create-key":
            return {"key": str(self.accounts[0])}
        if message["act"] == "remove-key" and message["key"] not in map(str, self.accounts):
            return {"error": "no such key", "code": "no-key"}
        return {}
