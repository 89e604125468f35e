"""A reload loses no request, and one that would lose a key in use changes nothing."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from rig.program import free_port
from rig.site import Load
from rig.wire import Address

from signer.errors import AdminRefusedError

if TYPE_CHECKING:
    from rig.site import Site

_EVERYONE = (
    ("r1-1", "primary", "tcp"),
    ("k1-1", "primary", "unix"),
    ("r1-1", "standby", "unix"),
    ("k1-1", "standby", "tcp"),
)


def reload(site: Site) -> int:
    """Write the configuration and reload; return the new generation."""
    site.write()
    generation: int = site.admin.post("/v1/reload")["generation"]
    return generation


def refused_reload(site: Site) -> str:
    """Write the configuration and reload; return why it was refused."""
    site.write()
    with pytest.raises(AdminRefusedError) as refused:
        site.admin.post("/v1/reload")
    assert refused.value.status == 409
    return str(refused.value)


def test_a_reload_loses_no_request(site: Site) -> None:
    site.start()
    before = site.status()["signing_pid"]
    with Load(site, *_EVERYONE) as load:
        for generation in (2, 3):
            assert reload(site) == generation
            load.wait_for_more()
    assert load.failed == []
    after = site.status()
    assert (after["generation"], after["signing_pid"] != before) == (3, True)
    # And none is missing in the book: the processes that ended told of their last ones too.
    site.wait(
        lambda status: sum(key["signatures"] for key in status["keys"]) == load.signed, "all are counted"
    )


def test_the_old_process_and_its_lanes_end_after_a_reload(site: Site) -> None:
    """And the audit log does not say that it was killed and may have lost something."""
    site.start()
    old = {process.name for process in site.processes()} - {str(site.status()["pid"])}
    reload(site)
    site.wait(lambda _: not old & {process.name for process in site.processes()}, "the old lanes end")
    site.sign("k1-1")
    assert site.stop() == 0
    assert [entry["act"] for entry in site.audit() if entry["kind"] == "act"] == ["start", "reload", "stop"]


def test_the_unix_socket_stays_what_it_is_over_a_reload(site: Site) -> None:
    """A nodeos that connects in that instant finds the same file."""
    site.start()
    path = site.folder / "run/primary/sign.sock"
    before = path.stat()
    reload(site)
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)


def test_a_reload_into_an_invalid_configuration_changes_nothing(site: Site) -> None:
    site.start()
    pid = site.status()["signing_pid"]
    with Load(site, *_EVERYONE) as load:
        site.tables = ["[lanes]", "hedge_after_ms = -1"]
        assert "lanes.hedge_after_ms" in refused_reload(site)
        load.wait_for_more()
    assert load.failed == []
    assert (site.status()["signing_pid"], site.status()["generation"]) == (pid, 1)


def test_a_reload_that_would_lose_a_key_that_signed_is_refused(site: Site) -> None:
    site.start()
    site.sign("r1-2")
    pid = site.status()["signing_pid"]
    lost = site.key("r1-2")
    with Load(site, *_EVERYONE) as load:
        site.keys = [key for key in site.keys if key.public_key != lost]
        reason = refused_reload(site)
        load.wait_for_more()
    assert load.failed == []
    assert lost in reason
    assert "signed in the last hour" in reason
    assert "not in the new configuration" in reason
    assert site.status()["signing_pid"] == pid
    assert site.ask(lost).status == 201


def test_a_reload_that_would_quarantine_a_key_that_signed_is_refused(site: Site) -> None:
    site.start()
    site.sign("k1-1")
    site.shim("primary").tell("deterministic")
    reason = refused_reload(site)
    assert site.key("k1-1") in reason
    assert "deterministic" in reason
    site.sign("k1-1")


def test_a_key_that_did_not_sign_may_go(site: Site) -> None:
    site.start()
    site.sign("r1-1")
    gone = site.key("r1-2")
    site.keys = [key for key in site.keys if key.public_key != gone]
    assert reload(site) == 2
    assert site.ask(gone).status == 500
    site.sign("r1-1")


def test_listeners_come_and_go_with_a_reload(site: Site) -> None:
    site.start()
    port = free_port()
    path = site.folder / "run/more/sign.sock"
    site.listeners = ["[[listeners]]", 'kind = "node"', 'node = "primary"', f'tcp = "127.0.0.1:{port}"']
    site.listeners += ["[[listeners]]", 'kind = "node"', 'node = "standby"', 'unix = "run/more/sign.sock"']
    reload(site)
    for address in (Address(port=port), Address(unix=path)):
        address.connect().close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o660, 0o750)
    site.listeners = []
    reload(site)
    assert not path.exists()
    assert refuses(Address(port=port))
    site.sign("r1-1")


def refuses(address: Address) -> bool:
    """Whether nobody listens."""
    try:
        address.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_listener_that_cannot_be_bound_changes_nothing(site: Site) -> None:
    site.start()
    port = free_port()
    path = site.folder / "run/more/sign.sock"
    site.listeners = ["[[listeners]]", 'kind = "node"', 'node = "primary"', 'unix = "run/more/sign.sock"']
    site.listeners += ["[[listeners]]", 'kind = "node"', 'node = "primary"', f'tcp = "127.0.0.1:{port}"']
    with socket.create_server(("127.0.0.1", port)):
        assert f"127.0.0.1:{port}" in refused_reload(site)
    assert not path.exists()
    site.sign("r1-1")


def test_the_admin_socket_does_not_move(site: Site) -> None:
    """It would be bound and served by nobody, and the old one would be gone."""
    site.start()
    site.write()
    text = site.config.read_text().replace("run/admin/admin.sock", "run/elsewhere/admin.sock")
    site.config.write_text(text)
    with pytest.raises(AdminRefusedError, match="admin socket cannot change"):
        site.admin.post("/v1/reload")
    assert site.status()["state"] == "serving"


def test_a_reload_by_signal_is_a_reload(site: Site) -> None:
    program = site.start().program
    assert program is not None
    program.send(signal.SIGHUP)
    site.wait(lambda status: status["generation"] == 2, "the second generation serves")
    site.tables = ["[nonsense]"]
    site.write()
    program.send(signal.SIGHUP)
    site.wait(
        lambda _: site.events("reload refused; the old configuration serves on"), "the refusal is logged"
    )
    site.sign("r1-1")


def test_a_signing_process_that_is_killed_is_replaced_and_the_next_request_is_served(site: Site) -> None:
    site.start()
    for _ in range(2):
        pid = site.status()["signing_pid"]
        os.kill(pid, signal.SIGKILL)
        # The supervisor holds the sockets: this waits in their queue for the new process.
        signature = site.sign("k1-1", via="tcp")
        assert signature
        assert site.wait(lambda status: status["ready"], "it serves")["signing_pid"] != pid


def test_two_signers_do_not_share_a_state_folder(site: Site) -> None:
    first = site.start().program
    second = site.launch()
    with pytest.raises(AssertionError, match="another signer runs on it"):
        second.wait_for(lambda: None, "it never serves")
    site.program = first
    site.sign("r1-1")


def test_a_stop_answers_what_was_accepted(site: Site) -> None:
    site.start()
    load = Load(site, ("r1-1", "primary", "unix"), ("k1-1", "primary", "tcp"))
    with load:
        site.admin.post("/v1/stop")
        program = site.program
        assert program is not None
        assert program.stop() == 0
    # Others found no listener, or waited in the kernel for a process that did not come any more: closed, with
    # no answer (0). Nobody got an answer that is no signature.
    gone = ("ConnectionRefusedError", "FileNotFoundError", "ConnectionResetError", ": 0 b''")
    assert [failure for failure in load.failed if not any(kind in failure for kind in gone)] == []
