"""Real cleos: transactions made and signed as an operator would."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localchain.errors import LocalChainError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localchain.keosd import Keosd
    from localchain.nodeos import Nodeos
    from localchain.tools import Tools


@dataclass(frozen=True)
class Action:
    """One action, its data as JSON for the contract's ABI."""

    account: str
    name: str
    data: Mapping[str, Any]
    actor: str

    def as_json(self) -> dict[str, Any]:
        """Return it as cleos reads it in `push transaction`."""
        return {
            "account": self.account,
            "name": self.name,
            "data": self.data,
            "authorization": [{"actor": self.actor, "permission": "active"}],
        }


class Cleos:
    """cleos against one nodeos, with the keys of one keosd."""

    def __init__(self, tools: Tools, node: Nodeos, keosd: Keosd) -> None:
        self._environment = tools.environment
        self._command = [
            *(tools.program, "cleos"),
            *("--url", node.url),
            *("--wallet-url", f"unix://{keosd.socket}"),
            "--no-auto-keosd",
        ]

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run cleos. Its exit code says little: this build may crash after it has printed."""
        return subprocess.run(
            [*map(str, self._command), *map(str, arguments)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def push(self, *actions: Action) -> Any:  # noqa: ANN401 - JSON
        """Push one transaction; return nodeos' answer.

        Raises:
            LocalChainError: it was not accepted.
        """
        transaction = json.dumps({"actions": [action.as_json() for action in actions]})
        return self._pushed(self.run("push", "transaction", "--json", transaction))

    def set_contract(self, account: str, folder: Path) -> Any:  # noqa: ANN401 - JSON
        """Set code and ABI of `account` from the folder's `NAME.wasm` and `NAME.abi`."""
        name = folder.name
        return self._pushed(
            self.run("set", "contract", "--json", account, folder, f"{name}.wasm", f"{name}.abi")
        )

    @staticmethod
    def _pushed(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 - JSON
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise LocalChainError(f"cleos {done.args[6:8]}: {done.stdout}{done.stderr}") from None
        # send_transaction2 answers 202 also with the trace of a transaction that failed
        # (return_failure_trace).
        failure = answer["processed"]["except"]
        if failure is not None:
            raise LocalChainError(f"cleos {done.args[6:8]}: {json.dumps(failure, indent=1)}")
        return answer
