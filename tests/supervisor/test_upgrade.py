"""An upgrade replaces every process' code, keeps the process id and every promise, and loses no request.

CHAOS_LONG=1: ten in a row. tests/chaos/test_while_producing.py has them while a real nodeos produces.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rig.condition import until
from rig.family import content
from rig.site import CONTROL, Load

from hsm import beginning
from signer.commands.exit_code import ExitCode
from signer.errors import AdminError, AdminRefusedError, ConfigError
from signer.supervisor import estate

if TYPE_CHECKING:
    from rig.site import Site

_UPGRADES = 10 if os.environ.get("CHAOS_LONG") else 2
_EVERYONE = (
    ("r1-1", "primary", "tcp"),
    ("k1-1", "primary", "unix"),
    ("r1-1", "standby", "unix"),
    ("k1-1", "standby", "tcp"),
)


def upgrade(site: Site) -> str:
    """`signer upgrade`, as a person runs it; return what it says."""
    done = site.command("upgrade")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{site.log[-4000:]}"
    return done.stdout


def refused_upgrade(site: Site) -> str:
    """The same where it is refused; return why."""
    done = site.command("upgrade")
    assert done.returncode == ExitCode.FAILED, f"{done.stdout}{done.stderr}"
    return done.stderr


def zombies(site: Site) -> list[str]:
    """Return the processes that ended and were not reaped."""
    return [
        each.name
        for each in site.processes()
        if content(each, "stat").rpartition(b")")[2].split()[:1] == [b"Z"]
    ]


def test_an_upgrade_loses_no_request_and_keeps_the_process_id(site: Site) -> None:
    """Its sockets too: a nodeos that connects in that instant finds the same file."""
    site.start()
    before = site.status()
    path = site.folder / "run/primary/sign.sock"
    inode = path.stat().st_ino
    with Load(site, *_EVERYONE) as load:
        for _ in range(_UPGRADES):
            upgrade(site)
            load.wait_for_more()
    print(f"{load.signed} requests over {_UPGRADES} upgrades, {len(load.failed)} failed")  # noqa: T201 - the figure
    assert load.failed == []
    after = site.status()
    assert after["pid"] == before["pid"]
    assert after["signing_pid"] != before["signing_pid"]
    assert (after["generation"], after["upgrade"]["attempt"], after["ready"]) == (
        1 + _UPGRADES,
        _UPGRADES,
        True,
    )
    assert (after["problems"], path.stat().st_ino) == ([], inode)
    assert zombies(site) == []
    # And the book has one line for each, from one writer at a time: nothing is missing and nothing is there twice.
    log = site.state / "audit" / "audit.jsonl"
    until(
        lambda: log.read_bytes().count(b'"verdict":"signed"') == load.signed, "each signature is in the log"
    )
    assert site.command("audit", "verify", str(log)).returncode == 0
    processes = list(site.processes())
    assert site.stop() == 0
    assert [process for process in processes if process.exists()] == []


def test_the_next_image_and_its_processes_know_when_nodeos_asks(site: Site) -> None:
    """All of them load their modules, and do not while it does."""
    site.start()
    with Load(site, ("r1-1", "primary", "tcp"), first=5, pause_s=0.2):
        upgrade(site)
        status = site.status()
        for pid in (status["pid"], status["signing_pid"]):
            assert f"{beginning.VARIABLE}=".encode() in content(Path(f"/proc/{pid}"), "environ")


def test_what_is_on_disk_takes_over(site: Site) -> None:
    code = site.copy_code()
    site.start()
    (code / "signer/__init__.py").write_text('"""Another version."""\n\n__version__ = "99.0"\n')
    assert "upgraded to version 99.0" in upgrade(site)
    status = site.status()
    assert (status["version"], status["ready"]) == ("99.0", True)
    site.sign("r1-1")


def test_code_that_does_not_start_takes_nothing_over(site: Site) -> None:
    """An image that would not come up, or parts of it that are not there, are noticed before anything happens."""
    code = site.copy_code()
    site.start()
    before = site.status()
    with Load(site, *_EVERYONE) as load:
        for part in ("signer/control/process.py", "signer/supervisor/run.py", "signer/cli.py"):
            good = (code / part).read_text()
            (code / part).write_text("import no_such_module\n" + good.replace("from __future__", "#"))
            assert "no_such_module" in refused_upgrade(site)
            (code / part).write_text(good)
        load.wait_for_more()
    assert load.failed == []
    after = site.status()
    assert (after["signing_pid"], after["generation"]) == (before["signing_pid"], 1)
    assert "99.0" not in upgrade(site)


def test_an_upgrade_into_an_invalid_configuration_changes_nothing(site: Site) -> None:
    site.start()
    pid = site.status()["signing_pid"]
    site.tables = ["[lanes]", "hedge_after_ms = -1"]
    site.write()
    assert "lanes.hedge_after_ms" in refused_upgrade(site)
    assert site.status()["signing_pid"] == pid
    site.sign("r1-1")


def test_if_no_new_signing_process_can_take_over_the_old_one_serves_on(site: Site) -> None:
    """Under the new supervisor, which keeps its lanes, replaces it when it ends, and says what is wrong."""
    site.start()
    site.sign("r1-2")
    pid = site.status()["signing_pid"]
    keys, lost = site.keys, site.key("r1-2")
    with Load(site, *_EVERYONE) as load:
        site.keys = [key for key in site.keys if key.public_key != lost]
        site.write()
        assert "signed in the last hour" in refused_upgrade(site)
        status = site.status()
        assert (status["signing_pid"], status["upgrade"]["state"]) == (pid, "refused")
        assert [alarm["name"] for alarm in status["alarms"]] == ["upgrade-incomplete"]
        victim = status["tokens"]["primary"]["lanes"][0]["pid"]
        os.kill(victim, signal.SIGKILL)

        def is_replaced(status: dict[str, Any]) -> bool:
            pids = {lane["pid"] for lane in status["tokens"]["primary"]["lanes"]}
            return len(pids) == 2 and victim not in pids

        site.wait(is_replaced, "another lane takes its place")
        load.wait_for_more()
        assert site.ask(lost).status == 201
        site.keys = keys
        site.write()
        assert site.command("reload").returncode == 0
    assert load.failed == []
    assert zombies(site) == []
    assert site.status()["alarms"] == []


def test_a_freeze_holds_over_an_upgrade_and_during_it(site: Site) -> None:
    """While no image listens the command leaves the marker by itself, and each signature looks for it."""
    site.start()
    site.command("freeze", "--node", "standby", "--reason", "before")
    site.admin.post("/v1/upgrade")
    with Load(site, ("r1-1", "primary", "tcp"), first=1) as load:
        assert site.command("freeze", "--all", "--reason", "meanwhile").returncode == 0
        signed = load.signed
        load.wait_for_more()
        assert load.signed <= signed + 1  # one that was answered before, and counted after
    site.wait(lambda status: status["upgrade"]["state"] == "done", "the upgrade is done")
    assert b"frozen" in site.ask(site.key("r1-1")).body
    site.command("unfreeze", "--all")
    site.sign("r1-1")
    assert b"frozen" in site.ask(site.key("r1-1", "standby"), node="standby").body


def test_the_control_process_is_replaced_too(whole: Site) -> None:
    whole.start()
    before = whole.status()["control"]["pid"]
    upgrade(whole)
    status = whole.wait(
        lambda status: (
            status["control"]["state"] == "ready" and status["tokens"][CONTROL]["state"] == "logged-in"
        ),
        "the control process is back with its token",
    )
    assert status["control"]["pid"] != before
    assert zombies(whole) == []


def test_a_stop_that_comes_during_an_upgrade_stops(site: Site) -> None:
    """A signal that comes while one image has gone and the other has no handlers yet is not lost, and kills nobody."""
    program = site.start().program
    assert program is not None
    processes = list(site.processes())
    site.admin.post("/v1/upgrade")
    program.send(signal.SIGHUP)
    program.send(signal.SIGTERM)
    until(lambda: program.exit_code is not None, "it stops")
    assert program.exit_code == 0
    until(lambda: not any(process.exists() for process in processes), "all are gone")


def test_what_would_wait_for_an_upgrade_that_waits_for_it_is_refused(whole: Site) -> None:
    """A reload waited for the upgrade's end, and the upgrade for the end of all that the admin socket was asked.

    The upgrade takes some seconds here, because the control process hangs.
    """
    whole.start()
    status = whole.wait(lambda status: status["control"]["state"] == "ready", "it is ready")
    os.kill(status["control"]["pid"], signal.SIGSTOP)
    whole.admin.post("/v1/upgrade")
    for path in ("/v1/reload", "/v1/upgrade"):
        with pytest.raises(AdminRefusedError, match="an upgrade is under way"):
            whole.admin.post(path)
    whole.wait(lambda status: status["upgrade"]["state"] == "done", "the upgrade is done")
    whole.sign("r1-1")
    assert whole.stop() == 0


def test_a_stop_waits_for_no_rehearsal_that_hangs(site: Site) -> None:
    program = site.start().program
    assert program is not None
    before = set(site.processes())
    asking = threading.Thread(target=_upgrade_in_vain, args=(site,))
    asking.start()
    rehearsal = until(lambda: next(iter(set(site.processes()) - before), None), "the new code starts")
    os.kill(int(rehearsal.name), signal.SIGSTOP)
    program.send(signal.SIGTERM)
    until(lambda: program.exit_code is not None, "it stops", timeout_s=45)  # a rehearsal may take 60 s
    assert program.exit_code == 0
    asking.join()
    until(lambda: not rehearsal.exists(), "it is killed")


def _upgrade_in_vain(site: Site) -> None:
    with contextlib.suppress(AdminError):
        site.admin.post("/v1/upgrade")


def test_an_estate_of_another_form_is_refused_readably() -> None:
    """A later version that means something else by it must not guess."""
    descriptor = os.memfd_create("estate")
    os.write(descriptor, b'{"format": 0, "secret": "1234"}')
    environment = {estate.VARIABLE: str(descriptor)}
    with pytest.raises(ConfigError, match="stop the signer and start it instead"):
        estate.receive(environment)
    assert environment == {}


def test_pins_travel_where_nobody_else_can_open_them() -> None:
    """A socket cannot be opened by its name in /proc, as a pipe, a file in memory or another file can."""
    descriptor = estate.seal_pins({"block": "1234"})
    with pytest.raises(OSError, match="No such device or address"):
        Path(f"/proc/self/fd/{descriptor}").read_bytes()
    assert estate.unseal_pins(descriptor) == {"block": "1234"}
    assert estate.unseal_pins(estate.seal_pins({})) == {}


def test_a_program_that_cannot_be_executed_leaves_the_old_one_serving(site: Site) -> None:
    """Here it is gone after the rehearsal. Everything that was let go is taken up again."""
    code = site.copy_code()
    environment = Path(sys.prefix)
    for name in ("lib", "pyvenv.cfg"):
        (site.folder / name).symlink_to(environment / name)
    (site.folder / "bin").mkdir()
    site.python = site.folder / "bin" / "python"
    site.python.symlink_to((environment / "bin" / "python").resolve())
    site.start()
    rehearsal = code / "signer/supervisor/upgrade.py"
    good = rehearsal.read_text()
    rehearsal.write_text(
        good.replace(
            "    for module in _MODULES:", "    os.unlink(sys.executable)\n    for module in _MODULES:"
        )
    )
    before = site.status()
    with Load(site, ("r1-1", "primary", "tcp")) as load:
        assert "cannot be executed" in refused_upgrade(site)
        victim = site.status()["tokens"]["primary"]["lanes"][0]["pid"]
        site.python.symlink_to((environment / "bin" / "python").resolve())
        os.kill(victim, signal.SIGKILL)
        site.wait(
            lambda status: len(status["tokens"]["primary"]["lanes"]) == 2, "another lane takes its place"
        )
        load.wait_for_more()
        rehearsal.write_text(good)
        assert site.status()["signing_pid"] == before["signing_pid"]
        upgrade(site)
    assert load.failed == []
    log = site.state / "audit" / "audit.jsonl"
    until(
        lambda: log.read_bytes().count(b'"verdict":"signed"') == load.signed, "each signature is in the log"
    )
