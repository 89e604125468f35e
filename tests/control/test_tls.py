"""The laws of TLS on a control listener: a key that nobody else reads, our own names, nothing older than 1.2."""

from __future__ import annotations

import socket
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
from signer.control_client import ControlClient, read_token
from signer.errors import ConfigError, ControlUnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rig.control_server import ControlSite


def config(port: int, more: str = "") -> str:
    """Return a configuration whose one control listener is on every address, with TLS."""
    return f"""\
state_dir = "state"
[chains.eos]
id = "{"aa" * 32}"
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
tcp = "0.0.0.0:{port}"
tls_certificate = "own.pem"
tls_key = "own.key"
{more}
[[keys]]
public_key = "{KEY_A}"
role = "block"
node = "a"
token = "primary"
label = "a-1"
[limits]
request_timeout_ms = 300
"""


@pytest.fixture
def port() -> int:
    """Return a port that is free."""
    return free_port()


@pytest.fixture
def site(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlSite]:
    """Yield a control process that is called by a name."""
    monkeypatch.setattr("signer.signing.server._DRAIN_S", 0.01)  # clients keep their connections
    certify(tmp_path, "own")
    with control_site(tmp_path, config(port, f'names = ["{NAME}"]')) as given:
        yield given


def client(site: ControlSite, toml: str | None = None) -> ControlClient:
    """Return the client of the site's configuration, or of another one."""
    path = site.folder / "signer.toml"
    if toml is not None:
        path = site.folder / "other.toml"
        path.write_text(toml, encoding="utf-8")
    return ControlClient.of(config_file.load(path), path, None)


def test_the_command_line_speaks_tls(site: ControlSite, port: int) -> None:
    """By the configured name, and by the address where there is none; more than once on one connection."""
    for toml in (None, config(port)):
        with client(site, toml) as given:
            for _ in range(2):
                assert given.get("/v1/whoami")["name"] == "alice"


def test_another_certificate_is_not_believed(site: ControlSite, port: int) -> None:
    """Also one with our names: the token is not sent."""
    certify(site.folder, "other")
    toml = config(port).replace("own.", "other.")
    with client(site, toml) as given, pytest.raises(ControlUnreachableError, match="is not whom") as caught:
        given.get("/v1/whoami")
    assert not caught.value.sent
    with (
        client(site, config(port, 'names = ["else.example"]')) as given,
        pytest.raises(ControlUnreachableError),
    ):
        given.get("/v1/whoami")


def test_only_our_names_are_served(site: ControlSite, port: int) -> None:
    """As without TLS: a page that was rebound sends its own."""
    trust = ssl.create_default_context(cafile=site.folder / "own.pem")
    token = read_token(site.folder / "signer.toml", None)
    with httpx.Client(verify=trust, base_url=f"https://127.0.0.1:{port}") as http:
        for host, status in ((NAME, 200), (f"{NAME}:{port}", 200), ("evil.example", 421), (f"x.{NAME}", 421)):
            headers = {"host": host, "authorization": f"Bearer {token}"}
            assert http.get("/v1/whoami", headers=headers).status_code == status, host


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")  # which is why it must be refused
def test_only_new_tls_is_spoken(site: ControlSite, port: int) -> None:
    """1.3 and 1.2 with forward secrecy; older ones and plain HTTP get nothing."""
    for version, works in (
        (ssl.TLSVersion.TLSv1_3, True),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_1, False),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(site.folder / "own.pem")
        context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that refuses
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            if not works:
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(plain, server_hostname=NAME)
                continue
            with context.wrap_socket(plain, server_hostname=NAME) as secured:
                assert secured.cipher()[0].startswith(("TLS_", "ECDHE-"))  # type: ignore[index]
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{port}/v1/health/live")


def test_who_does_not_speak_is_closed(site: ControlSite, port: int) -> None:
    """Before the handshake and after it, in the listener's time."""
    with socket.create_connection(("127.0.0.1", port), 10) as silent:
        assert silent.recv(1) == b""
    trust = ssl.create_default_context(cafile=site.folder / "own.pem")
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        trust.wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=True) as secured,
    ):
        secured.sendall(b"GET /v1/health/live HTTP/1.1\r\n")
        assert secured.recv(1) == b""


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("open", "mode 0644"),
        ("absent", "No such file"),
        ("password", "cannot be used"),
        ("another", "cannot be used"),
        ("nonsense", "cannot be used"),
    ],
)
def test_a_key_that_cannot_be_used_is_told(damage: str, words: str, tmp_path: Path) -> None:
    """Without a question on the terminal, and without a word of the key."""
    certify(tmp_path, "own", password=b"hush" if damage == "password" else None)
    key = tmp_path / "own.key"
    if damage == "open":
        key.chmod(0o644)
    elif damage == "absent":
        key.unlink()
    elif damage == "another":
        certify(tmp_path, "other")
        key.write_bytes((tmp_path / "other.key").read_bytes())
    elif damage == "nonsense":
        key.write_bytes(b"hush")
    listener = Listener(
        kind="control",
        tcp=TcpAddress("127.0.0.1", 1),
        tls_certificate=tmp_path / "own.pem",
        tls_key=key,
    )
    with pytest.raises(ConfigError, match=words) as caught:
        tls.context(listener)
    assert "hush" not in str(caught.value)
