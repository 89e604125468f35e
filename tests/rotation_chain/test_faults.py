"""What goes wrong between the signer and a real chain, each once: how it ends, and what a person reads of it.

The producer is registered and not elected, and `eosio` alone makes the blocks: a block is irreversible with the next
one, so a rotation takes seconds. What an elected producer adds, test_elected.py has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from rig import keypair
from rig.api_proxy import Answer, ApiProxy, is_push
from rig.cleos import Action
from rig.condition import until
from rig.nodeos import Nodeos
from rig.program import free_port
from rig.rotating_signer import ROTATION_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rig.chain import Chain
    from rig.member import Member
    from rig.stage import Stage
    from rig.tools import Tools

pytestmark = pytest.mark.chain

_SUCCESS = "registered-unscheduled"
_PRODUCER = "ours"
#: s, for a rotation that nothing waits for but an expiration.
_MOST_S = "90"
#: More than the row of a balance takes.
_ROW_BYTES = 512
#: us, less than a transaction is billed: nodeos bills at least so much (min_transaction_cpu_usage, config.hpp).
_TRANSACTION_US = 100
#: EOS. Beside it, the CPU of a stake of 0.0001 EOS is nothing.
_WHALE = "500000000.0000 EOS"


@dataclass
class Scene:
    """A registered producer whose signer knows two API nodes, both behind proxies."""

    chain: Chain
    member: Member
    proxies: list[ApiProxy]

    def rotate(self, *options: str) -> dict[str, Any]:
        """Move production to the other node; return what `rotations show` says in the end."""
        done = self.member.signer.run(
            "rotate", *self._target(), "--i-know", "--wait", "--json", *options, timeout_s=ROTATION_S
        )
        answer = json.loads(done.stdout)
        assert (done.returncode == 0) is (answer["state"] == _SUCCESS), done.stderr
        shown: dict[str, Any] = self.member.signer.json("rotations", "show", str(answer["id"]))
        return shown

    def _target(self) -> tuple[str, str]:
        return ("--to-node", "standby" if self.key() in self.member.signer.keys("primary") else "primary")

    def believed(self) -> list[bool]:
        """Return which of the API nodes the signer believes."""
        return [api["usable"] for api in self.member.signer.view()["apis"]]

    def key(self) -> str:
        """The key that the row names."""
        key: str = self.chain.row(_PRODUCER)["producer_key"]
        return key

    def wait_for_cpu(self, holds: Callable[[int], bool]) -> None:
        """Wait until the account's limit of CPU (us) is so: a block's stakes count from its end on.

        A rotation takes less than half a second, and found its CPU there (resource_limits.cpp,
        process_account_limit_updates).
        """

        def is_so() -> bool:
            return holds(
                self.chain.boot.call("chain/get_account", {"account_name": _PRODUCER})["cpu_limit"]["max"]
            )

        until(is_so, "the chain has applied the stake", interval_s=0.1)

    def twist(self, *twists: Callable[[str, Answer], Answer | None]) -> None:
        """Let the proxies change answers: all of them in one way, or each in its own."""
        for index, proxy in enumerate(self.proxies):
            proxy.twist = twists[index % len(twists)]
            proxy.passes = lambda _path: True

    def transactions(self, since: int) -> list[str]:
        """Return the ids of transactions by the rotation permission in blocks after `since`."""
        return [
            entry["trx"]["id"]
            for number in range(since + 1, self.chain.boot.head + 1)
            for entry in self.chain.boot.call("chain/get_block", {"block_num_or_id": number})["transactions"]
            if isinstance(entry["trx"], dict)
            for action in entry["trx"]["transaction"]["actions"]
            if {"actor": _PRODUCER, "permission": "rotate"} in action["authorization"]
        ]


@pytest.fixture(scope="module")
def made(quiet: Stage) -> Iterator[Scene]:
    """The producer, its signer and the proxies."""
    second = quiet.chain.join("second")
    with ApiProxy(quiet.chain.boot.url) as one, ApiProxy(second.url) as two:
        member = quiet.member(_PRODUCER, [one.url, two.url], patient=False)
        member.producer.register(member.signer.keys("primary")[0])
        yield Scene(quiet.chain, member, [one, two])


@pytest.fixture
def scene(made: Scene) -> Iterator[Scene]:
    """The same with honest proxies at the beginning, and believed: a node that lied is left alone for a while."""
    made.twist(_honest)
    until(lambda: all(made.believed()), "both API nodes are believed", interval_s=0.5)
    yield made
    made.twist(_honest)


def _honest(_path: str, answer: Answer) -> Answer:
    return answer


def _changed(part: str, change: Callable[[dict[str, Any]], None]) -> Callable[[str, Answer], Answer]:
    """Return a twist that changes the JSON of answers whose path contains `part`."""

    def twist(path: str, answer: Answer) -> Answer:
        if part not in path:
            return answer
        content = json.loads(answer.body)
        change(content)
        return Answer(answer.status, json.dumps(content).encode())

    return twist


def test_nothing_goes_wrong(scene: Scene) -> None:
    """The same rotation without a fault: one transaction, of the rotation permission, and the row has the key."""
    before = scene.chain.boot.head
    shown = scene.rotate()
    assert shown["state"] == _SUCCESS
    assert scene.key() == shown["to_key"]
    assert scene.transactions(before) == [shown["transaction_id"]]
    # The audit log has it with the person who asked, and knows that the control process said so.
    log = scene.member.signer.trial.folder / "state/audit/audit.jsonl"
    acts = [json.loads(line) for line in log.read_bytes().splitlines() if b'"kind":"act"' in line]
    asked = [each for each in acts if each["act"] == f"rotation-{shown['kind']}"]
    assert asked[-1]["by"] == f"control: {shown['requested_by']}"
    assert f"rotation {shown['id']} " in asked[-1]["detail"]


def test_lost_push_answers(scene: Scene) -> None:
    """The nodes take the transaction and nobody hears of it: it is sent again, and there is one in the chain."""

    def swallow(path: str, answer: Answer) -> Answer | None:
        return None if is_push(path) else answer

    before = scene.chain.boot.head
    scene.twist(swallow)
    shown = scene.rotate()
    assert shown["state"] == _SUCCESS
    assert scene.transactions(before) == [shown["transaction_id"]]
    assert [entry["event"] for entry in shown["history"]].count("signed") == 1


def test_one_api_node_of_another_chain(scene: Scene) -> None:
    """It is asked for nothing but its chain id."""
    lie = _changed("get_info", lambda info: info.update(chain_id="0" * 64))
    scene.twist(lie, _honest)
    until(lambda: not scene.believed()[0], "the liar is found out", interval_s=0.5)
    asked = len(scene.proxies[0].paths)
    shown = scene.rotate()
    assert shown["state"] == _SUCCESS
    assert {path for path in scene.proxies[0].paths[asked:] if "get_info" not in path} == set()


def test_every_api_node_of_another_chain(scene: Scene) -> None:
    """Nothing is signed for a chain that is not ours, and the reason says so."""
    before = scene.key()
    scene.twist(_changed("get_info", lambda info: info.update(chain_id="0" * 64)))
    shown = scene.rotate()
    assert shown["state"] == "refused"
    assert "chain" in shown["reason"]
    assert shown["transaction_id"] is None
    assert scene.key() == before


def test_an_api_node_that_lies_about_the_row(scene: Scene) -> None:
    """Two say different things of the row: nothing is concluded until they agree."""
    asked = 0
    old = scene.key()

    def lie(path: str, answer: Answer) -> Answer:
        nonlocal asked
        if "get_table_rows" not in path or b'"producers"' in answer.body or old.encode() in answer.body:
            return answer
        asked += 1
        if asked > 6:
            return answer
        content = json.loads(answer.body)
        for row in content["rows"]:
            row["producer_key"] = old
            row["producer_authority"][1]["keys"][0]["key"] = old
        return Answer(answer.status, json.dumps(content).encode())

    scene.twist(lie, _honest)
    shown = scene.rotate()
    assert shown["state"] == _SUCCESS
    assert asked > 6


def test_an_api_node_that_lags(scene: Scene, quiet: Stage) -> None:
    """It has the chain up to some block and no peers: it is asked last, and its old row proves nothing."""
    port = free_port()
    stranded = quiet.chain.join("stranded", port=port)
    stranded.stop()
    with Nodeos(quiet.tools, stranded.folder, quiet.chain.genesis, port=port) as lagging:
        scene.chain.boot.wait_for(lambda: scene.chain.boot.head > lagging.head + 20, "it lags")
        honest = scene.proxies[0].target
        scene.proxies[0].target = lagging.url
        try:
            shown = scene.rotate()
        finally:
            scene.proxies[0].target = honest
    assert shown["state"] == _SUCCESS
    assert scene.key() == shown["to_key"]


def test_an_api_node_that_dies_midway(scene: Scene) -> None:
    """From the moment when the transaction was sent, one node does not answer."""

    def die(path: str, answer: Answer) -> Answer | None:
        if is_push(path):
            scene.proxies[0].twist = lambda _path, _answer: None
            return None
        return answer

    scene.twist(die, _honest)
    shown = scene.rotate()
    assert shown["state"] == _SUCCESS
    assert scene.key() == shown["to_key"]


def test_no_ram_is_left(scene: Scene) -> None:
    """The row keeps its size, so a rotation needs none."""
    account = scene.chain.boot.call("chain/get_account", {"account_name": _PRODUCER})
    free = account["ram_quota"] - account["ram_usage"]
    # The first sale makes a row for the money, which costs RAM.
    for keep in (_ROW_BYTES, 0):
        account = scene.chain.boot.call("chain/get_account", {"account_name": _PRODUCER})
        sold = account["ram_quota"] - account["ram_usage"] - keep
        scene.chain.cleos.push(Action("eosio", "sellram", {"account": _PRODUCER, "bytes": sold}, _PRODUCER))
    shown = scene.rotate()
    assert shown["state"] == _SUCCESS
    scene.chain.cleos.push(
        Action("eosio", "buyrambytes", {"payer": "eosio", "receiver": _PRODUCER, "bytes": free}, "eosio")
    )


def test_no_cpu_is_left(scene: Scene) -> None:
    """It is refused before anything is signed, and says what helps; with stake it goes on."""
    chain = scene.chain
    none = {"from": "eosio", "receiver": _PRODUCER, "unstake_net_quantity": "0.0000 EOS"}
    whale = {"from": "eosio", "receiver": "whale", "stake_net_quantity": "0.0000 EOS", "transfer": False}
    chain.create_accounts("whale")
    # It keeps what is given back for three days, in a table of its own.
    ram = {"payer": "eosio", "receiver": "eosio.stake", "bytes": 8192}
    chain.cleos.push(Action("eosio", "buyrambytes", ram, "eosio"))
    chain.cleos.push(
        Action("eosio", "delegatebw", whale | {"stake_cpu_quantity": _WHALE}, "eosio"),
        Action("eosio", "undelegatebw", none | {"unstake_cpu_quantity": "99.9999 EOS"}, "eosio"),
    )
    scene.wait_for_cpu(lambda us: us < _TRANSACTION_US)
    before = scene.key()
    try:
        shown = scene.rotate()
    finally:
        some = {"from": "eosio", "receiver": _PRODUCER, "stake_net_quantity": "0.0000 EOS", "transfer": False}
        chain.cleos.push(
            Action("eosio", "delegatebw", some | {"stake_cpu_quantity": "1000000.0000 EOS"}, "eosio")
        )
    assert shown["state"] == "refused"
    assert "CPU" in shown["reason"]
    assert scene.key() == before
    scene.wait_for_cpu(lambda us: us > 100 * _TRANSACTION_US)
    assert scene.rotate()["state"] == _SUCCESS


def test_the_permission_is_taken_away_midway(scene: Scene, tools: Tools) -> None:
    """Between preflight and the push: the chain refuses for good, nothing else is tried, and the reason says so."""
    stranger = keypair.generate(tools, "k1").public
    before = scene.key()

    def take_away(path: str) -> bool:
        if is_push(path):
            scene.chain.cleos.run("set", "account", "permission", _PRODUCER, "rotate", stranger, "active")
        return True

    scene.proxies[0].passes = take_away
    # Of one node's refusal it is certain that nobody took the transaction; a silent one would have to be waited for.
    scene.proxies[1].passes = lambda _path: False
    until(lambda: not scene.believed()[1], "one node is left", interval_s=0.5)
    shown = scene.rotate()
    assert shown["state"] == "failed"
    assert "permission" in shown["reason"]
    assert scene.key() == before
    scene.twist(_honest)
    scene.chain.cleos.run(*scene.member.signer.description["permission_commands"][0])
    assert scene.rotate()["state"] == _SUCCESS


@pytest.mark.parametrize("skew", ["+90s", "-90s"])
def test_a_clock_that_is_wrong(scene: Scene, skew: str) -> None:
    """A warning; the transaction takes its times from the chain."""
    library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
    signer = scene.member.signer
    environment = {"LD_PRELOAD": library, "FAKETIME": skew, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    signer.serve_with(environment)
    try:
        shown = scene.rotate()
    finally:
        signer.serve_with({})
    assert shown["state"] == _SUCCESS
    assert any("clock" in finding["text"] for finding in shown["findings"]), shown["findings"]
    assert scene.key() == shown["to_key"]
