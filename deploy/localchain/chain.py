"""A chain with the real system contract: booted in about two seconds, with producers that are really elected.

The order of the steps is the contract's and nodeos' own: PREACTIVATE_FEATURE comes before any contract,
features take effect with the block after `activate` and eosio.system does not load without them. The first
election is immediate, because eosio.system's last schedule update is at slot 0 then (producer_pay.cpp:
onblock elects when more than 120 slots have passed); each further one can take a minute.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from localchain import keypair
from localchain.cleos import Action, Cleos
from localchain.condition import HANG_S
from localchain.keosd import Keosd
from localchain.nodeos import Genesis, Nodeos
from localchain.slot import slot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from localchain.keypair import KeyPair
    from localchain.tools import Tools

_SYSTEM_ACCOUNTS = (
    *("eosio.bpay", "eosio.msig", "eosio.names", "eosio.ram", "eosio.ramfee", "eosio.reserv", "eosio.rex"),
    *("eosio.saving", "eosio.stake", "eosio.token", "eosio.vpay", "eosio.wrap"),
)
_VOTER = "voter"
#: eosio.system elects nobody below 150,000,000 EOS of votes (min_activated_stake, eosio.system.hpp).
_VOTER_STAKE = "100000000.0000 EOS"  # of this for NET and once more for CPU
#: "more than 120 slots" (SC:contracts/eosio.system/src/producer_pay.cpp, onblock).
_UPDATE_SLOTS = 121
#: Slots that a transaction needs to be in a block, with room.
_TO_BE_IN_A_BLOCK = 4


class Chain:
    """A chain booted by the node `boot`, whose accounts all belong to the development key.

    Args:
        folder: for everything; keep its path short (unix sockets).
        local: names of producers whose keys the boot node itself holds in memory.
        port: of the boot node's HTTP API; by default a free one.

    Attributes:
        boot: the node of `eosio` and of the `local` producers.
        cleos: cleos against `boot`.
        local: name -> key pair of those producers.
    """

    def __init__(
        self, tools: Tools, folder: Path, *, local: Sequence[str] = (), port: int | None = None
    ) -> None:
        self._tools = tools
        self._folder = folder
        self._nodes: list[Nodeos] = []
        self.genesis = Genesis.now(keypair.DEVELOPMENT.public)
        self.local: dict[str, KeyPair] = {name: keypair.generate(tools, "k1") for name in local}
        self.keosd = Keosd(tools, folder / "keosd")
        try:
            self.keosd.add(keypair.DEVELOPMENT)
            providers = [key.provider for key in (keypair.DEVELOPMENT, *self.local.values())]
            self.boot = self._start("boot", producers=["eosio", *local], providers=providers, port=port)
            self.cleos = Cleos(tools, self.boot, self.keosd)
            self._install_system_contract()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every node, then keosd."""
        for node in reversed(self._nodes):
            node.stop()
        self.keosd.stop()

    def _start(
        self,
        name: str,
        *,
        producers: Sequence[str] = (),
        providers: Sequence[str] = (),
        peers: Sequence[str] = (),
        lines: Sequence[str] = (),
        port: int | None = None,
    ) -> Nodeos:
        node = Nodeos(
            self._tools,
            self._folder / name,
            self.genesis,
            producers=producers,
            providers=providers,
            peers=peers,
            lines=lines,
            port=port,
        )
        self._nodes.append(node)
        return node

    def join(
        self,
        name: str,
        *,
        producers: Sequence[str] = (),
        providers: Sequence[str] = (),
        lines: Sequence[str] = (),
        port: int | None = None,
    ) -> Nodeos:
        """Start another node of this chain and wait until it has the boot node's head."""
        node = self._start(
            name, producers=producers, providers=providers, peers=[self.boot.p2p], lines=lines, port=port
        )
        node.wait_for_head(self.boot.head)
        return node

    # -- boot ------------------------------------------------------------------------------------------

    def _install_system_contract(self) -> None:
        features = {
            entry["value"]: feature["feature_digest"]
            for feature in self.boot.call("producer/get_supported_protocol_features")
            for entry in feature["specification"]
            if entry["name"] == "builtin_feature_codename"
        }
        first = features.pop("PREACTIVATE_FEATURE")
        features.pop("KV_DATABASE", None)
        self.boot.call(
            "producer/schedule_protocol_feature_activations", {"protocol_features_to_activate": [first]}
        )
        self.boot.wait_for(lambda: first in self._activated(), "PREACTIVATE_FEATURE is active")
        self._set_contract("eosio", "eosio.bios")
        self.cleos.push(
            *(
                Action("eosio", "activate", {"feature_digest": digest}, "eosio")
                for digest in features.values()
            )
        )
        self.boot.wait_for(lambda: self._activated() >= set(features.values()), "all features are active")
        self.cleos.push(*(self._new_account(name) for name in _SYSTEM_ACCOUNTS))
        self._set_contract("eosio.token", "eosio.token")
        supply = {"issuer": "eosio", "maximum_supply": "10000000000.0000 EOS"}
        issue = {"to": "eosio", "quantity": "1000000000.0000 EOS", "memo": ""}
        self.cleos.push(
            Action("eosio.token", "create", supply, "eosio.token"),
            Action("eosio.token", "issue", issue, "eosio"),
        )
        self._set_contract("eosio", "eosio.system")
        self.cleos.push(Action("eosio", "init", {"version": 0, "core": "4,EOS"}, "eosio"))

    def _activated(self) -> set[str]:
        answer = self.boot.call("chain/get_activated_protocol_features", {"limit": 1000})
        return {feature["feature_digest"] for feature in answer["activated_protocol_features"]}

    def _set_contract(self, account: str, name: str) -> None:
        folder = self._tools.contract(name)
        self.cleos.set_contract(account, folder)
        code = hashlib.sha256((folder / f"{name}.wasm").read_bytes()).hexdigest()

        def is_set() -> bool:
            shown = self.boot.call("chain/get_raw_abi", {"account_name": account})
            return bool(shown["code_hash"] == code)

        self.boot.wait_for(is_set, f"{account} has the code of {name}")

    @staticmethod
    def _new_account(name: str, owner: str = keypair.DEVELOPMENT.public) -> Action:
        key = {"key": owner, "weight": 1}
        authority = {"threshold": 1, "keys": [key], "accounts": [], "waits": []}
        data = {"creator": "eosio", "name": name, "owner": authority, "active": authority}
        return Action("eosio", "newaccount", data, "eosio")

    # -- accounts and producers ------------------------------------------------------------------------

    def create_accounts(
        self, *names: str, owner: str = keypair.DEVELOPMENT.public, ram_bytes: int = 32768
    ) -> None:
        """Create accounts whose owner and active key is `owner`, with RAM and stake enough to act."""
        actions = []
        for name in names:
            ram = {"payer": "eosio", "receiver": name, "bytes": ram_bytes}
            stake = {
                "from": "eosio",
                "receiver": name,
                "stake_net_quantity": "100.0000 EOS",
                "stake_cpu_quantity": "100.0000 EOS",
                "transfer": False,
            }
            actions += [
                self._new_account(name, owner),
                Action("eosio", "buyrambytes", ram, "eosio"),
                Action("eosio", "delegatebw", stake, "eosio"),
            ]
        self.cleos.push(*actions)

    def register(self, producers: Mapping[str, str]) -> None:
        """Register producers (regproducer): account name -> block-signing key."""
        self.cleos.push(
            *(
                Action(
                    "eosio",
                    "regproducer",
                    {"producer": name, "producer_key": key, "url": "", "location": 0},
                    name,
                )
                for name, key in producers.items()
            )
        )

    def elect(self, names: Sequence[str], *, timeout_s: float = HANG_S) -> None:
        """Vote registered producers in and wait until exactly they are the active schedule.

        The voter stakes its own tokens; nothing less activates a schedule. To be called once per chain: the
        voter is made here.
        """
        self.create_accounts(_VOTER)
        tokens = {"from": "eosio", "to": _VOTER, "quantity": "400000000.0000 EOS", "memo": ""}
        stake = {
            "from": _VOTER,
            "receiver": _VOTER,
            "stake_net_quantity": _VOTER_STAKE,
            "stake_cpu_quantity": _VOTER_STAKE,
            "transfer": False,
        }
        vote = {"voter": _VOTER, "proxy": "", "producers": sorted(names)}
        self.cleos.push(
            Action("eosio.token", "transfer", tokens, "eosio"),
            Action("eosio", "delegatebw", stake, _VOTER),
            Action("eosio", "voteproducer", vote, _VOTER),
        )
        self.boot.wait_for(
            lambda: set(self.boot.active_schedule()) == set(names),
            f"the active schedule is {sorted(names)}",
            timeout_s=timeout_s,
        )

    def row(self, producer: str) -> Any:  # noqa: ANN401 - JSON
        """Return the producer's row of eosio.system's table `producers`."""
        answer = self.boot.call(
            "chain/get_table_rows",
            {
                **_table("producers"),
                "limit": 1,
                "lower_bound": producer,
                "upper_bound": producer,
            },
        )
        return answer["rows"][0]

    def slots_to_update(self) -> int:
        """Return how many slots are left until eosio.system looks for another schedule.

        It does so in the first block whose slot is more than 120 after the last such block (producer_pay.cpp,
        onblock): what is registered before that block moves with it, what is registered after waits a minute.
        """
        answer = self.boot.call("chain/get_table_rows", _table("global"))
        last = datetime.fromisoformat(answer["rows"][0]["last_producer_schedule_update"])
        head = datetime.fromisoformat(self.boot.info()["head_block_time"])
        return slot(last) + _UPDATE_SLOTS - slot(head)

    def wait_for_update(self, *, within: int) -> None:
        """Wait until eosio.system looks for another schedule within `within` slots, but not in the next few."""
        self.boot.wait_for(
            lambda: _TO_BE_IN_A_BLOCK < self.slots_to_update() <= within,
            f"an update within {within} slots",
            timeout_s=HANG_S + _UPDATE_SLOTS,
        )


def _table(name: str) -> dict[str, Any]:
    """Return the question for a table of the system contract."""
    return {"json": True, "code": "eosio", "scope": "eosio", "table": name}
