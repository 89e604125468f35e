"""Who may use a unix socket: the kernel says so first, the signer second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rig.wire import request

if TYPE_CHECKING:
    from pathlib import Path

    from rig.site import Site

#: nobody, on Debian.
_OTHER_UID = 65534

#: Sends what is on its standard input, prints what comes back.
_CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    connection.sendall(sys.stdin.buffer.read())
    while data := connection.recv(65536):
        sys.stdout.buffer.write(data)
"""


def as_other_user(path: Path, content: bytes) -> subprocess.CompletedProcess[bytes]:
    """Send `content` to a socket as another user of this machine."""
    python = os.path.realpath(sys.executable)
    return subprocess.run(
        [
            *("setpriv", f"--reuid={_OTHER_UID}", f"--regid={_OTHER_UID}", "--clear-groups"),
            *(python, "-I", "-S", "-c", _CLIENT, path),
        ],
        input=content,
        capture_output=True,
        timeout=30,
        check=False,
        cwd="/",
    )


def open_to_all(site: Site, path: Path) -> None:
    """Take the kernel's part away: everyone may walk to the socket and write to it."""
    folder = path.parent
    while folder != site.folder.parent:
        folder.chmod(0o755)
        folder = folder.parent
    path.chmod(0o666)


def sign_request(site: Site, path: Path) -> bytes:
    """A request that the socket's owner would be answered."""
    body = json.dumps(["ab" * 32, site.key("r1-1")]).encode()
    return request("/", host=str(path), body=body)


@pytest.fixture
def path(site: Site) -> Path:
    """The socket of node primary, whose signer runs."""
    assert os.geteuid() == 0, "only root can be another user: run the tests as root"
    site.start()
    return site.folder / "run/primary/sign.sock"


def test_the_kernel_refuses_another_user(site: Site, path: Path) -> None:
    site.folder.chmod(0o755)
    (site.folder / "run").chmod(0o755)
    done = as_other_user(path, sign_request(site, path))
    assert done.returncode != 0
    assert b"PermissionError" in done.stderr
    assert path.parent.stat().st_mode & 0o777 == 0o750
    assert path.stat().st_mode & 0o777 == 0o660


def test_the_signer_refuses_another_user_whom_the_kernel_lets_in(site: Site, path: Path) -> None:
    open_to_all(site, path)
    for target in ("/", "/v1/wallet/sign_digest", "/v1/wallet/get_public_keys", "/v1/wallet/nonsense"):
        content = sign_request(site, path).replace(b"POST / ", f"POST {target} ".encode())
        done = as_other_user(path, content)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert b" 500 " in head.splitlines()[0]
        error = json.loads(body)["error"]
        assert (error["code"], error["name"]) == (3990003, "signer_peer_exception")
        assert f"uid {_OTHER_UID}" in error["details"][0]["message"]
    assert all(key["signatures"] == 0 for key in site.status()["keys"])


def test_a_user_whom_the_configuration_names_is_served(site: Site) -> None:
    site.write()
    text = site.text().replace(
        'unix = "run/primary/sign.sock"', f'unix = "run/primary/sign.sock"\npeers = [{_OTHER_UID}]'
    )
    site.text = lambda: text  # type: ignore[method-assign]
    site.start()
    path = site.folder / "run/primary/sign.sock"
    open_to_all(site, path)
    done = as_other_user(path, sign_request(site, path))
    assert b" 201 " in done.stdout.splitlines()[0]
    # And nobody else: peers replace the default.
    assert site.refusal("r1-1")[0] == "signer_peer_exception"


def test_the_admin_socket_refuses_another_user(site: Site, path: Path) -> None:
    admin = site.folder / "run/admin/admin.sock"
    open_to_all(site, admin)
    for method, target in (("GET", "/v1/status"), ("POST", "/v1/freeze"), ("POST", "/v1/stop")):
        done = as_other_user(admin, request(target, host="localhost", method=method, body=b"{}"))
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert b" 403 " in head.splitlines()[0]
        assert json.loads(body)["error"]["code"] == "peer"
    assert site.status()["frozen"] == []
    site.sign("r1-1")
