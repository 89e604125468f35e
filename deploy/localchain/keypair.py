"""Key pairs made by real cleos, so that no format of ours takes part."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from localchain.errors import LocalChainError

if TYPE_CHECKING:
    from localchain.tools import Tools

Curve = Literal["k1", "r1"]

_PRINTED = re.compile(r"Private key: (\S+)\s+Public key: (\S+)")


@dataclass(frozen=True)
class KeyPair:
    """A key as cleos prints it: WIF and `EOS...` for K1, `PVT_R1_...` and `PUB_R1_...` for R1."""

    public: str
    private: str = field(repr=False)

    @property
    def provider(self) -> str:
        """The value of nodeos' `signature-provider` that keeps the key in memory."""
        return f"{self.public}=KEY:{self.private}"


#: The key nodeos itself takes when no provider is configured (producer_plugin.cpp). Everyone knows it.
DEVELOPMENT = KeyPair(
    "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
    "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3",
)


def generate(tools: Tools, curve: Curve) -> KeyPair:
    """Return a new key pair from `cleos create key`."""
    command = [str(tools.program), "cleos", "create", "key", "--to-console"]
    if curve == "r1":
        command.append("--r1")
    # cleos may crash after it has printed (FACTS of this build), so its output counts, not its exit code.
    printed = subprocess.run(command, env=tools.environment, capture_output=True, text=True, check=False)
    found = _PRINTED.search(printed.stdout)
    if found is None:
        raise LocalChainError(f"cleos create key printed no key: {printed.stdout}{printed.stderr}")
    return KeyPair(public=found[2], private=found[1])
