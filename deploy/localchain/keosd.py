"""Real keosd, with a wallet, on a unix socket and on TCP at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from localchain.condition import HANG_S
from localchain.errors import LocalChainError
from localchain.program import Program, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from localchain.keypair import KeyPair
    from localchain.tools import Tools

#: Seconds until keosd locks its wallets: longer than any test or demo.
_UNLOCK_TIMEOUT_S = 1_000_000


class Keosd(Program):
    """keosd with one unlocked wallet, `default`.

    Args:
        folder: its data, config and wallet folder; made if need be. Keep its path below about 90 characters:
            a unix socket's path has 107 (unix(7)).
    """

    def __init__(self, tools: Tools, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.socket = folder / "keosd.sock"
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            [
                *(tools.program, "keosd"),
                *("--data-dir", folder),
                *("--config-dir", folder),
                *("--wallet-dir", folder),
                *("--unix-socket-path", self.socket),
                *("--http-server-address", f"127.0.0.1:{self.port}"),
                *("--unlock-timeout", str(_UNLOCK_TIMEOUT_S)),
            ],
            folder / "keosd.log",
            environment=tools.environment,
            folder=folder,
        )
        self.name = "keosd"
        # It keeps no connection: nobody closes it.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=HANG_S, limits=limits)
        self.wait_until_up(self._listens, "keosd answers")
        self.password: str = self.call("create", "default")

    def _listens(self) -> bool:
        try:
            return self._http.get("/v1/wallet/list_wallets").is_success
        except httpx.TransportError:
            return False

    def call(self, endpoint: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """POST to /v1/wallet/`endpoint` and return the JSON answer; fail on any error."""
        answer = self._http.post(f"/v1/wallet/{endpoint}", json=body)
        if not answer.is_success:
            raise LocalChainError(f"keosd {endpoint}: {answer.status_code} {answer.text}")
        return answer.json()

    def add(self, *keys: KeyPair) -> None:
        """Import keys into the wallet."""
        for key in keys:
            self.call("import_key", ["default", key.private])

    def provider(self, public_key: str) -> str:
        """The value of nodeos' `signature-provider` that asks this keosd.

        TCP only: with a URL path on a unix socket this nodeos spins for ever (http_client.cpp, get_unix_url),
        and without one it posts to `/`, which keosd does not serve.
        """
        return f"{public_key}=KEOSD:{self.url}/v1/wallet/sign_digest"
