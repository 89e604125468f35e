"""What the doctor's eyes see: files, an audit log, API nodes, tokens. Each on the real thing."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from rig.hsm_home import SOFTHSM
from rig.program import free_port
from rig.two_nodes import config

from signer.admin_client import AdminClient
from signer.config import Listener, TcpAddress
from signer.doctor.examination import Examination, Wanted
from signer.doctor.facts import Site
from signer.doctor.look import audit, control, files, heads, tokens
from signer.signing.audit import Act, Chain

if TYPE_CHECKING:
    from pathlib import Path


def _log(path: Path, count: int) -> list[bytes]:
    chain = Chain()
    lines = [
        chain.seal(Act("2026-01-02T03:04:05.000000Z", "start", "uid 0", f"number {n}")) for n in range(count)
    ]
    path.write_bytes(b"".join(lines))
    return lines


def test_the_end_of_an_audit_log_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    lines = _log(path, 5)
    assert audit.audit(path).lines == 5

    path.write_bytes(b"".join([lines[0], lines[2]]))
    assert "does not follow" in audit.audit(path).fault
    path.write_bytes(b"".join([lines[0], lines[1].replace(b"number 1", b"number 7"), lines[2]]))
    assert "does not follow" in audit.audit(path).fault
    path.write_bytes(lines[0] + b"nonsense\n" + lines[1])
    assert "line 2 from the end" in audit.audit(path).fault.replace("-", "")
    path.write_bytes(lines[0][20:] + lines[1] + lines[2][:9])
    assert audit.audit(path).lines == 1  # the halves at both ends are no fault


def test_an_audit_log_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl.foreign-2").touch()

    found = audit.audit(tmp_path / "audit.jsonl")

    assert "No such file" in found.problem
    assert found.aside == ("audit.jsonl.foreign-2",)


def test_files_are_seen_as_they_are(tmp_path: Path) -> None:
    plain = tmp_path / "pin"
    plain.touch(0o640)
    (tmp_path / "link").symlink_to(plain)
    tmp_path.chmod(0o751)

    assert (files.file(plain).kind, files.file(plain).mode) == ("file", 0o640)
    assert files.file(plain).folder_mode == 0o751
    assert files.file(tmp_path / "link").kind == "symbolic link"
    assert files.file(tmp_path / "none").problem == "No such file or directory"


@pytest.mark.parametrize("listening", [True, False])
def test_whether_somebody_listens(listening: bool, tmp_path: Path) -> None:  # noqa: FBT001
    unix, tcp = socket.socket(socket.AF_UNIX), socket.socket()
    with unix, tcp:
        unix.bind(str(tmp_path / "s"))
        tcp.bind(("127.0.0.1", 0))
        if listening:
            unix.listen()
            tcp.listen()
        wanted = [
            Listener.model_construct(kind="node", unix=tmp_path / "s", tcp=None),
            Listener.model_construct(
                kind="node", unix=None, tcp=TcpAddress("127.0.0.1", tcp.getsockname()[1])
            ),
        ]
        found = files.listeners(wanted)

    assert [fact.listens for fact in found] == [listening, listening]
    assert found[0].file is not None
    assert found[0].file.kind == "socket"


def test_an_api_that_does_not_answer_says_why() -> None:
    dead = f"http://127.0.0.1:{free_port()}"

    found = heads.heads({dead: 1.0})

    assert "get_info" in found[dead].problem
    assert dead not in found[dead].problem
    assert heads.heads({}) == {}


def test_a_module_that_crashes_or_is_none_is_a_line() -> None:
    """It is loaded in a process of its own."""
    settings = config()
    strange = settings.tokens["block"].model_copy(update={"uri": "pkcs11:token=block?module-path=/bin/sh"})
    absent = settings.tokens["control"].model_copy(
        update={"uri": f"pkcs11:token=nobody?module-path={SOFTHSM}"}
    )
    made = settings.model_copy(update={"tokens": {"block": strange, "control": absent}})

    found = tokens.tokens(made, ["block", "control"], None)

    assert "cannot be loaded" in found["block"].problem
    assert found["control"].problem


def test_nobody_is_asked_where_there_is_no_control_process(tmp_path: Path) -> None:
    """Its sockets take connections all the same, and nobody would answer for half a minute."""
    found = control.told(config(), tmp_path, None, ["eos"], down="it does not run")
    assert found.answers == {}
    assert set(found.problems) == {control.NODES, control.RINGS, control.permission("eos")}
    assert set(found.problems.values()) == {"it does not run"}


@pytest.mark.parametrize(("own", "faults"), [(True, 0), (False, 1)])
def test_a_state_folder_of_somebody_else(own: bool, faults: int, tmp_path: Path) -> None:  # noqa: FBT001
    """Root that ran something there, for example. The PIN files are not what is to be given away."""
    uid = tmp_path.stat().st_uid if own else 4321
    seen = Examination(
        tmp_path / "signer.toml",
        config().model_copy(update={"state_dir": tmp_path}),
        AdminClient(tmp_path / "admin.sock"),
        Wanted(),
    )
    found = list(seen._state_folder(Site(uid, "signer", production=False)))  # noqa: SLF001 - the part that looks
    assert len(found) == faults
    assert all(f"chown -R signer: {tmp_path}" in each.remedy for each in found)
