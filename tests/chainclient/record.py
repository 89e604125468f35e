"""Write the recorded answers anew from real nodeos: `PYTHONPATH=tests python -m chainclient.record`.

To be run when a call is added; the difference is then read by a person. Files that begin with `spring-` or `old-` are
not recorded: answers/README.md says what they were written from.
"""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import httpx
from chainclient.scene import QUERIES, act, authority, sign
from rig import keypair
from rig.chain import Chain
from rig.tools import Tools

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


def main() -> None:
    """Boot a chain, make every kind of thing that is asked for, and ask."""
    tools = Tools.find()
    with tempfile.TemporaryDirectory() as folder, Chain(tools, Path(folder), local=["bpa"]) as chain:
        chain.create_accounts("bpa", "alice")
        chain.register({"bpa": chain.local["bpa"].public})
        elected = threading.Event()
        watch = threading.Thread(target=_watch, args=(chain.boot.url, elected))
        watch.start()
        chain.elect(["bpa"])
        elected.set()
        watch.join()
        node = chain.join("api", lines=QUERIES)
        keys = [keypair.generate(tools, "k1").public, keypair.generate(tools, "r1").public]
        location = {"url": "https://alice.example/bp.json", "location": 276}
        register = {"producer": "alice", "producer_key": keys[1], **location}
        two = {"threshold": 1, "keys": [{"key": key, "weight": 1} for key in keys]}
        register2 = {
            "producer": "alice",
            "producer_authority": ["block_signing_authority_v0", two],
            **location,
        }
        rotate = authority(keypair.DEVELOPMENT.public)
        link = {"account": "alice", "code": "eosio", "type": "regproducer", "requirement": "rotate"}
        chain.cleos.push(
            act("updateauth", "alice", account="alice", permission="rotate", parent="active", auth=rotate),
            act("linkauth", "alice", **link),
            act("linkauth", "alice", **{**link, "code": "eosio.token", "type": ""}),
            act("linkauth", "alice", **{**link, "type": "unregprod", "requirement": "eosio.any"}),
        )
        with httpx.Client(base_url=node.url, trust_env=False) as http:

            def ask(name: str, call: str, body: object = None) -> None:
                answer = http.post(f"/v1/chain/{call}", json=body)
                write(name, answer.status_code, answer.json())

            def settled(*actions: Any) -> None:  # noqa: ANN401 - actions of the rig
                chain.cleos.push(*actions)
                node.wait_for_head(chain.boot.head + 1)

            settled(act("regproducer", "alice", **register))
            ask("row-one-key", "get_table_rows", _row("producers", "alice"))
            settled(act("regproducer2", "alice", **register2))
            ask("row-two-keys", "get_table_rows", _row("producers", "alice"))
            settled(act("unregprod", "alice", producer="alice"))
            ask("row-unregistered", "get_table_rows", _row("producers", "alice"))
            ask("row-absent", "get_table_rows", _row("producers", "nobody"))
            ask("table-absent", "get_table_rows", _row("finkeys", "alice"))
            ask("info", "get_info")
            ask("schedules", "get_producer_schedule")
            ask("account", "get_account", {"account_name": "alice"})
            ask("account-absent", "get_account", {"account_name": "nobody"})
            ask("features", "get_activated_protocol_features", {"limit": 1000})
            ask("block", "get_block", _BLOCK)
            ask("block-info", "get_block_info", {"block_num": 12})
            ask("block-header", "get_block_header", _BLOCK)
            ask("block-absent", "get_block_info", {"block_num": 1_000_000})
            ask("endpoint-absent", "get_finalizer_info")
            ask(
                "authorizers",
                "get_accounts_by_authorizers",
                {"accounts": [], "keys": [rotate["keys"][0]["key"]]},
            )
            good = sign(chain, act("regproducer", "alice", **register))
            ask("computed", "compute_transaction", {"transaction": good})
            newest = {"return_failure_trace": False, "retry_trx": False, "transaction": good}
            ask("pushed", "send_transaction2", newest)
            identifier = json.loads((ANSWERS / "pushed.json").read_text())["answer"]["transaction_id"]
            ask("status-applied", "get_transaction_status", {"id": identifier})
            node.wait_for(
                lambda: (
                    http.post("/v1/chain/get_transaction_status", json={"id": identifier}).json()["state"]
                    == "IRREVERSIBLE"
                ),
                "the transaction is irreversible",
            )
            ask("duplicate", "send_transaction2", newest)
            ask("status-irreversible", "get_transaction_status", {"id": identifier})
            ask("status-unknown", "get_transaction_status", {"id": "ab" * 32})
            unsigned = {**sign(chain, act("unregprod", "alice", producer="alice")), "signatures": []}
            ask("unsatisfied", "send_transaction2", {**newest, "transaction": unsigned})
            ask(
                "failure-trace",
                "send_transaction2",
                {**newest, "return_failure_trace": True, "transaction": unsigned},
            )


if __name__ == "__main__":
    main()
