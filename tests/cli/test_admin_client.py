"""The client of the admin socket: an answer, a refusal, or nobody there. Never anything else."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from signer.admin_client import AdminClient
from signer.errors import AdminRefusedError, AdminUnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from rig.command_line import Answers


def test_an_object_is_returned(site: Path, answers: Answers) -> None:
    """A 2xx with a JSON object is the answer."""
    answers.json("/v1/status", {"state": "serving"})
    answers.json("/v1/freeze", {"done": True})
    client = AdminClient(site / "admin.sock")

    assert client.get("/v1/status") == {"state": "serving"}
    assert client.post("/v1/freeze", {"scope": "all"}) == {"done": True}
    assert answers.asked == [("GET", "/v1/status", None), ("POST", "/v1/freeze", {"scope": "all"})]


def test_a_refusal_has_its_code_and_remedy(site: Path, answers: Answers) -> None:
    """An error object becomes a refusal."""
    answers.json("/v1/reload", {"error": {"code": "refused", "message": "no", "remedy": "say yes"}}, 409)

    with pytest.raises(AdminRefusedError, match="no; say yes") as caught:
        AdminClient(site / "admin.sock").post("/v1/reload")

    assert (caught.value.status, caught.value.code, caught.value.remedy) == (409, "refused", "say yes")


def test_no_socket_is_a_signer_that_does_not_run(tmp_path: Path) -> None:
    """An absent socket and one that nobody listens on are the same."""
    client = AdminClient(tmp_path / "admin.sock")
    with pytest.raises(AdminUnreachableError, match="not running") as caught:
        client.get("/v1/status")
    assert not caught.value.running
    assert not client.listening()

    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(AdminUnreachableError, match="not running") as caught:
        client.get("/v1/status")
    assert not caught.value.running
    assert not client.listening()


def test_silence_ends_after_the_timeout(site: Path, answers: Answers) -> None:
    """A signer that hangs is running, and out of reach."""
    client = AdminClient(site / "admin.sock", timeout_s=0.1)

    with pytest.raises(AdminUnreachableError, match=r"within 0\.1 s") as caught:
        client.get("/v1/status")

    assert caught.value.running


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\xff\xfe",
        b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"[" * 90000,
        b"HTTP/1.1 502 X\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 404 X\r\nContent-Length: 12\r\n\r\n{"error": 1}',
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n{}",
    ],
)
def test_nonsense_is_told_as_such(answer: bytes, site: Path, answers: Answers) -> None:
    """Whatever the other side sends, the caller sees one exception."""
    answers.by_path["/v1/status"] = answer

    with pytest.raises(AdminUnreachableError, match=r"admin\.sock") as caught:
        AdminClient(site / "admin.sock").get("/v1/status")

    assert caught.value.running
