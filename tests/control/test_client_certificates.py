"""The laws of client certificates: no byte of HTTP without one that is vouched for, and a token all the same."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from rig.certificate import NAME, certify
from rig.control_server import control_site
from rig.fake_rotations import KEY_A
from rig.program import free_port

from signer import config_file
from signer.config import Listener, TcpAddress
from signer.control import tls
from signer.control_client import CLIENT_CERTIFICATE, ControlClient
from signer.errors import ConfigError, ControlRefusedError, ControlUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig.control_server import ControlSite

_CONFIG = """\
state_dir = "state"
[chains.eos]
id = "{chain}"
[tokens.primary]
uri = "pkcs11:token=primary?module-path=/usr/lib/softhsm/libsofthsm2.so"
pin_file = "primary.pin"
[nodes.a]
chain = "eos"
[[listeners]]
kind = "node"
node = "a"
unix = "a.sock"
[[listeners]]
kind = "admin"
unix = "admin.sock"
[[listeners]]
kind = "control"
tcp = "127.0.0.1:{port}"
tls_certificate = "own.pem"
tls_key = "own.key"
tls_client_ca = "authority.pem"
names = ["{name}"]
[[keys]]
public_key = "{key}"
role = "block"
node = "a"
token = "primary"
label = "a-1"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlSite]:
    """Yield a control process that believes who has a certificate of `authority`."""
    monkeypatch.setattr("signer.signing.server._DRAIN_S", 0.01)  # clients keep their connections
    monkeypatch.delenv(CLIENT_CERTIFICATE, raising=False)
    for stem in ("own", "authority", "stranger"):
        certify(tmp_path, stem)
    _person(tmp_path, "alice", issuer="authority")
    _person(tmp_path, "mallory", issuer="stranger")
    _person(tmp_path, "late", issuer="authority", days=-1)
    text = _CONFIG.format(chain="aa" * 32, port=free_port(), name=NAME, key=KEY_A)
    with control_site(tmp_path, text) as given:
        yield given


def _person(folder: Path, stem: str, *, issuer: str, days: int = 1) -> None:
    """Write STEM-both.pem: certificate and key, as the command line takes them."""
    certify(folder, stem, issuer=issuer, days=days)
    path = folder / f"{stem}-both.pem"
    path.touch(0o600)
    path.write_bytes((folder / f"{stem}.pem").read_bytes() + (folder / f"{stem}.key").read_bytes())


def _client(site: ControlSite) -> ControlClient:
    path = site.folder / "signer.toml"
    return ControlClient.of(config_file.load(path), path, None)


def test_the_command_line_presents_its_certificate(
    site: ControlSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that the environment names, else the one beside the configuration."""
    (site.folder / "control-client.pem").write_bytes((site.folder / "alice-both.pem").read_bytes())
    (site.folder / "control-client.pem").chmod(0o600)
    with _client(site) as client:
        assert client.get("/v1/whoami")["name"] == "alice"
    (site.folder / "control-client.pem").unlink()
    monkeypatch.setenv(CLIENT_CERTIFICATE, str(site.folder / "alice-both.pem"))
    with _client(site) as client:
        assert client.get("/v1/whoami")["name"] == "alice"


@pytest.mark.parametrize("who", ["mallory", "late"])
def test_a_certificate_that_nobody_vouches_for_is_not_taken(
    who: str, site: ControlSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another authority, or expired: the message says which end to look at."""
    monkeypatch.setenv(CLIENT_CERTIFICATE, str(site.folder / f"{who}-both.pem"))
    with _client(site) as client, pytest.raises(ControlUnreachableError, match="vouch for our certificate"):
        client.get("/v1/whoami")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_without_a_certificate_nothing_is_served(site: ControlSite, version: ssl.TLSVersion) -> None:
    """Not even health, in either version of TLS."""
    context = ssl.create_default_context(cafile=site.folder / "own.pem")
    context.minimum_version = context.maximum_version = version
    url = f"https://127.0.0.1:{config_file.load(site.folder / 'signer.toml').listeners[2].tcp.port}"  # type: ignore[union-attr]
    with httpx.Client(verify=context, base_url=url) as http, pytest.raises(httpx.TransportError):
        http.get("/v1/health/live")
    context.load_cert_chain(site.folder / "alice-both.pem")
    with httpx.Client(verify=context, base_url=url) as http:
        assert http.get("/v1/health/live").status_code == 200


def test_a_certificate_is_no_token(site: ControlSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may connect still has to say who asks."""
    monkeypatch.setenv(CLIENT_CERTIFICATE, str(site.folder / "alice-both.pem"))
    site.tokens.revoke("alice", site.clock.now)
    with _client(site) as client, pytest.raises(ControlRefusedError) as caught:
        client.get("/v1/whoami")
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("absent", "asks for a client certificate"),
        ("open", "mode 0644"),
        ("nonsense", "client certificate: "),
        ("password", "client certificate: "),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told(
    damage: str, words: str, site: ControlSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a question on the terminal, and without a word of the file."""
    path = site.folder / "alice-both.pem"
    monkeypatch.setenv(CLIENT_CERTIFICATE, str(path))
    if damage == "absent":
        path.unlink()
    elif damage == "open":
        path.chmod(0o644)
    elif damage == "nonsense":
        path.write_bytes(b"hush")
    else:
        certify(site.folder, "locked", password=b"hush", issuer="authority")
        path.write_bytes(
            (site.folder / "locked.pem").read_bytes() + (site.folder / "locked.key").read_bytes()
        )
    with pytest.raises(ConfigError, match=words) as caught:
        _client(site)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"hush"])
def test_authorities_that_cannot_be_used_are_told(content: bytes | None, tmp_path: Path) -> None:
    """A listener that would believe nobody, or everybody, is not opened."""
    certify(tmp_path, "own")
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    listener = Listener(
        kind="control",
        tcp=TcpAddress("127.0.0.1", 1),
        tls_certificate=tmp_path / "own.pem",
        tls_key=tmp_path / "own.key",
        tls_client_ca=path,
    )
    with pytest.raises(ConfigError, match="tls_client_ca") as caught:
        tls.context(listener)
    assert "hush" not in str(caught.value)
