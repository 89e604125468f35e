"""deploy/vendors: the commands for a TPM run on a TPM in software, and a signer signs with the key that they make."""

from __future__ import annotations

import hashlib
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from rig.program import Program, free_port
from rig.tpm import MODULE, Tpm
from rig.trial import REPOSITORY
from rig.wire import Address, exchange, request

from signer.admin_client import AdminClient
from signer.antelope.keys import Curve, Digest, PublicKey
from signer.antelope.recovery import recover
from signer.antelope.signature import Signature
from signer.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VENDORS: Final = REPOSITORY / "deploy" / "vendors"
_PAGE: Final = (_VENDORS / "tpm.md").read_text(encoding="utf-8")
_BIN: Final = REPOSITORY / ".venv" / "bin"
_TIMEOUT_S: Final = 120
_SIGNATURES: Final = 40


@dataclass
class Host:
    """A folder with a TPM, and what the page's commands have made there."""

    folder: Path
    tpm: Tpm
    said: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What the page lets its reader set."""
        return {"TPM2_PKCS11_TCTI": self.tpm.tcti, "TPM2_PKCS11_STORE": str(self.folder / "store")}

    def signer_hsm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run signer-hsm as the page does."""
        return subprocess.run(
            [_BIN / "signer-hsm", *arguments],
            cwd=self.folder,
            env=os.environ | self.environment | {"TPM2_PKCS11_BACKEND": "esysdb", "TSS2_LOG": "all+none"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="tpm-") as name:
        folder = Path(name)
        with Tpm(folder / "tpm") as tpm:
            tpm.forgive()
            made = Host(folder, tpm)
            done = subprocess.run(
                ["/bin/bash", "-eux"],
                input="\n".join(re.findall(r"^```sh\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)),
                cwd=folder,
                env={"PATH": f"{_BIN}:{os.environ['PATH']}"} | made.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
            assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
            made.said = done.stdout
            tpm.flush()
            yield made


def _key(host: Host) -> PublicKey:
    listed = host.signer_hsm(
        "list", "--uri", f"pkcs11:token=primary?module-path={MODULE}", "--pin-file", "primary.pin", "--json"
    )
    assert listed.returncode == 0, listed.stderr
    point = re.search(r'"public_key_hex": "([0-9a-f]+)"', listed.stdout)
    assert point is not None, listed.stdout
    host.tpm.flush()
    return PublicKey.from_ec_point(Curve.R1, bytes.fromhex(point[1]))


def test_the_commands_of_the_page_make_a_key_that_is_fit(host: Host) -> None:
    assert "fit" in host.said
    assert (host.folder / "primary.pin").stat().st_mode & 0o077 == 0


def test_k1_is_refused_in_words(host: Host) -> None:
    done = host.signer_hsm(
        *("generate", "--uri", f"pkcs11:token=primary?module-path={MODULE}", "--pin-file", "primary.pin"),
        *("--label", "k1", "--curve", "k1", "--bare-template"),
    )
    host.tpm.flush()

    assert done.returncode != 0
    assert "secp256k1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_signer_signs_with_it_and_says_how_long_it_takes(host: Host) -> None:
    """With the page's own configuration, but for the TPM's address and the store's."""
    key, port = _key(host), free_port()
    config = host.folder / "signer.toml"
    config.write_text(_config(host, key, port))
    with Program(
        [_BIN / "signer", "--config", config, "serve"],
        host.folder / "log",
        environment={"PATH": os.environ["PATH"]},
        folder=host.folder,
    ) as program:
        admin = AdminClient(host.folder / "run" / "admin.sock")
        program.wait_for(lambda: _ready(admin), "the signer is ready")
        address = Address(port=port)
        took = []
        for number in range(_SIGNATURES):
            digest = hashlib.sha256(b"%d" % number).hexdigest()
            began = time.perf_counter()
            body = f'["{digest}","{key}"]'.encode()
            reply = exchange(address, request("/v1/wallet/sign_digest", host=address.host, body=body))
            took.append((time.perf_counter() - began) * 1000)
            assert reply.status == 201, reply
            signature = Signature.parse(json.loads(reply.body))
            assert recover(Digest(bytes.fromhex(digest)), signature) == key

    print(  # noqa: T201 - the page states it
        f"\nTPM in software, R1: p50 {statistics.median(took):.1f} ms, longest {max(took):.1f} ms of {len(took)}"
    )


def _ready(admin: AdminClient) -> bool:
    try:
        return bool(admin.get("/v1/status")["ready"])
    except AdminError:
        return False


def _config(host: Host, key: PublicKey, port: int) -> str:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
    own = block.replace("/var/lib/antelope-signer/tpm", str(host.folder / "store"))
    own = own.replace("device:/dev/tpmrm0", host.tpm.tcti)
    assert own.count(str(host.folder)) == 1
    # How fast a signature is, a loaded machine does not tell.
    own = own.replace("timeout_ms = 50", "timeout_ms = 5000")
    return f"""\
state_dir = "state"

[chains.local]
id = "{"ab" * 32}"

{own}
[[listeners]]
kind = "node"
node = "primary"
tcp = "127.0.0.1:{port}"

[[listeners]]
kind = "admin"
unix = "run/admin.sock"

[[keys]]
public_key = "{key}"
role = "block"
node = "primary"
token = "primary"
label = "primary-r1-1"
"""


@pytest.mark.parametrize("page", ["tpm.md", "yubihsm2.md"])
def test_the_configuration_of_a_page_is_one(page: str) -> None:
    """The tables that it shows are known, and their values too."""
    (block,) = re.findall(r"^```toml\n(.*?)^```$", (_VENDORS / page).read_text(), re.MULTILINE | re.DOTALL)
    tables: dict[str, Any] = tomllib.loads(block)

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "signer.toml")
        key = "PUB_R1_6mqddTeKvgFL3wLJwuzZmG8AgDYtvUiw2qRLFimWa5cU56Kfcr"
        config.write_text(
            f'[chains.local]\nid = "{"ab" * 32}"\n\n{block}\n[[listeners]]\nkind = "node"\nnode = "primary"\n'
            'tcp = "127.0.0.1:8900"\n[[listeners]]\nkind = "admin"\nunix = "a.sock"\n'
            f'[[keys]]\npublic_key = "{key}"\nrole = "block"\nnode = "primary"\ntoken = "primary"\nlabel = "k"\n'
        )
        done = subprocess.run(
            [_BIN / "signer", "--config", config, "check-config"], capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, done.stderr
    assert set(tables) == {"tokens", "nodes"}


def test_every_page_is_named_by_the_table() -> None:
    table = (_VENDORS / "README.md").read_text(encoding="utf-8")

    assert {path.name for path in _VENDORS.iterdir()} == {"README.md", "tpm.md", "yubihsm2.md"}
    assert set(re.findall(r"`deploy/vendors/(\S+\.md)`", table)) == {"tpm.md", "yubihsm2.md"}
