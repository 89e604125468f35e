"""Real nodeos: one process on a folder of its own, driven through its HTTP API and read through its log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from localchain import nodeos_log
from localchain.condition import HANG_S
from localchain.errors import LocalChainError
from localchain.program import Program, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from localchain.nodeos_log import Entry, Produced
    from localchain.tools import Tools

#: nodeos' own defaults but for the room it takes and limits that a slow machine would meet when a
#: contract is set. Nothing here touches signing: keosd-provider-timeout stays at its default of 5 ms.
_SETTINGS = """\
chain-state-db-size-mb = 256
chain-threads = 1
http-threads = 1
net-threads = 1
producer-threads = 1
max-transaction-time = 1000
abi-serializer-max-time-ms = 1000
http-max-response-time-ms = 1000
resource-monitor-not-shutdown-on-threshold-exceeded = true
resource-monitor-space-threshold = 99
p2p-max-nodes-per-host = 8
plugin = eosio::http_plugin
plugin = eosio::chain_api_plugin
plugin = eosio::producer_api_plugin
plugin = eosio::net_plugin
"""

#: The initial configuration of EOSIO's tutorials: the values are nobody's, nodeos only needs some.
_INITIAL_CONFIGURATION = {
    "max_block_net_usage": 1048576,
    "target_block_net_usage_pct": 1000,
    "max_transaction_net_usage": 524288,
    "base_per_transaction_net_usage": 12,
    "net_usage_leeway": 500,
    "context_free_discount_net_usage_num": 20,
    "context_free_discount_net_usage_den": 100,
    "max_block_cpu_usage": 500000,
    "target_block_cpu_usage_pct": 2000,
    "max_transaction_cpu_usage": 450000,
    "min_transaction_cpu_usage": 100,
    "max_transaction_lifetime": 3600,
    "deferred_trx_expiration_window": 600,
    "max_transaction_delay": 3888000,
    "max_inline_action_size": 524288,
    "max_inline_action_depth": 4,
    "max_authority_depth": 6,
}


#: What nodeos logs when it would produce and may not (producer_plugin.cpp, start_block).
_IS_PAUSED = "Not producing block because production is explicitly paused"


@dataclass(frozen=True)
class Genesis:
    """The first state of a chain: the key of `eosio`, which signs until there is a schedule, and a time.

    Two nodes of one chain need equal ones.
    """

    initial_key: str
    initial_timestamp: str

    @classmethod
    def now(cls, initial_key: str) -> Genesis:
        """Return a chain that begins at this second: another chain id at every call a second apart."""
        return cls(initial_key, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000"))

    def write(self, path: Path) -> Path:
        """Write the file for `--genesis-json`."""
        path.write_text(
            json.dumps(
                {
                    "initial_timestamp": self.initial_timestamp,
                    "initial_key": self.initial_key,
                    "initial_configuration": _INITIAL_CONFIGURATION,
                }
            )
        )
        return path


@dataclass(frozen=True)
class Block:
    """A block as get_block shows it."""

    number: int
    id: str
    timestamp: datetime
    producer: str
    signature: str


class Nodeos(Program):
    """One nodeos.

    Args:
        folder: config and data; made if need be. With data of an earlier run nodeos goes on from there.
        producers: names for `producer-name`.
        providers: values for `signature-provider`: `PUB=KEY:...` or `PUB=KEOSD:...`.
        peers: `host:port` of other nodes' p2p.
        lines: further lines for config.ini.
        port: of its HTTP API; by default a free one.
    """

    #: A block is half a second, and a look reads the whole log, or asks nodeos.
    interval_s = 0.1

    def __init__(
        self,
        tools: Tools,
        folder: Path,
        genesis: Genesis,
        *,
        producers: Sequence[str] = (),
        providers: Sequence[str] = (),
        peers: Sequence[str] = (),
        lines: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        port = port or free_port()
        self.p2p = f"127.0.0.1:{free_port()}"
        self.url = f"http://127.0.0.1:{port}"
        settings = [
            f"http-server-address = 127.0.0.1:{port}",
            f"p2p-listen-endpoint = {self.p2p}",
            *(f"producer-name = {name}" for name in producers),
            *(f"signature-provider = {provider}" for provider in providers),
            *(f"p2p-peer-address = {peer}" for peer in peers),
            *(["enable-stale-production = true"] if producers and not peers else []),
            # By default a node that does not produce has three, with limits that do not fit _SETTINGS.
            *([] if producers else ["read-only-threads = 0"]),
            *lines,
        ]
        (folder / "config.ini").write_text(_SETTINGS + "\n".join(settings) + "\n")
        data = folder / "data"
        command: list[str | Path] = [tools.program, "nodeos", "--config-dir", folder, "--data-dir", data]
        if not data.exists():
            command += ["--genesis-json", genesis.write(folder / "genesis.json")]
        super().__init__(command, folder / "nodeos.log", environment=tools.environment, folder=folder)
        self.name = f"nodeos {folder.name}"
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=HANG_S)
        self.wait_until_up(self._listens, "nodeos answers")

    def _listens(self) -> bool:
        try:
            return self._http.get("/v1/chain/get_info").is_success
        except httpx.TransportError:
            return False

    def stop(self, *, timeout_s: float = 15.0) -> int:
        """End it; the log is complete after that."""
        self._http.close()
        return super().stop(timeout_s=timeout_s)

    # -- HTTP ------------------------------------------------------------------------------------------

    def call(self, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """POST to `path` (for example `chain/get_info`) and return the JSON answer; fail on any error."""
        try:
            answer = self._http.post(f"/v1/{path}", json=body)
        except httpx.TransportError as error:
            raise LocalChainError(f"{self.name} {path}: {error or type(error).__name__}") from error
        if not answer.is_success:
            raise LocalChainError(f"{self.name} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def info(self) -> Any:  # noqa: ANN401 - JSON
        """chain/get_info."""
        return self.call("chain/get_info")

    @property
    def chain_id(self) -> str:
        """The chain's id, 64 hex digits."""
        chain_id: str = self.info()["chain_id"]
        return chain_id

    @property
    def head(self) -> int:
        """The head block's number."""
        number: int = self.info()["head_block_num"]
        return number

    def block(self, number: int) -> Block:
        """Return block `number` of this node's chain."""
        shown = self.call("chain/get_block", {"block_num_or_id": number})
        return Block(
            number,
            shown["id"],
            datetime.fromisoformat(shown["timestamp"]),
            shown["producer"],
            shown["producer_signature"],
        )

    def active_schedule(self) -> dict[str, str]:
        """Return the active schedule: producer name -> its first block-signing key."""
        active = self.call("chain/get_producer_schedule")["active"]
        return {row["producer_name"]: row["authority"][1]["keys"][0]["key"] for row in active["producers"]}

    def pause(self) -> int:
        """Stop producing (producer_api_plugin), wait until it has stopped, return the last block's number.

        A block that was begun before is still signed.
        """
        before = self.log().count(_IS_PAUSED)
        self.call("producer/pause")
        self.wait_for(lambda: self.log().count(_IS_PAUSED) > before, "production is paused")
        return self.produced()[-1].number

    def resume(self) -> None:
        """Produce again."""
        self.call("producer/resume")

    # -- log -------------------------------------------------------------------------------------------

    def produced(self) -> list[Produced]:
        """Return the blocks this node has produced."""
        return nodeos_log.produced(self.log())

    def complaints(self) -> list[Entry]:
        """Return what it said at `warn` or `error`."""
        return nodeos_log.complaints(self.log())

    def wait_for_blocks(self, count: int, *, timeout_s: float | None = None) -> list[Produced]:
        """Wait until this node has produced `count` blocks in all; return them.

        The deadline allows twice the 0.5 s of each block, and what a hang takes.
        """

        def look() -> list[Produced] | None:
            blocks = self.produced()
            return blocks if len(blocks) >= count else None

        return self.wait_for(
            look, f"{count} blocks produced", timeout_s=HANG_S + count if timeout_s is None else timeout_s
        )

    def wait_for_head(self, number: int, *, timeout_s: float = HANG_S) -> None:
        """Wait until the head is at least block `number`."""
        self.wait_for(lambda: self.head >= number, f"head at {number}", timeout_s=timeout_s)
