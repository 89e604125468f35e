"""Write the recorded answers anew from real nodeos: `PYTHONPATH=tests python -m chainclient.record`.

To be run when a call is added; the difference is then read by a person. Files that begin with `spring-` are
not recorded: answers/README.md says what they were written from.
"""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from chainclient.scene import QUERIES, act, authority, sign
from rig import keypair
from rig.chain import Chain
from rig.tools import Tools

if TYPE_CHECKING:
    from rig.cleos import Action
    from rig.nodeos import Nodeos

ANSWERS = Path(__file__).with_name("answers")

_BLOCK = {"block_num_or_id": 12}


def _row(table: str, name: str) -> dict[str, Any]:
    return {
        "code": "eosio",
        "scope": "eosio",
        "table": table,
        "lower_bound": name,
        "upper_bound": name,
        "limit": 1,
        "json": True,
    }


def write(name: str, status: int, answer: object) -> None:
    """Write one answer."""
    (ANSWERS / f"{name}.json").write_text(json.dumps({"status": status, "answer": answer}, indent=1) + "\n")


def _watch(url: str, until: threading.Event) -> None:
    """Record the first schedules with a proposed and with a pending one."""
    wanted = ["proposed", "pending"]
    with httpx.Client(base_url=url, trust_env=False) as http:
        while wanted and not until.is_set():
            answer = http.post("/v1/chain/get_producer_schedule").json()
            for stage in [each for each in wanted if answer[each] is not None]:
                write(f"schedules-{stage}", 200, answer)
                wanted.remove(stage)


class _Recorder:
    """Asks one node, and writes down what it says."""

    def __init__(self, chain: Chain, node: Nodeos) -> None:
        self._chain = chain
        self._node = node
        self._http = httpx.Client(base_url=node.url, trust_env=False)

    def _ask(self, call: str, body: object = None) -> httpx.Response:
        return self._http.post(f"/v1/chain/{call}", json=body)

    def record(self, name: str, call: str, body: object = None) -> None:
        """Ask and write."""
        answer = self._ask(call, body)
        write(name, answer.status_code, answer.json())

    def settle(self, *actions: Action) -> None:
        """Push, and wait until the node has it."""
        self._chain.cleos.push(*actions)
        self._node.wait_for_head(self._chain.boot.head + 1)

    def rows(self) -> dict[str, object]:
        """Record the row of alice in all its states; return how she registers."""
        tools = Tools.find()
        keys = [keypair.generate(tools, "k1").public, keypair.generate(tools, "r1").public]
        location = {"url": "https://alice.example/bp.json", "location": 276}
        one = {"producer": "alice", "producer_key": keys[1], **location}
        both = {"threshold": 1, "keys": [{"key": key, "weight": 1} for key in keys]}
        two = {"producer": "alice", "producer_authority": ["block_signing_authority_v0", both], **location}
        row = _row("producers", "alice")
        self.settle(act("regproducer", "alice", **one))
        self.record("row-one-key", "get_table_rows", row)
        self.settle(act("regproducer2", "alice", **two))
        self.record("row-two-keys", "get_table_rows", row)
        self.settle(act("unregprod", "alice", producer="alice"))
        self.record("row-unregistered", "get_table_rows", row)
        self.record("row-absent", "get_table_rows", _row("producers", "nobody"))
        self.record("table-absent", "get_table_rows", _row("finkeys", "alice"))
        return one

    def account(self) -> None:
        """Record an account with a permission that is linked in all ways."""
        rotate = authority(keypair.DEVELOPMENT.public)
        link = {"account": "alice", "code": "eosio", "type": "regproducer", "requirement": "rotate"}
        self.settle(
            act("updateauth", "alice", account="alice", permission="rotate", parent="active", auth=rotate),
            act("linkauth", "alice", **link),
            act("linkauth", "alice", **{**link, "code": "eosio.token", "type": ""}),
            act("linkauth", "alice", **{**link, "type": "unregprod", "requirement": "eosio.any"}),
        )
        self.record("account", "get_account", {"account_name": "alice"})
        self.record("account-absent", "get_account", {"account_name": "nobody"})
        keys = {"accounts": [], "keys": [keypair.DEVELOPMENT.public]}
        self.record("authorizers", "get_accounts_by_authorizers", keys)

    def blocks(self) -> None:
        """Record everything that is told of blocks."""
        self.record("info", "get_info")
        self.record("schedules", "get_producer_schedule")
        self.record("features", "get_activated_protocol_features", {"limit": 1000})
        self.record("block", "get_block", _BLOCK)
        self.record("block-info", "get_block_info", {"block_num": 12})
        self.record("block-header", "get_block_header", _BLOCK)
        self.record("block-absent", "get_block_info", {"block_num": 1_000_000})
        self.record("endpoint-absent", "get_finalizer_info")

    def transactions(self, register: dict[str, object]) -> None:
        """Record one transaction from its trial to the end, and one that is refused."""
        good = sign(self._chain, act("regproducer", "alice", **register))
        newest = {"return_failure_trace": False, "retry_trx": False, "transaction": good}
        self.record("computed", "compute_transaction", {"transaction": good})
        self.record("pushed", "send_transaction2", newest)
        status = {"id": json.loads((ANSWERS / "pushed.json").read_text())["answer"]["transaction_id"]}
        self.record("status-applied", "get_transaction_status", status)
        self._node.wait_for(
            lambda: self._ask("get_transaction_status", status).json()["state"] == "IRREVERSIBLE",
            "the transaction is irreversible",
        )
        self.record("duplicate", "send_transaction2", newest)
        self.record("status-irreversible", "get_transaction_status", status)
        self.record("status-unknown", "get_transaction_status", {"id": "ab" * 32})
        unsigned = {**sign(self._chain, act("unregprod", "alice", producer="alice")), "signatures": []}
        self.record("unsatisfied", "send_transaction2", {**newest, "transaction": unsigned})
        traced = {**newest, "return_failure_trace": True, "transaction": unsigned}
        self.record("failure-trace", "send_transaction2", traced)


def main() -> None:
    """Boot a chain, make every kind of thing that is asked for, and ask."""
    with tempfile.TemporaryDirectory() as folder, Chain(Tools.find(), Path(folder), local=["bpa"]) as chain:
        chain.create_accounts("bpa", "alice")
        chain.register({"bpa": chain.local["bpa"].public})
        elected = threading.Event()
        watch = threading.Thread(target=_watch, args=(chain.boot.url, elected))
        watch.start()
        chain.elect(["bpa"])
        elected.set()
        watch.join()
        recorder = _Recorder(chain, chain.join("api", lines=QUERIES))
        register = recorder.rows()
        recorder.account()
        recorder.blocks()
        recorder.transactions(register)


if __name__ == "__main__":
    main()
